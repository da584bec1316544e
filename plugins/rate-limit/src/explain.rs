//! Which policies would decide on a request, and by which keys. Nothing is charged.

use crate::policy::{Plan, Policy};
use crate::shared::Shared;
use crate::tiers::Claimed;
use std::sync::Arc;
use vestibule_plugin::units::Span;
use vestibule_plugin::{Facts, PrincipalKind, RequestHead, RouteId};
use vestibule_store::quotas::{Algorithm, Scope, Sharing, hidden};

/// The tier, and a line a policy.
pub(crate) fn lines(shared: &Shared, request: &RequestHead<'_>, route: RouteId, facts: &mut Facts) -> String {
    let resolved = shared.tiers.resolve(Claimed::of(facts, &shared.tier_claim));
    let name = Arc::clone(shared.tiers.name(resolved.tier));
    let why = match facts.principal().map(|principal| principal.kind) {
        None => "nobody is identified".to_owned(),
        Some(_) if resolved.unknown => "the credential names one that does not exist".to_owned(),
        Some(PrincipalKind::Token) => format!("claim `{}` of the token", shared.tier_claim),
        Some(PrincipalKind::ApiKey) => "of the API key".to_owned(),
    };
    facts.set_tier(Arc::clone(&name));
    let mut said = format!("tier {name} ({why})");
    let Some(plan) = shared.plan(route, resolved.tier) else {
        said.push_str("\nno policy applies");
        return said;
    };
    // Without a route a tier has its own policies alone.
    let of_tier = |policy: &Policy| {
        let own = shared.plan(RouteId::UNMATCHED, resolved.tier).into_iter().flat_map(Plan::policies);
        own.into_iter().any(|other| other.limit.name() == policy.limit.name())
    };
    let keys = plan.key_texts(request, facts);
    let rows: Vec<[String; 5]> = plan.policies().map(|policy| row(shared, policy, of_tier(policy))).collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    for (place, (policy, row)) in plan.policies().zip(&rows).enumerate() {
        said.push('\n');
        for (cell, width) in row.iter().zip(widths) {
            said.push_str(&format!("{cell:width$}  "));
        }
        let key = plan.key_text(place, &keys);
        let shadow = if policy.is_enforced() { "" } else { "  shadow" };
        let (h, cost) = (hidden(&shared.secret, key), plan.cost(place));
        said.push_str(&format!("key {key} (h:{h})  cost {cost}{shadow}"));
    }
    said
}

/// Name, where it comes from, algorithm, limit, and how it is shared.
fn row(shared: &Shared, policy: &Policy, of_tier: bool) -> [String; 5] {
    let limit = &policy.limit;
    let (algorithm, quota) = match limit.algorithm() {
        Algorithm::Gcra => ("gcra", format!("{}  burst {}", policy.rate, limit.burst())),
        Algorithm::SlidingLog => ("sliding_log", policy.rate.to_string()),
    };
    let sharing = match (shared.store.scope(limit), limit.sharing()) {
        // Whatever is configured: there is nobody to share with.
        (Scope::Process, _) | (_, Sharing::Local) => "local".to_owned(),
        (Scope::Fleet, Sharing::Strict) => "strict".to_owned(),
        (Scope::Fleet, Sharing::Leased) => format!("leased {}", Span(shared.tuning.lease)),
    };
    let origin = if of_tier { "tier" } else { "route" };
    [limit.name().to_string(), origin.to_owned(), algorithm.to_owned(), quota, sharing]
}
