//! From what is written to what runs.

mod intake;
mod sinks;

pub(crate) use intake::terms;
pub(crate) use sinks::{read_token, sinks};

use crate::config::{Config, Mode, Route};
use crate::header::Policy;
use crate::policy::{self, Fault};
use std::sync::Arc;
use vestibule_plugin::{BuildErrors, KeyPath, RouteEntry, Routes, files};

/// The policy of each route, `unmatched` first.
pub(crate) fn policies(config: &Config, routes: &Routes<Route>, errors: &mut BuildErrors) -> Vec<Option<Arc<Policy>>> {
    let reports_to = config.reports.then_some(config.report_path.as_str());
    let policy = |text: &str, mode| Policy::new(&policy::normalized(text), mode, reports_to).map(Arc::new);
    tell(policy::errors(&policy::normalized(&config.policy)), || KeyPath::table(["policy"]), errors);
    routes.table(|entry| {
        let Some(written) = entry.and_then(Written::of) else { return policy(&config.policy, config.mode) };
        if let Some(own) = written.policy {
            tell(policy::errors(&policy::normalized(own)), || written.at.clone(), errors);
        }
        written.on.then(|| policy(written.policy.unwrap_or(&config.policy), written.mode.unwrap_or(config.mode)))?
    })
}

/// What a route says of its policy.
struct Written<'a> {
    on: bool,
    policy: Option<&'a str>,
    mode: Option<Mode>,
    /// Where the policy stands.
    at: KeyPath,
}

impl<'a> Written<'a> {
    fn of(entry: &'a RouteEntry<Route>) -> Option<Self> {
        let at = |key: &[&str]| KeyPath::Route(entry.id, key.iter().map(|step| (*step).to_owned()).collect());
        Some(match entry.key.as_ref()? {
            Route::Switch(on) => Self { on: *on, policy: None, mode: None, at: at(&[]) },
            Route::Policy(policy) => Self { on: true, policy: Some(policy), mode: None, at: at(&[]) },
            Route::Table(table) => {
                Self { on: true, policy: table.policy.as_deref(), mode: table.mode, at: at(&["policy"]) }
            }
        })
    }
}

fn tell(faults: Vec<Fault>, at: impl Fn() -> KeyPath, errors: &mut BuildErrors) {
    for Fault { message, label } in faults {
        errors.error(at(), message, label);
    }
}

/// What is valid but probably not meant.
pub(crate) fn warnings(config: &Config, routes: &Routes<Route>) -> BuildErrors {
    let mut warnings = BuildErrors::default();
    let judged = |text: &str, mode| policy::warnings(&policy::normalized(text), mode);
    tell(judged(&config.policy, config.mode), || KeyPath::table(["policy"]), &mut warnings);
    for written in routes.iter().filter_map(Written::of) {
        let mode = written.mode.unwrap_or(config.mode);
        if let Some(own) = written.policy {
            tell(judged(own, mode), || written.at.clone(), &mut warnings);
        }
    }
    if let Some((message, label)) = files::readable_by_all(&config.sink_token_file) {
        warnings.error(KeyPath::table(["sink_token_file"]), message, label);
    }
    sinks::warn(config, &mut warnings);
    warnings
}
