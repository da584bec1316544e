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
    /// Where the policy stands, or else the mode.
    at: KeyPath,
}

impl<'a> Written<'a> {
    fn of(entry: &'a RouteEntry<Route>) -> Option<Self> {
        let at = |key: &[&str]| KeyPath::Route(entry.id, key.iter().map(|step| (*step).to_owned()).collect());
        Some(match entry.key.as_ref()? {
            Route::Switch(on) => Self { on: *on, policy: None, mode: None, at: at(&[]) },
            Route::Policy(policy) => Self { on: true, policy: Some(policy), mode: None, at: at(&[]) },
            Route::Table(table) => {
                let key = if table.policy.is_some() { "policy" } else { "mode" };
                Self { on: true, policy: table.policy.as_deref(), mode: table.mode, at: at(&[key]) }
            }
        })
    }
}

fn tell(faults: Vec<Fault>, at: impl Fn() -> KeyPath, errors: &mut BuildErrors) {
    for Fault { message, label } in faults {
        errors.error(at(), message, label);
    }
}

/// About the table's policy, under a mode that is the route's own: it rests on both.
fn inherited(written: &Written<'_>, faults: Vec<Fault>, warnings: &mut BuildErrors) {
    for Fault { message, label } in faults {
        let message = format!("{message}, in the policy of [csp]");
        warnings.error_about(written.at.clone(), vec![KeyPath::table(["policy"])], message, label);
    }
}

/// What is valid but probably not meant.
pub(crate) fn warnings(config: &Config, routes: &Routes<Route>) -> BuildErrors {
    let mut warnings = BuildErrors::default();
    let judged = |text: &str, mode| policy::warnings(&policy::normalized(text), mode);
    tell(judged(&config.policy, config.mode), || KeyPath::table(["policy"]), &mut warnings);
    for written in routes.iter().filter_map(Written::of) {
        match (written.policy, written.mode) {
            (Some(own), mode) => tell(judged(own, mode.unwrap_or(config.mode)), || written.at.clone(), &mut warnings),
            // What follows for the mode of the table was told there.
            (None, Some(mode)) if mode != config.mode => {
                inherited(&written, judged(&config.policy, mode), &mut warnings);
            }
            (None, _) => {}
        }
    }
    if let Some((message, label)) = files::readable_by_all(&config.sink_token_file) {
        warnings.error(KeyPath::table(["sink_token_file"]), message, label);
    }
    sinks::warn(config, &mut warnings);
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RouteTable;
    use vestibule_plugin::RouteId;

    fn told(policy: &str, mode: Mode, route: Route) -> Vec<(KeyPath, String)> {
        let config = Config { policy: policy.to_owned(), mode, ..Config::default() };
        let entry = RouteEntry { id: RouteId(1), name: "a".to_owned(), path: "/a".to_owned(), key: Some(route) };
        let warnings = warnings(&config, &Routes::new(vec![entry])).into_errors();
        warnings.into_iter().map(|warning| (warning.at, warning.message)).collect()
    }

    #[test]
    fn an_inherited_policy_is_judged_by_the_mode_of_its_route() {
        let of_mode = |mode| Route::Table(RouteTable { policy: None, mode: Some(mode) });
        let at = || KeyPath::route(RouteId(1), ["mode"]);
        let unsafe_inline = "script-src 'unsafe-inline'";
        assert_eq!(
            told(unsafe_inline, Mode::ReportOnly, of_mode(Mode::Enforce)),
            [(at(), "`script-src` allows `'unsafe-inline'`, in the policy of [csp]".to_owned())]
        );
        assert_eq!(
            told("sandbox", Mode::Enforce, of_mode(Mode::ReportOnly)),
            [(at(), "`sandbox` does nothing in `report_only`, in the policy of [csp]".to_owned())]
        );
        // Once, where the table has the same mode; not at all, where the route has another policy or none.
        assert_eq!(told(unsafe_inline, Mode::Enforce, of_mode(Mode::Enforce)).len(), 1);
        assert_eq!(told(unsafe_inline, Mode::ReportOnly, of_mode(Mode::Off)), []);
        let own = RouteTable { policy: Some("img-src *".to_owned()), mode: Some(Mode::Enforce) };
        assert_eq!(told(unsafe_inline, Mode::ReportOnly, Route::Table(own)), []);
    }
}
