//! `/idempotency/{principal}/{key}` on the admin listener: the way out once somebody knows what happened.

use crate::key::Key;
use crate::names::PrincipalId;
use crate::principal::{ADDRESS, ANONYMOUS, API_KEY, NONE, SUBJECT};
use crate::shared::Shared;
use http::Method;
use std::net::IpAddr;
use vestibule_plugin::{AdminCall, AdminReply, ClientAddress, Soon};
use vestibule_store::records::{Forgotten, Live, Outage};

/// Answers a call; `None` when the path has another shape.
pub(crate) fn answer<'a>(shared: &'a Shared, call: &'a AdminCall<'a>) -> Option<Soon<'a, AdminReply>> {
    let [principal, key] = call.segments else { return None };
    if call.method != Method::DELETE {
        return Some(Soon::Now(AdminReply::MethodNotAllowed("DELETE")));
    }
    Some(match named(shared, principal, key, call.query) {
        Err(why) => Soon::Now(AdminReply::BadRequest(why)),
        Ok((principal, live)) => {
            let name = shared.names.record(principal, key);
            let told = move |forgotten: Result<Forgotten, Outage>| {
                if forgotten == Ok(Forgotten::Deleted) {
                    let force = live == Live::Forget;
                    tracing::warn!(target: "idempotency", record = %name, principal_id = %principal, force,
                        "a record was forgotten by hand; its key may be executed again");
                }
                reply(forgotten)
            };
            match shared.ledger.records().forget(name, live) {
                Soon::Now(forgotten) => Soon::Now(told(forgotten)),
                Soon::Later(forgotten) => Soon::later(async move { told(forgotten.await) }),
            }
        }
    })
}

fn named(shared: &Shared, principal: &str, key: &str, query: &str) -> Result<(PrincipalId, Live), String> {
    let live = match query {
        "" | "force=false" => Live::Spare,
        "force=true" => Live::Forget,
        _ => return Err(format!("`?{query}` is not understood; expected nothing, or ?force=true")),
    };
    if !Key::fits(key) {
        return Err("a key has 1 to 255 printable ASCII characters, percent-encoded in the path".to_owned());
    }
    Ok((principal_of(shared, principal)?, live))
}

fn principal_of(shared: &Shared, principal: &str) -> Result<PrincipalId, String> {
    const EXPECTED: &str =
        "expected subject:ISSUER|SUBJECT, api_key:ID, address:IP, none, anonymous, or id:HEX as in log lines";
    let names = &shared.names;
    let known = match principal.split_once(':') {
        None if principal == NONE || principal == ANONYMOUS => Some(names.principal(principal, b"")),
        Some((SUBJECT, value)) if !value.contains('|') => None,
        Some((kind @ (SUBJECT | API_KEY), value)) if !value.is_empty() => Some(names.principal(kind, value.as_bytes())),
        Some((ADDRESS, value)) => {
            // As a log line shows it, also with its prefix.
            let bare = value.split_once('/').map_or(value, |(address, _)| address);
            let address = bare.parse::<IpAddr>().ok().map(|ip| ClientAddress::of(ip, shared.ipv6_prefix));
            address.map(|address| names.principal(ADDRESS, address.to_string().as_bytes()))
        }
        Some(("id", hex)) => PrincipalId::parse(hex),
        _ => None,
    };
    known.ok_or_else(|| format!("`{principal}` names no principal; {EXPECTED}"))
}

fn reply(forgotten: Result<Forgotten, Outage>) -> AdminReply {
    match forgotten {
        Ok(Forgotten::Deleted) => AdminReply::Done,
        Ok(Forgotten::Absent) => AdminReply::NotFound("there is no record of this principal and key".to_owned()),
        Ok(Forgotten::Alive) => AdminReply::Conflict(
            "a request with this key is being executed; with ?force=true it is forgotten, and may be executed twice"
                .to_owned(),
        ),
        Err(outage) => AdminReply::Unavailable(outage.to_string()),
    }
}
