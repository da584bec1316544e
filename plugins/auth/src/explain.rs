//! What would become of a request, in a line.

use crate::check::{Refused, Step, Turn};
use crate::config::Mode;
use crate::credential::{self, Ours};
use crate::shared::{Shared, Source};
use std::sync::Arc;
use vestibule_plugin::{Facts, Principal, RequestHead, RouteId};

/// Says it. Nothing is fetched: with keys from an address a token is only read.
pub(crate) fn line(shared: &Shared, request: &RequestHead<'_>, route: RouteId, facts: &mut Facts) -> String {
    let door = shared.door(route);
    let mode = match door.mode {
        Mode::Off => return "off  no credential is looked at".to_owned(),
        Mode::Optional => "optional",
        Mode::Required => "required",
    };
    let ours = Ours {
        tokens: shared.verifies_tokens(),
        api_key_field: shared.api_keys.is_some().then_some(&shared.api_key_field),
    };
    let Ok(presented) = credential::read(request.fields.map(), ours) else {
        return format!("{mode}  two credentials where one belongs, would answer 400");
    };
    let mut parts = vec![mode.to_owned()];
    if let Some(token) = &presented.token {
        parts.push(match (&shared.source, shared.verifier.read(token)) {
            (_, Err(_)) => "token is not acceptable, would answer 401".to_owned(),
            (Source::Remote(_), Ok(token)) => {
                let algorithm = token.algorithm.name();
                facts.set_principal(Principal::of_token(token.claims).into());
                format!("token unverified ({algorithm}, keys from jwks_url); what follows holds if it is good")
            }
            (_, Ok(_)) => match shared.check_token(token, facts.address(), Turn::Last) {
                Step::Done(Ok(good)) => {
                    facts.set_principal(Arc::clone(&good.verified.principal));
                    "token ok".to_owned()
                }
                Step::Done(Err(Refused::Bad(outcome))) => {
                    format!("token refused ({}), would answer 401", outcome.as_str())
                }
                Step::Done(Err(_)) | Step::Wait(_) => "token cannot be verified, would answer 503".to_owned(),
            },
        });
    }
    if let Some(key) = &presented.api_key {
        parts.push(match shared.check_api_key(key, facts.address()) {
            Ok(principal) => {
                let said = format!("api key {}", principal.api_key.as_deref().unwrap_or_default());
                if facts.principal().is_none() {
                    facts.set_principal(principal);
                }
                said
            }
            Err(_) => "api key unknown, would answer 401".to_owned(),
        });
    }
    if presented == credential::Presented::default() {
        let refused = door.mode == Mode::Required;
        parts.push(if refused { "no credential, would answer 401" } else { "no credential, anonymous" }.to_owned());
    }
    if let Some(principal) = facts.principal() {
        parts.push(if door.lets(principal) { "allowed" } else { "not allowed here, would answer 403" }.to_owned());
    } else if door.asks() {
        parts.push("asks for scopes or claims, would answer 401".to_owned());
    }
    parts.join("  ")
}
