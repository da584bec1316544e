//! What meets where: the policies of every tier on every route.

use super::limits::{Draft, Drafts};
use super::tiers::{Entry, known};
use crate::config::{Route, RouteTable};
use crate::policy::{Plan, Policy};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use vestibule_plugin::{BuildErrors, KeyPath, RouteEntry, Routes};
use vestibule_store::quotas::MAX_CHARGES;

/// The policies of one tier on one route, by name.
pub(super) struct Choice {
    policies: Vec<String>,
    cost: u64,
}

impl Choice {
    /// The plan, once the policies are built.
    pub(super) fn plan(&self, policies: &BTreeMap<String, Arc<Policy>>) -> Option<Plan> {
        let chosen: Vec<_> = self.policies.iter().filter_map(|name| policies.get(name).cloned()).collect();
        Plan::new(&chosen, self.cost)
    }
}

/// A row a route, `unmatched` first; in it a choice for each tier.
pub(super) fn choose(
    routes: &Routes<Route>,
    drafts: &Drafts,
    tiers: &[Entry],
    errors: &mut BuildErrors,
) -> Vec<Vec<Choice>> {
    for tier in tiers.iter().filter(|tier| tier.policies.len() > MAX_CHARGES) {
        errors.error(
            KeyPath::table(["tiers", &tier.name]),
            format!("tier `{}` has {} policies", tier.name, tier.policies.len()),
            format!("at most {MAX_CHARGES} may meet in one request"),
        );
    }
    routes.table(|entry| row(entry, drafts, tiers, errors))
}

fn row(entry: Option<&RouteEntry<Route>>, drafts: &Drafts, tiers: &[Entry], errors: &mut BuildErrors) -> Vec<Choice> {
    let Some((entry, key)) = entry.and_then(|entry| Some((entry, entry.key.as_ref()?))) else {
        return tiers.iter().map(|tier| Choice { policies: tier.policies.clone(), cost: 1 }).collect();
    };
    let table = match key {
        Route::Policies(policies) => Cow::Owned(RouteTable { policies: policies.clone(), ..RouteTable::default() }),
        Route::Table(table) => Cow::Borrowed(table),
    };
    let at = |i: usize| match key {
        Route::Policies(_) => KeyPath::route(entry.id, [&i.to_string()]),
        Route::Table(_) => KeyPath::route(entry.id, ["policies", &i.to_string()]),
    };
    let own = known(&table.policies, drafts, at, errors);
    let mut expensive: Vec<&str> = Vec::new();
    let mut crowded: Option<(&str, usize)> = None;
    let choices: Vec<Choice> = tiers
        .iter()
        .map(|tier| {
            let mut policies = if table.tiers { tier.policies.clone() } else { Vec::new() };
            policies.extend(own.iter().filter(|name| !tier.policies.contains(name) || !table.tiers).cloned());
            for (name, draft) in policies.iter().filter_map(|name| drafts.get_key_value(name)) {
                if draft.as_ref().is_some_and(|draft| costs_too_much(draft, table.cost))
                    && !expensive.contains(&&**name)
                {
                    expensive.push(name);
                }
            }
            if policies.len() > MAX_CHARGES && tier.policies.len() <= MAX_CHARGES {
                let larger = crowded.filter(|(_, count)| *count >= policies.len());
                crowded = Some(larger.unwrap_or((&tier.name, policies.len())));
            }
            Choice { policies, cost: table.cost }
        })
        .collect();
    report(entry, &table, &expensive, crowded, drafts, errors);
    choices
}

fn costs_too_much(draft: &Draft, route_cost: u64) -> bool {
    draft.cost.saturating_mul(route_cost) > draft.limit.burst()
}

fn report(
    entry: &RouteEntry<Route>,
    table: &RouteTable,
    expensive: &[&str],
    crowded: Option<(&str, usize)>,
    drafts: &Drafts,
    errors: &mut BuildErrors,
) {
    for (name, draft) in expensive.iter().filter_map(|name| Some((name, drafts.get(*name)?.as_ref()?))) {
        errors.error_about(
            KeyPath::route(entry.id, ["cost"]),
            ["limit", "burst", "cost", "algorithm"].map(|key| KeyPath::table(["policies", name, key])).into(),
            format!(
                "a request of route `{}` costs {} under policy `{name}`",
                entry.name,
                draft.cost.saturating_mul(table.cost)
            ),
            format!("the burst of `{name}` is {}, so no request could ever pass", draft.limit.burst()),
        );
    }
    if let Some((tier, count)) = crowded {
        errors.error(
            KeyPath::Route(entry.id, Vec::new()),
            format!("{count} policies meet on route `{}` in tier `{tier}`", entry.name),
            format!("at most {MAX_CHARGES} may meet in one request"),
        );
    }
}
