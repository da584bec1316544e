//! The command line.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A proxy that stands in front of a web application and takes work off it.
#[derive(Parser, Debug)]
#[command(name = "vestibule", disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT, then drain and stop
    Run {
        /// Configuration file; without it ./vestibule.toml if present, else defaults
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where the application is; overrides [upstream] url
        #[arg(long, value_name = "URL")]
        upstream: Option<String>,
        /// Address to listen on; overrides [server] listen
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
    },
}
