//! The reference application that stands behind Vestibule: a small, honest domain service over SQLite.
//!
//! It imports nothing of the proxy and is complete and safe without it. It has no accounts yet, so there is no
//! authentication: every caller acts as the one default user that the first migration creates
//! ([`projects::DEFAULT_OWNER`]). Only the audit trail asks for tokens, one to add to it and one to read it.

mod admin;
mod audit;
mod cli;
mod conditional;
mod db;
mod http;
mod id;
mod logs;
mod metrics;
mod projects;
mod secret;
mod seed;
mod serve;
mod settings;
mod text;
mod timestamp;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::settings::{LogFormat, Settings};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match Settings::from_variables(std::env::var_os) {
        Ok(settings) => settings,
        Err(error) => {
            logs::start(LogFormat::Json);
            tracing::error!(variable = error.variable, reason = %error.reason, "invalid setting");
            return ExitCode::from(2);
        }
    };
    logs::start(settings.log_format);
    match cli::run(&cli.command, &settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %error, cause = logs::causes(error.as_ref()), "failed");
            ExitCode::FAILURE
        }
    }
}
