//! What is counted.

use crate::memory::Memory;
use std::sync::Arc;
use std::time::SystemTime;
use vestibule_plugin::meter::{Counter, Desc, Gauge, GaugeFamily, Registry};

macro_rules! outcomes {
    ($(#[doc = $doc:literal] $name:ident { $(#[doc = $word_doc:literal] $word:ident = $text:literal,)+ })+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            pub(crate) enum $name {
                $(#[doc = $word_doc] $word,)+
            }

            impl $name {
                /// In the order of the variants.
                const WORDS: &'static [&'static str] = &[$($text,)+];
            }
        )+
    };
}

outcomes! {
    /// What became of a request's credential.
    Outcome {
        /// It was not looked at.
        Off = "off",
        /// There was none, and none was needed.
        Anonymous = "anonymous",
        /// A good token, verified.
        Token = "token",
        /// A good token, remembered.
        TokenCached = "token_cached",
        /// A good API key.
        ApiKey = "api_key",
        /// There was none, and one was needed.
        Missing = "missing",
        /// What was sent is no credential.
        Malformed = "malformed",
        /// An algorithm that is not in use.
        Algorithm = "algorithm",
        /// Signed with a key nobody knows.
        UnknownKey = "unknown_key",
        /// A wrong signature.
        Signature = "signature",
        /// Its time is over.
        Expired = "expired",
        /// Its time is to come.
        NotYetValid = "not_yet_valid",
        /// It lives too long.
        Lifetime = "lifetime",
        /// Issued by somebody else.
        Issuer = "issuer",
        /// Meant for somebody else.
        Audience = "audience",
        /// A claim is missing or of another kind.
        Claims = "claims",
        /// An API key nobody has.
        BadApiKey = "bad_api_key",
        /// Good, and not allowed here.
        Forbidden = "forbidden",
        /// There are no keys to verify with.
        KeysUnavailable = "keys_unavailable",
        /// Too many bad ones from this address.
        Limited = "limited",
    }
    /// What came of a fetch of keys.
    Refresh {
        /// New keys.
        Ok = "ok",
        /// No answer.
        Error = "error",
        /// No keys in the answer.
        Invalid = "invalid",
        /// Not made, as the last one was too recent.
        Suppressed = "suppressed",
    }
}

impl Outcome {
    /// As written in metrics and log lines.
    pub(crate) fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// The counters.
pub(crate) struct Metrics {
    decisions: Vec<Counter>,
    refreshes: Vec<Counter>,
    keys: Gauge,
    last_success: Gauge,
    remembered: GaugeFamily,
}

impl Metrics {
    pub(crate) fn new(meter: &Registry) -> Self {
        let decisions = meter.counter(Desc {
            name: "vestibule_auth_decisions_total",
            help: "Requests by what became of their credential.",
            labels: &["outcome"],
        });
        let decisions = decisions.closed("outcome", Outcome::WORDS);
        let refreshes = meter.counter(Desc {
            name: "vestibule_auth_jwks_refreshes_total",
            help: "Fetches of the key set, by outcome.",
            labels: &["outcome"],
        });
        let refreshes = refreshes.closed("outcome", Refresh::WORDS);
        let family = |name, help| meter.gauge(Desc { name, help, labels: &[] });
        let gauge = |name, help| family(name, help).with(&[]);
        let remembered = family("vestibule_auth_token_cache_entries", "Verified tokens that are remembered.");
        // There from the start, and 0 until this serves.
        let _ = remembered.with(&[]);
        Self {
            decisions: Outcome::WORDS.iter().map(|word| decisions.with(&[word])).collect(),
            refreshes: Refresh::WORDS.iter().map(|word| refreshes.with(&[word])).collect(),
            keys: gauge("vestibule_auth_jwks_keys", "Keys that tokens are verified with."),
            last_success: gauge(
                "vestibule_auth_jwks_last_success_timestamp_seconds",
                "When the key set was last fetched, in seconds since 1970; 0 when it never was.",
            ),
            remembered,
        }
    }

    /// A request was decided on.
    pub(crate) fn decided(&self, outcome: Outcome) {
        if let Some(counter) = self.decisions.get(outcome as usize) {
            counter.inc();
        }
    }

    /// A fetch ended.
    pub(crate) fn refreshed(&self, outcome: Refresh) {
        if let Some(counter) = self.refreshes.get(outcome as usize) {
            counter.inc();
        }
    }

    /// So many keys are in use, since then.
    pub(crate) fn show_keys(&self, keys: usize, fetched: Option<SystemTime>) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        if let Some(since) = fetched.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            self.last_success.set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        }
    }

    /// So many tokens are remembered as are here when somebody scrapes.
    pub(crate) fn show_remembered(&self, memory: &Arc<Memory>) {
        let memory = Arc::downgrade(memory);
        let entries = move || memory.upgrade().map_or(0, |memory| memory.len());
        self.remembered.with_fn(&[], move || Some(f64::from(u32::try_from(entries()).unwrap_or(u32::MAX))));
    }
}
