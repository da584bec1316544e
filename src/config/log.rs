//! `[log]`: what is written to standard output, and how.

use crate::config::settings::{self, LogClient, LogFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::Level;

/// What is written to standard output, and how.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogFile {
    /// How a line is written.
    format: FormatFile,
    /// The least important lines that are written.
    level: LevelFile,
    /// One line a request.
    access: bool,
    /// How a caller appears in log lines and spans.
    client: ClientFile,
}

impl Default for LogFile {
    fn default() -> Self {
        Self { format: FormatFile::Json, level: LevelFile::Info, access: true, client: ClientFile::Hash }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FormatFile {
    /// A JSON object a line.
    Json,
    /// For people.
    Text,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum LevelFile {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ClientFile {
    /// A keyed hash.
    Hash,
    /// The address in full.
    Address,
}

impl LogFile {
    /// The settings.
    pub(super) fn settle(&self) -> settings::Log {
        settings::Log {
            format: match self.format {
                FormatFile::Json => LogFormat::Json,
                FormatFile::Text => LogFormat::Text,
            },
            level: match self.level {
                LevelFile::Error => Level::ERROR,
                LevelFile::Warn => Level::WARN,
                LevelFile::Info => Level::INFO,
                LevelFile::Debug => Level::DEBUG,
                LevelFile::Trace => Level::TRACE,
            },
            access: self.access,
            client: match self.client {
                ClientFile::Hash => LogClient::Hash,
                ClientFile::Address => LogClient::Address,
            },
        }
    }
}
