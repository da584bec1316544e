//! `[store]`: what must be shared by every proxy of a fleet.

use crate::config::mask::{Authority, hide_credentials};
use crate::config::report::Report;
use crate::config::secret_file::secret;
use crate::config::section::Section;
use crate::config::settings::Store;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;
use vestibule_plugin::units::{Size, Span};

/// Range of `timeout`: below it a healthy store looks dead, above it a dead one holds up every request.
const TIMEOUT: (Span, Span) = (Span(Duration::from_millis(10)), Span(Duration::from_secs(10)));

/// What must be shared by every proxy of a fleet.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StoreFile {
    /// Where it is: "memory:", this process.
    pub(super) url: String,
    /// Keys the HMAC over every identifier stored or logged, literally; rather use `secret_file`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) secret: String,
    /// File whose text keys the HMAC over every identifier stored or logged; without it a key is drawn at start.
    pub(super) secret_file: String,
    /// Keeps fleets apart that share a store: stands in front of every name.
    pub(super) namespace: String,
    /// Longest time for one operation of the store, connecting included. 10ms to 10s.
    pub(super) timeout: Span,
    /// Bound of the memory store. 1MiB to 64GiB.
    pub(super) memory_max: Size,
}

impl Default for StoreFile {
    fn default() -> Self {
        Self {
            url: "memory:".to_owned(),
            secret: String::new(),
            secret_file: String::new(),
            namespace: "vestibule".to_owned(),
            timeout: Span(Duration::from_millis(500)),
            memory_max: Size(64 << 20),
        }
    }
}

impl StoreFile {
    /// The settings; `drawn` is the key when none is configured.
    pub(super) fn settle(&self, section: &Section<'_>, drawn: [u8; 32], report: &mut Report<'_>) -> Store {
        if self.url != "memory:" {
            let url = hide_credentials(&self.url, Authority::Generous);
            let redis = self.url.starts_with("redis");
            let what = if redis { "is not supported by this version" } else { "is no store" };
            report.error(&section.place(&["url"]), format!("`{url}` {what}"), "expected \"memory:\"");
        }
        let secret = secret("secret", &self.secret, &self.secret_file, section, report);
        let bytes = |bytes: &u64| Size(*bytes).to_string();
        if !is_name(&self.namespace) {
            let message = format!("`{}` cannot stand in front of names", self.namespace);
            report.error(&section.place(&["namespace"]), message, "expected 1 to 64 of A-Z a-z 0-9 . _ -");
        }
        section.within("timeout", self.timeout, TIMEOUT, report);
        section.bounded("memory_max", self.memory_max.0, (1 << 20, 64 << 30), &bytes, report);
        Store {
            // Of any length, so it is brought to the length of a key.
            secret: secret.map_or(drawn, |secret| Sha256::digest(secret.0.as_bytes()).into()),
            namespace: self.namespace.as_str().into(),
            timeout: self.timeout.0,
            memory_max: self.memory_max.0,
        }
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}
