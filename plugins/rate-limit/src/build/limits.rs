//! `[rate_limit.policies]`.

use super::check_name;
use crate::config::{ANONYMOUS, Config, Consistency, Counting, PolicyTable, StoreError};
use crate::key::{EXPECTED, KeySpec};
use std::collections::BTreeMap;
use vestibule_plugin::units::Rate;
use vestibule_plugin::{BuildErrors, KeyPath};
use vestibule_store::quotas::sliding_log::MAX_LOG;
use vestibule_store::quotas::{Algorithm, BadLimit, Force, Limit, OnStoreError, Sharing, Terms};

/// A policy, before it is known whether the whole file is right.
pub(super) struct Draft {
    pub(super) limit: Limit,
    pub(super) rate: Rate,
    pub(super) key: KeySpec,
    pub(super) cost: u64,
    pub(super) force: Force,
}

/// Every policy by name; `None` for those that are wrong, so that naming one is not wrong too.
pub(super) type Drafts = BTreeMap<String, Option<Draft>>;

/// The policies of the file, and `anonymous`.
pub(super) fn drafts(config: &Config, errors: &mut BuildErrors) -> Drafts {
    let mut drafts: Drafts = config
        .policies
        .iter()
        .map(|(name, table)| (name.clone(), Reader { config, name, table, errors }.draft()))
        .collect();
    if !drafts.contains_key(ANONYMOUS) {
        let table = PolicyTable::default();
        let draft = Reader { config, name: ANONYMOUS, table: &table, errors }.draft();
        drafts.insert(ANONYMOUS.to_owned(), draft);
    }
    drafts
}

/// Reads one policy.
struct Reader<'a> {
    config: &'a Config,
    name: &'a str,
    table: &'a PolicyTable,
    errors: &'a mut BuildErrors,
}

impl Reader<'_> {
    fn draft(mut self) -> Option<Draft> {
        check_name("policy", self.name, KeyPath::table(["policies", self.name]), self.errors);
        let key = self.key();
        let algorithm = self.algorithm();
        // A key that is wrong does not keep the other mistakes from being told.
        let text = key.as_ref().map_or_else(String::new, ToString::to_string);
        let limit = self.limit(&text, algorithm)?;
        if self.table.cost > limit.burst() {
            self.error_about(
                "cost",
                &["limit", "burst", "algorithm"],
                format!("a request costs {} under policy `{}`", self.table.cost, self.name),
                format!("its burst is {}, so no request could ever pass", limit.burst()),
            );
            return None;
        }
        let key = key?;
        let force = if self.table.shadow { Force::Shadow } else { Force::Enforced };
        Some(Draft { limit, rate: self.table.limit, key, cost: self.table.cost, force })
    }

    fn key(&mut self) -> Option<KeySpec> {
        KeySpec::parse(&self.table.key)
            .map_err(|bad| {
                let mut path = vec!["policies".to_owned(), self.name.to_owned(), "key".to_owned()];
                path.extend(bad.element.map(|i| i.to_string()));
                let message = match bad.written.as_str() {
                    "" => format!("policy `{}` has an empty key", self.name),
                    written => format!("unknown key `{written}` of policy `{}`", self.name),
                };
                self.errors.error(KeyPath::Table(path), message, EXPECTED);
            })
            .ok()
    }

    fn algorithm(&mut self) -> Algorithm {
        match self.table.algorithm {
            Counting::Gcra => Algorithm::Gcra,
            Counting::SlidingLog => {
                if self.table.burst.is_some() {
                    self.error_about(
                        "burst",
                        &["algorithm"],
                        format!("policy `{}` is a sliding log with a burst", self.name),
                        "a sliding log has none: remove it, or use gcra",
                    );
                }
                if self.table.consistency == Some(Consistency::Leased) {
                    self.error_about(
                        "consistency",
                        &["algorithm"],
                        format!("policy `{}` is a sliding log that is leased", self.name),
                        "a sliding log is strict or local",
                    );
                }
                Algorithm::SlidingLog
            }
        }
    }

    fn limit(&mut self, key: &str, algorithm: Algorithm) -> Option<Limit> {
        let Rate { quota, window } = self.table.limit;
        let burst = match algorithm {
            Algorithm::Gcra => self.table.burst.unwrap_or(quota),
            Algorithm::SlidingLog => quota,
        };
        let terms = Terms {
            name: self.name,
            key,
            algorithm,
            quota,
            window,
            burst,
            sharing: self.sharing(algorithm),
            on_store_error: match self.table.on_store_error.unwrap_or(self.config.on_store_error) {
                StoreError::LocalShare => OnStoreError::LocalShare,
                StoreError::Open => OnStoreError::Open,
                StoreError::Closed => OnStoreError::Closed,
            },
        };
        Limit::new(&terms).map_err(|wrong| wrong.into_iter().for_each(|wrong| self.bad_limit(wrong))).ok()
    }

    /// A sliding log cannot be lent out in parts, so under a table that leases it is strict.
    fn sharing(&self, algorithm: Algorithm) -> Sharing {
        match (self.table.consistency.unwrap_or(self.config.consistency), algorithm) {
            (Consistency::Local, _) => Sharing::Local,
            (Consistency::Strict, _) | (Consistency::Leased, Algorithm::SlidingLog) => Sharing::Strict,
            (Consistency::Leased, Algorithm::Gcra) => Sharing::Leased,
        }
    }

    fn bad_limit(&mut self, wrong: BadLimit) {
        let name = self.name;
        let (key, message, label) = match wrong {
            BadLimit::NoQuota => {
                ("limit", format!("policy `{name}` would refuse everything"), "the quota must be at least 1".to_owned())
            }
            BadLimit::NoBurst => {
                ("burst", format!("policy `{name}` would refuse everything"), "the burst must be at least 1".to_owned())
            }
            BadLimit::TooLong => (
                "limit",
                format!("policy `{name}` has a number that cannot be sent"),
                "quota, burst and seconds have at most 15 digits (RFC 9651)".to_owned(),
            ),
            BadLimit::Window => (
                "limit",
                format!("policy `{name}` has a window that is not whole seconds"),
                "the window must be at least 1s, in whole seconds".to_owned(),
            ),
            BadLimit::TooFast => (
                "limit",
                format!("policy `{name}` admits more than one unit a microsecond"),
                "at most 1000000/s".to_owned(),
            ),
            BadLimit::TooSlow if self.table.algorithm == Counting::SlidingLog => (
                "limit",
                format!("policy `{name}` has a window of over 45 days"),
                "the window of a sliding log is at most 45 days".to_owned(),
            ),
            BadLimit::TooSlow => (
                if self.table.burst.is_some() { "burst" } else { "limit" },
                format!("policy `{name}` would take over 45 days to be full again"),
                "burst × window / quota must be at most 45 days".to_owned(),
            ),
            BadLimit::LogTooLong => (
                "limit",
                format!("policy `{name}` is a sliding log of {} units", self.table.limit.quota),
                format!("a sliding log holds at most {MAX_LOG}; use gcra"),
            ),
        };
        self.error_about(key, &["limit", "burst", "algorithm"], message, label);
    }

    fn error_about(&mut self, key: &str, about: &[&str], message: String, label: impl Into<String>) {
        let path = |key: &str| KeyPath::table(["policies", self.name, key]);
        self.errors.error_about(path(key), about.iter().map(|key| path(key)).collect(), message, label);
    }
}
