//! `[store]`: what must be shared by every proxy of a fleet.

use crate::config::mask::{Authority, hide_credentials};
use crate::config::report::Report;
use crate::config::secret_file::secret;
use crate::config::section::Section;
use crate::config::settings::{Redis, Store, StorePlace};
use crate::config::tls;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;
use vestibule_plugin::units::{Size, Span};
use vestibule_store::{RedisUrl, SENTINEL_SILENCE};

const EXPECTED: &str = "expected \"memory:\", redis://, rediss://, redis+cluster:// or redis+sentinel://";

/// Range of `timeout`: below it a healthy store looks dead, above it a dead one holds up every request.
const TIMEOUT: (Span, Span) = (Span(Duration::from_millis(10)), Span(Duration::from_secs(10)));

/// Range of `sentinel_silence`: below it one lost packet looks like silence, above it nobody is any safer.
const SILENCE: (Span, Span) = (Span(Duration::from_secs(1)), Span(Duration::from_secs(60)));

/// What must be shared by every proxy of a fleet.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StoreFile {
    /// Where it is: "memory:", this process; redis://h:6379/0, rediss://… over TLS, redis+cluster://h1:p,h2:p,
    /// redis+sentinel://h1:p,h2:p/master-name. user:password@ may stand in front of the hosts.
    pub(super) url: String,
    /// Keys the HMAC over every identifier stored or logged, literally; rather use `secret_file`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) secret: String,
    /// File whose text keys the HMAC over every identifier stored or logged; without it a key is drawn at start.
    pub(super) secret_file: String,
    /// PEM: trust these CAs for a Redis over TLS, instead of the built-in ones.
    pub(super) ca_file: String,
    /// Keeps fleets apart that share a store: stands in front of every name.
    pub(super) namespace: String,
    /// Longest time for one operation of the store, connecting included. 10ms to 10s.
    pub(super) timeout: Span,
    /// Sentinels only: without a word of any of them for so long, nothing is claimed that waits for replicas. 1s to 1m.
    pub(super) sentinel_silence: Span,
    /// Bound of the memory store. 1MiB to 64GiB.
    pub(super) memory_max: Size,
}

impl Default for StoreFile {
    fn default() -> Self {
        Self {
            url: "memory:".to_owned(),
            secret: String::new(),
            secret_file: String::new(),
            ca_file: String::new(),
            namespace: "vestibule".to_owned(),
            timeout: Span(Duration::from_millis(500)),
            sentinel_silence: Span(SENTINEL_SILENCE),
            memory_max: Size(64 << 20),
        }
    }
}

impl StoreFile {
    /// The settings; `drawn` is the key when none is configured.
    pub(super) fn settle(&self, section: &Section<'_>, drawn: [u8; 32], report: &mut Report<'_>) -> Store {
        let place = self.place(section, report);
        let secret = secret("secret", &self.secret, &self.secret_file, section, report);
        let bytes = |bytes: &u64| Size(*bytes).to_string();
        // A file that cannot be used is told of already.
        let has_none = self.secret.is_empty() && self.secret_file.is_empty();
        if place != StorePlace::Memory && has_none && section.sound(&["secret", "secret_file"]) {
            let label = "expected a secret: every proxy of the fleet has to find the same names";
            report.error(&section.place(&["url"]), "a Redis without `secret_file`", label);
        }
        if !is_name(&self.namespace) {
            let message = format!("`{}` cannot stand in front of names", self.namespace);
            report.error(&section.place(&["namespace"]), message, "expected 1 to 64 of A-Z a-z 0-9 . _ -");
        }
        section.within("timeout", self.timeout, TIMEOUT, report);
        section.within("sentinel_silence", self.sentinel_silence, SILENCE, report);
        section.bounded("memory_max", self.memory_max.0, (1 << 20, 64 << 30), &bytes, report);
        Store {
            // Of any length, so it is brought to the length of a key.
            secret: secret.map_or(drawn, |secret| Sha256::digest(secret.0.as_bytes()).into()),
            place,
            namespace: self.namespace.as_str().into(),
            timeout: self.timeout.0,
            sentinel_silence: self.sentinel_silence.0,
            memory_max: self.memory_max.0,
        }
    }
}

impl StoreFile {
    fn place(&self, section: &Section<'_>, report: &mut Report<'_>) -> StorePlace {
        if self.url == "memory:" {
            if !self.ca_file.is_empty() && section.sound(&["url"]) {
                let label = "only a Redis over TLS has a certificate; remove it, or write `rediss://`";
                report.error(&section.place(&["ca_file"]), "`ca_file` is never used", label);
            }
            return StorePlace::Memory;
        }
        let authorities = match self.ca_file.as_str() {
            "" => None,
            path => tls::authorities(path, &section.place(&["ca_file"]), report),
        };
        match RedisUrl::parse(&self.url) {
            Ok(url) => StorePlace::Redis(Redis { url, authorities }),
            Err(why) => {
                let url = hide_credentials(&self.url, Authority::Generous);
                report.error(&section.place(&["url"]), format!("`{url}` is no store: {why}"), EXPECTED);
                StorePlace::Memory
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}
