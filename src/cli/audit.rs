//! `vestibule audit`: what can be done with a log without the proxy.

mod event;
mod segments;
mod tail;
mod verdict;
mod verify;
mod witnesses;

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// The commands.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// Check that an audit log is what was written
    ///
    /// Reads it once, changes nothing, and may run beside the proxy that writes it. Exits 0 when the log is intact, 1 with
    /// the first bad record when it is broken, and 2 when it cannot be read.
    Verify(VerifyArgs),
    /// Print the last events of an audit log, one on a line, in local time
    Tail {
        /// The directory of the log
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Go on as events are written
        #[arg(short, long)]
        follow: bool,
        /// Events to begin with
        #[arg(short = 'n', long, value_name = "LINES", default_value_t = 10)]
        lines: usize,
    },
}

/// What to verify, and what it must bear out.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The directory of the log, or segments of it in any order
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// An Ed25519 public key (PEM) that signs checkpoints; any number of them. With one, every checkpoint must be signed
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// A checkpoint event that was kept elsewhere: the log must hold it
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// The log must end in a final checkpoint, as a clean stop leaves it
    #[arg(long)]
    sealed: bool,
    /// Say the verdict as JSON on stdout
    #[arg(long)]
    json: bool,
}

impl AuditCommand {
    /// Does it.
    pub(super) fn run(self) -> ExitCode {
        match self {
            Self::Verify(args) => verify::verify(&args).unwrap_or_else(|why| {
                eprintln!("error: {why}");
                ExitCode::from(2)
            }),
            Self::Tail { dir, follow, lines } => {
                tail::tail(&dir, follow, lines).map_or_else(super::failed, |()| ExitCode::SUCCESS)
            }
        }
    }
}
