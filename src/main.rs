//! The `vestibule` binary: arguments, then a command.

use clap::Parser;
use std::process::ExitCode;
use vestibule::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
