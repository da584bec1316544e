//! From the tables of the file to what runs, or everything that is wrong with them.

mod limits;
mod routes;
mod tiers;

use crate::config::{Config, Route};
use crate::key::KeySpec;
use crate::metrics::{self, PluginMetrics, PolicyMetrics};
use crate::policy::Policy;
use crate::shared::Shared;
use limits::Draft;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::units::Size;
use vestibule_plugin::{BuildErrors, Deps, KeyPath, Notice, Routes};
use vestibule_store::Quotas;
use vestibule_store::quotas::{BYTES_PER_KEY, Tuning};

/// Bounds of `lease`.
const LEASE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// Least `store_timeout`.
const MIN_STORE_TIMEOUT: Duration = Duration::from_millis(1);
/// Most keys: 6.4 GB of them.
const MAX_CAPACITY: usize = 100_000_000;

/// Builds a configuration.
pub(crate) fn build(
    config: &Config,
    routes: &Routes<Route>,
    store: Arc<dyn Quotas>,
    deps: &Deps,
) -> Result<Shared, BuildErrors> {
    let mut errors = BuildErrors::default();
    check_table(config, &mut errors);
    let drafts = limits::drafts(config, &mut errors);
    let entries = tiers::entries(config, &drafts, &mut errors);
    let tiers = tiers::tiers(config, &entries, &mut errors);
    let plans = routes::choose(routes, &drafts, &entries, &mut errors);
    let Some(tiers) = tiers.filter(|_| errors.is_empty()) else { return Err(errors) };

    let policies: BTreeMap<String, Arc<Policy>> = drafts
        .into_iter()
        .filter_map(|(name, draft)| Some((name.clone(), Arc::new(policy(&name, draft?, &*store, deps)))))
        .collect();
    Ok(Shared {
        clock: Arc::clone(&deps.clock),
        secret: Arc::clone(&deps.secret),
        ipv6_prefix: deps.ipv6_prefix,
        dialect: config.headers,
        tier_claim: config.tier_claim.as_str().into(),
        tuning: Tuning {
            keys: config.capacity,
            lease: config.lease.0,
            timeout: config.store_timeout.0,
            meters: metrics::meters(&deps.meter),
        },
        plans: plans.iter().map(|row| row.iter().map(|choice| choice.plan(&policies)).collect()).collect(),
        policies,
        tiers,
        metrics: PluginMetrics::new(&deps.meter),
        unknown_tier: Notice::default(),
        overflow: Notice::default(),
        store,
    })
}

fn policy(name: &str, draft: Draft, store: &dyn Quotas, deps: &Deps) -> Policy {
    Policy {
        limit: draft.limit,
        rate: draft.rate,
        key: draft.key,
        cost: draft.cost,
        force: draft.force,
        metrics: PolicyMetrics::new(&deps.meter, name),
        refusals: store.refusals(name),
    }
}

/// Whether all keys fit into the memory there may be.
pub(crate) fn oversized(config: &Config, memory_max: u64) -> BuildErrors {
    let mut errors = BuildErrors::default();
    let fit = memory_max / BYTES_PER_KEY;
    if config.capacity as u64 > fit {
        errors.error(
            KeyPath::table(["capacity"]),
            format!("a `capacity` of {} is more than [store] `memory_max` has room for", config.capacity),
            format!(
                "{} holds {fit} keys of {BYTES_PER_KEY} bytes; lower `capacity` or raise `memory_max`",
                Size(memory_max)
            ),
        );
    }
    errors
}

/// What is valid but probably not meant.
pub(crate) fn warnings(config: &Config) -> BuildErrors {
    let mut warnings = BuildErrors::default();
    for (name, table) in &config.policies {
        if KeySpec::parse(&table.key).is_ok_and(|key| key.is_chosen_by_client()) {
            warnings.error(
                KeyPath::table(["policies", name, "key"]),
                format!("policy `{name}` counts by a header"),
                "clients choose its value, and with each another bucket; add a second policy, by client or address",
            );
        }
    }
    warnings
}

/// Checks what concerns no single policy.
fn check_table(config: &Config, errors: &mut BuildErrors) {
    let (lease, timeout) = (config.lease.0, config.store_timeout.0);
    if !(LEASE.0..=LEASE.1).contains(&lease) {
        errors.error(
            KeyPath::table(["lease"]),
            format!("a lease of {} is out of bounds", config.lease),
            "expected 10ms to 1s",
        );
    }
    if timeout < MIN_STORE_TIMEOUT {
        errors.error(KeyPath::table(["store_timeout"]), "`store_timeout` is too short", "expected at least 1ms");
    } else if timeout >= lease {
        errors.error_about(
            KeyPath::table(["store_timeout"]),
            vec![KeyPath::table(["lease"])],
            format!("`store_timeout` is not shorter than `lease` ({})", config.lease),
            "a reply that comes after the lease has ended is of no use",
        );
    }
    if config.capacity == 0 || config.capacity > MAX_CAPACITY {
        errors.error(
            KeyPath::table(["capacity"]),
            format!("a capacity of {} is out of bounds", config.capacity),
            format!("expected 1 to {MAX_CAPACITY}"),
        );
    }
    if config.tier_claim.is_empty() {
        errors.error(KeyPath::table(["tier_claim"]), "`tier_claim` is empty", "expected the name of a claim");
    }
}

/// The label under a name that is not there: where it would be, and which was probably meant.
fn missing<'a>(table: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = crate::nearest::nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
    format!("no [rate_limit.{table}.{name}]{}", near.unwrap_or_default())
}

/// Whether a name can be sent in a field: RFC 9651 Strings are printable ASCII.
fn check_name(kind: &str, name: &str, at: KeyPath, errors: &mut BuildErrors) {
    if name.is_empty() || !name.chars().all(|letter| matches!(letter, ' '..='~')) {
        errors.error(at, format!("{kind} `{name}` has a name that cannot be sent"), "expected printable ASCII letters");
    }
}
