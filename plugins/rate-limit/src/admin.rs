//! `/rate-limit/{policy}` and `/rate-limit/{policy}/{key}` on the admin listener.

use crate::metrics::Decided;
use crate::policy::Policy;
use crate::shared::Shared;
use crate::stamp::rfc3339;
use http::Method;
use serde_json::json;
use std::time::SystemTime;
use vestibule_plugin::{AdminCall, AdminReply, Soon};
use vestibule_store::quotas::{Balance, Named, Outage, Scope};

/// Refused buckets in a report.
const REPORTED: usize = 20;

/// Begins the name under which a bucket is logged; no key text begins so.
const HIDDEN: &str = "h:";

/// Answers a call; `None` when the path has neither shape.
pub(crate) fn answer<'a>(shared: &'a Shared, call: &'a AdminCall<'a>) -> Option<Soon<'a, AdminReply>> {
    let (name, key) = match call.segments {
        [name] => (name, None),
        [name, key] => (name, Some(key.as_str())),
        _ => return None,
    };
    let Some(policy) = shared.policies.get(name) else {
        return Some(Soon::Now(AdminReply::NotFound(format!("there is no policy `{name}`"))));
    };
    let hidden = key.and_then(|key| key.strip_prefix(HIDDEN));
    let scope = shared.store.scope(&policy.limit);
    if hidden.is_some() && scope == Scope::Process {
        let why = "this process knows its buckets by key text, such as addr=203.0.113.7, not by hash";
        return Some(Soon::Now(AdminReply::NotFound(why.to_owned())));
    }
    // A bucket nobody can have would look like a full one.
    if hidden.is_some_and(|h| !is_hash(h)) {
        let why = "expected h: and the 22 letters of a logged hash".to_owned();
        return Some(Soon::Now(AdminReply::BadRequest(why)));
    }
    if hidden.is_none()
        && let Some(key) = key
        && let Some(why) = misfit(shared, policy, key)
    {
        return Some(Soon::Now(AdminReply::BadRequest(why)));
    }
    Some(match (key, call.method) {
        (None, &Method::GET) => Soon::Now(AdminReply::Json(report(policy, shared.clock.wall()))),
        (Some(key), &Method::GET) => look(shared, policy, key),
        (Some(key), &Method::DELETE) => reset(shared, policy, key),
        (None, _) => Soon::Now(AdminReply::MethodNotAllowed("GET, HEAD")),
        (Some(_), _) => Soon::Now(AdminReply::MethodNotAllowed("GET, HEAD, DELETE")),
    })
}

/// Why no request can have this key; `None` when one can.
fn misfit(shared: &Shared, policy: &Policy, key: &str) -> Option<String> {
    match policy.key.settled(key, shared.ipv6_prefix) {
        Some(real) if real == key => None,
        Some(real) => Some(format!("no request has this key; requests of whom it means have `{real}`")),
        None => {
            let (name, form) = (policy.limit.name(), policy.key.form());
            Some(format!("no key of policy `{name}` looks like this; expected {form}"))
        }
    }
}

/// Whether `h` may be what [`hidden`](vestibule_store::quotas::hidden) gives: 16 bytes in base64url.
fn is_hash(h: &str) -> bool {
    h.len() == 22 && h.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whose bucket is meant.
fn named(key: &str) -> Named<'_> {
    key.strip_prefix(HIDDEN).map_or(Named::Text(key), Named::Hidden)
}

/// What this process decided by `policy` since it started, and whom it refused most.
fn report(policy: &Policy, now: SystemTime) -> serde_json::Value {
    let refused: Vec<_> = policy
        .refusals
        .top(REPORTED, now)
        .into_iter()
        .map(|refused| {
            json!({
                "key": refused.name,
                "count": refused.count,
                "last_hour": refused.last_hour,
                "last": rfc3339(refused.last),
            })
        })
        .collect();
    let decided = &policy.metrics;
    json!({
        "policy": **policy.limit.name(),
        "limit": policy.rate.to_string(),
        "burst": policy.limit.burst(),
        "shadow": !policy.is_enforced(),
        "decisions": {
            "allowed": decided.total(Decided::Allowed),
            "denied": decided.total(Decided::Denied),
            "shadow_denied": decided.total(Decided::ShadowDenied),
            "error": decided.total(Decided::Error),
        },
        "refused_last_hour": policy.refusals.last_hour(now),
        "refused": refused,
    })
}

fn look<'a>(shared: &'a Shared, policy: &'a Policy, key: &'a str) -> Soon<'a, AdminReply> {
    let reply = move |balance: Result<Balance, Outage>| match balance {
        Err(outage) => AdminReply::Unavailable(outage.to_string()),
        Ok(Balance { remaining, debt_ns, wait_ns }) => AdminReply::Json(json!({
            "policy": **policy.limit.name(),
            "key": key,
            "limit": policy.rate.to_string(),
            "burst": policy.limit.burst(),
            "remaining": remaining,
            "debt_ms": debt_ns.div_ceil(1_000_000),
            "retry_after_ms": wait_ns.div_ceil(1_000_000),
            "scope": match shared.store.scope(&policy.limit) {
                Scope::Process => "process",
                Scope::Fleet => "fleet",
            },
        })),
    };
    match shared.store.look(&policy.limit, named(key)) {
        Soon::Now(balance) => Soon::Now(reply(balance)),
        Soon::Later(balance) => Soon::later(async move { reply(balance.await) }),
    }
}

fn reset<'a>(shared: &'a Shared, policy: &'a Policy, key: &'a str) -> Soon<'a, AdminReply> {
    let reply = |done: Result<(), Outage>| match done {
        Err(outage) => AdminReply::Unavailable(outage.to_string()),
        Ok(()) => AdminReply::Done,
    };
    match shared.store.reset(&policy.limit, named(key)) {
        Soon::Now(done) => Soon::Now(reply(done)),
        Soon::Later(done) => Soon::later(async move { reply(done.await) }),
    }
}
