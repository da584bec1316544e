//! The command line: which of the few things this binary does is to be done now.

use std::error::Error;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::db::Database;
use crate::metrics::Metrics;
use crate::seed::{self, Scale};
use crate::serve;
use crate::settings::Settings;

const VARIABLES: &str = "\
Environment:
  LISTEN                   public API                          127.0.0.1:8000
  INTERNAL_LISTEN          /livez, /metrics and audit ingest   127.0.0.1:8001
  DATABASE_URL             sqlite://PATH                       sqlite://./vestibule-upstream.db
  LOG_FORMAT               json or text                        json
  IDEMPOTENCY_TTL          1s to 365d, only told to clients    24h
  AUDIT_INGEST_TOKEN_FILE  bearer token of audit ingest        ingest is off
  ADMIN_TOKEN_FILE         bearer token of the admin           nobody is admin";

/// What was asked for. Settings come from the environment.
#[derive(Debug, Parser)]
#[command(name = "vestibule-upstream", version, about, after_help = VARIABLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One thing to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Migrates the database, then serves until SIGTERM or SIGINT, draining for up to 10 s
    Serve,
    /// Brings the database to the schema of this binary; refuses a newer one
    Migrate,
    /// Adds the demonstration data that is not there yet; running it twice changes nothing
    Seed {
        /// How many times 57 projects, 1 to 1000
        #[arg(long, default_value = "1", value_parser = Scale::parse)]
        scale: Scale,
        /// Which deterministic set of data
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// Runs one command to its end.
pub(crate) fn run(command: &Command, settings: &Settings) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let metrics = Metrics::new()?;
        let database = Arc::new(Database::open(&settings.database, &metrics).await?);
        let outcome: Result<(), Box<dyn Error>> = match command {
            Command::Migrate => Ok(()),
            Command::Seed { scale, seed } => seed::sow(&database, *scale, *seed).await.map_err(Into::into),
            Command::Serve => serve::serve(settings, &database, metrics).await.map_err(Into::into),
        };
        database.close().await;
        outcome
    })
}
