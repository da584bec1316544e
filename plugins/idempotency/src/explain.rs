//! What would be done with a request, in a line, without doing it: nothing is sent and no store is asked.

use crate::config::{Anonymous, FingerprintKind, Mode, Profile};
use crate::key::{Form, Invalid, Key};
use crate::policy::Policy;
use crate::principal;
use crate::shared::Shared;
use crate::stored::ClearRecords;
use vestibule_plugin::units::{Size, Span};
use vestibule_plugin::{Facts, RequestHead, RouteId};

/// The line, without the plugin's name.
pub(crate) fn line(
    shared: &Shared,
    policy: &Policy,
    request: &RequestHead<'_>,
    route: RouteId,
    facts: &Facts,
) -> String {
    let mode = match policy.mode {
        Mode::Off => "off",
        Mode::Optional => "optional",
        Mode::Required => "required",
    };
    let whose = match route {
        RouteId::UNMATCHED => "no route".to_owned(),
        route => format!("route {}", shared.route_names.get(route.index()).map_or("", String::as_str)),
    };
    format!("{mode} ({whose})  {}", steps(shared, policy, request, facts))
}

fn steps(shared: &Shared, policy: &Policy, request: &RequestHead<'_>, facts: &Facts) -> String {
    if policy.mode == Mode::Off {
        return "passes".to_owned();
    }
    if !policy.methods.contains(request.method) {
        return format!("{} is not protected, passes", request.method);
    }

    let fields = &*request.fields;
    let key = Key::read(fields.only(&policy.header), policy.syntax);

    if request.is_grpc() {
        return match policy.mode {
            Mode::Required => "gRPC, 400 idempotency-unsupported".to_owned(),
            Mode::Optional | Mode::Off => "gRPC, passes".to_owned(),
        };
    }

    let form = match key {
        Ok(Some(key)) => match key.form {
            Form::Bare => "bare",
            Form::Quoted => "quoted",
        },
        Ok(None) if policy.mode == Mode::Required => return "no key, 400 idempotency-key-missing".to_owned(),
        Ok(None) => return "no key, passes".to_owned(),
        Err(Invalid(why)) => return format!("key invalid ({why}), 400 idempotency-key-invalid"),
    };

    let kind = principal::find(&policy.principal, &shared.names, fields, facts);
    let kind = match kind.and_then(|found| policy.principal.get(found.at)) {
        Some(kind) => kind.name(),
        None if policy.anonymous == Anonymous::Share => principal::ANONYMOUS.into(),
        None => return format!("key ok, {form}  no principal, 401 idempotency-principal-missing"),
    };

    let fingerprint = match policy.fingerprint {
        FingerprintKind::Raw => "raw",
        FingerprintKind::Json => "json",
    };

    let profile = match policy.profile {
        Profile::AtMostOnce => "at_most_once",
        Profile::RetryFriendly => "retry_friendly",
    };

    let size = |bytes: usize| Size(bytes as u64);
    let bounds = if policy.claims_per_client.is_some() { ", if its address may have another claim" } else { "" };
    let clear = match (&policy.keys, policy.clear_records) {
        (None, _) => "",
        (Some(_), ClearRecords::Refused) => ", encrypted",
        (Some(_), ClearRecords::Accepted) => ", encrypted, records in the clear accepted",
    };

    format!(
        "key ok, {form}  principal {kind}  {fingerprint}  {profile}  would claim for {}{bounds}, hold <= {} + {}, keep \
         {}{clear}",
        Span(policy.lease),
        size(policy.max_request_body),
        size(policy.max_response_body),
        Span(policy.ttl),
    )
}
