//! What runs, read once at start from environment variables. A value that cannot be used is an error that names its
//! variable; a variable that is not set has its default.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::secret::Secret;
use crate::text::Invalid;

/// Every setting of the process.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `LISTEN`: the public API.
    pub(crate) listen: SocketAddr,
    /// `INTERNAL_LISTEN`: `/livez`, `/metrics` and audit ingest.
    pub(crate) internal_listen: SocketAddr,
    /// `DATABASE_URL`: where the data is.
    pub(crate) database: DatabaseFile,
    /// `LOG_FORMAT`: how lines on stderr look.
    pub(crate) log_format: LogFormat,
    /// `IDEMPOTENCY_TTL`: how long the proxy replays a keyed write; only told to clients.
    pub(crate) idempotency_ttl: WholeSeconds,
    /// `AUDIT_INGEST_TOKEN_FILE`: the token of whoever sends audit events; without it none are taken.
    pub(crate) ingest_token: Option<Secret>,
    /// `ADMIN_TOKEN_FILE`: the token of the admin; without it nobody is one.
    pub(crate) admin_token: Option<Secret>,
}

/// A variable whose value cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{variable} {reason}")]
pub(crate) struct SettingError {
    pub(crate) variable: &'static str,
    pub(crate) reason: Invalid,
}

impl Settings {
    /// Reads every variable through `lookup`.
    pub(crate) fn from_variables(lookup: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, SettingError> {
        let read = Reader(lookup);
        Ok(Self {
            listen: read.parsed("LISTEN", "127.0.0.1:8000", address)?,
            internal_listen: read.parsed("INTERNAL_LISTEN", "127.0.0.1:8001", address)?,
            database: read.parsed("DATABASE_URL", "sqlite://./vestibule-upstream.db", DatabaseFile::parse)?,
            log_format: read.parsed("LOG_FORMAT", "json", LogFormat::parse)?,
            idempotency_ttl: read.parsed("IDEMPOTENCY_TTL", "24h", WholeSeconds::parse)?,
            ingest_token: read.optional("AUDIT_INGEST_TOKEN_FILE", Secret::from_file)?,
            admin_token: read.optional("ADMIN_TOKEN_FILE", Secret::from_file)?,
        })
    }
}

struct Reader<F>(F);

impl<F: Fn(&'static str) -> Option<OsString>> Reader<F> {
    fn parsed<T>(
        &self,
        variable: &'static str,
        default: &str,
        parse: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Result<T, SettingError> {
        match self.optional(variable, &parse)? {
            Some(given) => Ok(given),
            None => parse(default).map_err(|reason| SettingError { variable, reason }),
        }
    }

    fn optional<T>(
        &self,
        variable: &'static str,
        parse: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Result<Option<T>, SettingError> {
        let Some(given) = (self.0)(variable) else { return Ok(None) };
        let text = given.into_string().map_err(|_| Invalid::new("must be UTF-8"));
        text.and_then(|text| parse(&text)).map(Some).map_err(|reason| SettingError { variable, reason })
    }
}

fn address(text: &str) -> Result<SocketAddr, Invalid> {
    SocketAddr::from_str(text).map_err(|_| Invalid::new("must be an address and a port, such as 127.0.0.1:8000"))
}

/// A SQLite database file, from `sqlite://PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseFile(pub(crate) PathBuf);

impl DatabaseFile {
    fn parse(url: &str) -> Result<Self, Invalid> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Err(Invalid::new("names PostgreSQL, which this build does not support; use sqlite://PATH"));
        }
        match url.strip_prefix("sqlite://") {
            // Five connections would see five different databases.
            Some(path) if path.contains(":memory:") => Err(Invalid::new("must name a file, not :memory:")),
            Some(path) if path.contains(['?', '#', '\0']) => Err(Invalid::new("must be sqlite://PATH without options")),
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err(Invalid::new("must be sqlite://PATH")),
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// The same fields for people.
    Text,
}

impl LogFormat {
    fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(Invalid::new("must be json or text")),
        }
    }
}

/// A duration of whole seconds, from 1 s to 365 days, written `90s`, `10m`, `24h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WholeSeconds(u32);

impl WholeSeconds {
    const MAX: u32 = 365 * 86_400;

    /// The number of seconds.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("must be a duration from 1s to 365d, such as 90s, 10m, 24h or 7d");
        let seconds_each = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            _ => return Err(refused()),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        let seconds = digits.parse::<u32>().ok().and_then(|count| count.checked_mul(seconds_each));
        seconds.filter(|seconds| (1..=Self::MAX).contains(seconds)).map(Self).ok_or_else(refused)
    }
}

#[cfg(test)]
mod tests;
