//! What all exchanges of one configuration share.

use crate::api_keys::ApiKeys;
use crate::config::{Config, Mode};
use crate::credential::Ours;
use crate::door::Door;
use crate::failures::Failures;
use crate::jwk::KeySet;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::remote::{Remote, Terms};
use crate::verify::Verifier;
use http::HeaderName;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use vestibule_plugin::{Clock, RouteId};
use vestibule_store::quotas::Limit;

/// A built configuration.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) verifier: Verifier,
    pub(crate) source: Source,
    /// `None`: there are none, and their field is like any other.
    pub(crate) api_keys: Option<ApiKeys>,
    pub(crate) api_key_field: HeaderName,
    /// A row a route, `unmatched` first.
    pub(crate) doors: Vec<Door>,
    /// Files this was read from.
    pub(crate) files: Vec<PathBuf>,
    /// Of bad credentials.
    pub(crate) limit: Option<Limit>,
    /// Absent until this serves.
    pub(crate) learned: OnceLock<Learned>,
}

/// Where keys come from.
pub(crate) enum Source {
    /// Tokens are not verified here.
    None,
    /// A file.
    Fixed(Arc<KeySet>),
    /// An address.
    Remote(Terms),
}

/// What outlives a reload that changes nothing about it.
pub(crate) struct Learned {
    pub(crate) memory: Arc<Memory>,
    pub(crate) failures: Option<Arc<Failures>>,
    pub(crate) remote: Option<Arc<Remote>>,
}

/// The keys of this moment.
pub(crate) enum Keys {
    /// Tokens are verified with these.
    Here(Arc<KeySet>),
    /// None were fetched, or too long ago.
    Missing,
}

impl Shared {
    /// Serves from now on, in the place of `before`.
    pub(crate) fn install(&self, before: Option<&Self>) {
        let learned = before.and_then(|before| Some((before, before.learned.get()?)));
        // Another table may judge a token otherwise.
        let same = learned.filter(|(before, _)| before.config == self.config);
        let memory = same.map(|(_, learned)| Arc::clone(&learned.memory));
        let failures = learned.filter(|(before, _)| before.limit == self.limit);
        let failures = failures.map_or_else(
            || self.limit.as_ref().map(|limit| Arc::new(Failures::new(limit))),
            |(_, learned)| learned.failures.clone(),
        );
        let known = learned.and_then(|(_, learned)| learned.remote.clone());
        let remote = match &self.source {
            Source::Remote(terms) => match known.filter(|known| known.is_of(terms)) {
                Some(known) => Some(known),
                None => self.start(terms),
            },
            Source::Fixed(set) => {
                self.metrics.show_keys(set.len(), None);
                None
            }
            Source::None => {
                self.metrics.show_keys(0, None);
                None
            }
        };
        let memory = memory.unwrap_or_else(|| Arc::new(Memory::new(self.config.token_cache)));
        self.metrics.show_remembered(&memory);
        // Once: whoever installs twice keeps the first.
        let _ = self.learned.set(Learned { memory, failures, remote });
    }

    fn start(&self, terms: &Terms) -> Option<Arc<Remote>> {
        self.metrics.show_keys(0, None);
        let started = Remote::start(terms.clone(), &self.clock, &self.metrics);
        started.inspect_err(|error| tracing::error!(target: "auth", error, "keys cannot be fetched")).ok()
    }

    /// What a route asks of its callers.
    pub(crate) fn door(&self, route: RouteId) -> &Door {
        self.doors.get(route.index()).unwrap_or(&self.doors[0])
    }

    /// Whether bearer tokens are ours to look at.
    pub(crate) fn verifies_tokens(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// Which credentials are ours to look at.
    pub(crate) fn ours(&self) -> Ours<'_> {
        Ours { tokens: self.verifies_tokens(), api_key_field: self.api_keys.is_some().then_some(&self.api_key_field) }
    }

    /// The keys of this moment.
    pub(crate) fn keys(&self) -> Keys {
        match &self.source {
            Source::Fixed(set) => Keys::Here(Arc::clone(set)),
            Source::Remote(_) => self.remote().and_then(|remote| remote.set()).map_or(Keys::Missing, Keys::Here),
            Source::None => Keys::Missing,
        }
    }

    /// The keys of an address, once this serves.
    pub(crate) fn remote(&self) -> Option<&Arc<Remote>> {
        self.learned.get()?.remote.as_ref()
    }

    /// Whether somebody needs keys that were never there.
    pub(crate) fn lacks_keys(&self) -> bool {
        matches!(self.source, Source::Remote(_))
            && self.doors.iter().any(|door| door.mode == Mode::Required)
            && !self.remote().is_some_and(|remote| remote.has_served())
    }
}
