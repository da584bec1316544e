//! What would become of a request, in a line.

use crate::check::{Refused, Step, Turn};
use crate::config::Mode;
use crate::credential::{self, Ours};
use crate::shared::{Shared, Source};
use vestibule_plugin::{Facts, RequestHead, RouteId};

/// Says it. Nothing is fetched: with keys from an address a token is only read.
pub(crate) fn line(shared: &Shared, request: &RequestHead<'_>, route: RouteId, facts: &Facts) -> String {
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
                format!("token unverified, {} under keys from jwks_url", token.algorithm.name())
            }
            (_, Ok(_)) => match shared.check_token(token, facts.address(), Turn::Last) {
                Step::Done(Ok(_)) => "token ok".to_owned(),
                Step::Done(Err(Refused::Bad(outcome))) => {
                    format!("token refused ({}), would answer 401", outcome.as_str())
                }
                Step::Done(Err(_)) | Step::Wait(_) => "token cannot be verified, would answer 503".to_owned(),
            },
        });
    }
    if let Some(key) = &presented.api_key {
        parts.push(match shared.check_api_key(key, facts.address()) {
            Ok(principal) => format!("api key {}", principal.api_key.as_deref().unwrap_or_default()),
            Err(_) => "api key unknown, would answer 401".to_owned(),
        });
    }
    if presented == credential::Presented::default() {
        let refused = door.mode == Mode::Required;
        parts.push(if refused { "no credential, would answer 401" } else { "no credential, anonymous" }.to_owned());
    }
    if !door.scopes.is_empty() {
        parts.push(format!("needs scope {}", door.scopes.join(" ")));
    }
    parts.join("  ")
}
