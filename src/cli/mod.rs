//! The command line.

mod audit;
mod check;
mod explain;
mod init;
mod run;
mod schema;

use self::audit::AuditCommand;
use crate::config::Source;
use clap::{Args, Parser, Subcommand};
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

/// A sidecar that traces, measures, limits and revalidates the requests to a web application
#[derive(Parser, Debug)]
#[command(
    name = "vestibule",
    version = crate::build::DESCRIPTION,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
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
        /// Where the configuration comes from.
        #[command(flatten)]
        file: FileArgs,
        /// Where the application is.
        #[arg(
            long,
            value_name = "URL",
            help = "Where the application is, e.g. http://127.0.0.1:3000; overrides [upstream] url"
        )]
        upstream: Option<String>,
        /// Address to serve on.
        #[arg(long, value_name = "ADDR", help = "Address to serve on, e.g. 127.0.0.1:8080; overrides [server] listen")]
        listen: Option<String>,
    },
    /// Check a configuration and build every plugin, without binding a port
    ///
    /// Says everything that is wrong on stderr, each with its line. Exits 0 when the configuration is valid, else 1.
    Check {
        /// Where the configuration comes from.
        #[command(flatten)]
        file: FileArgs,
        /// Print the effective configuration, every default filled in and secrets masked
        #[arg(long)]
        print: bool,
    },
    /// Say what would become of a request, without sending anything
    ///
    /// Names the route, the client and its tier, and what each plugin would do, in order.
    Explain {
        /// Where the configuration comes from.
        #[command(flatten)]
        file: FileArgs,
        /// The method, e.g. GET
        method: String,
        /// Path and query, e.g. '/api/orders?page=2'
        path: String,
        /// A field of the request, e.g. 'authorization: Bearer …'; any number of them
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
        header: Vec<String>,
    },
    /// Print the JSON Schema of the configuration file, for completion in editors
    Schema,
    /// Write an annotated configuration file in which every key stands at its default
    Init {
        /// Where the application is
        #[arg(long, value_name = "URL")]
        upstream: Option<String>,
        /// The file to write; one that exists is never overwritten
        #[arg(value_name = "FILE", default_value = crate::config::DEFAULT_FILE)]
        file: PathBuf,
    },
    /// Verify or read an audit log
    Audit {
        /// What to do with it.
        #[command(subcommand)]
        command: AuditCommand,
    },
}

/// Which configuration is meant.
#[derive(Args, Debug, Clone)]
pub struct FileArgs {
    /// Configuration file; without it ./vestibule.toml if it exists, else defaults
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Cli {
    /// Does it.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Run { file, upstream, listen } => {
                run::run(&Source::new(file.config).pinned().with_upstream(upstream).with_listen(listen))
            }
            Command::Check { file, print } => check::check(file.config, print).unwrap_or_else(failed),
            Command::Explain { file, method, path, header } => {
                explain::explain(file.config, &method, &path, &header).unwrap_or_else(failed)
            }
            Command::Schema => schema::schema().map_or_else(failed, |()| ExitCode::SUCCESS),
            Command::Audit { command } => command.run(),
            Command::Init { upstream, file } => {
                init::init(&file, upstream.as_deref()).map_or_else(failed, |()| ExitCode::SUCCESS)
            }
        }
    }
}

fn failed(why: impl Display) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}
