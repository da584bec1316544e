//! `vestibule schema`

use crate::config;
use std::io::{self, Write};

/// Prints the JSON Schema of the configuration file.
pub(super) fn schema() -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &config::schema())?;
    writeln!(out)
}
