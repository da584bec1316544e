//! What would become of a request, in a line.

use crate::check::{Refused, Step, Turn};
use crate::config::Mode;
use crate::credential;
use crate::door::Entry;
use crate::judge::{Judged, Judgement, judge};
use crate::metrics::Outcome;
use crate::shared::{Shared, Source};
use vestibule_plugin::{Facts, RequestHead, RouteId};

/// Says it. Nothing is fetched: with keys from an address a token is only read, and taken for what it says.
pub(crate) fn line(shared: &Shared, request: &RequestHead<'_>, route: RouteId, facts: &mut Facts) -> String {
    let door = shared.door(route);
    let mode = match door.mode {
        Mode::Off => return "off  no credential is looked at".to_owned(),
        Mode::Optional => "optional",
        Mode::Required => "required",
    };
    if credential::is_preflight(request) {
        return format!("{mode}  CORS preflight, passes without a credential");
    }
    let Ok(presented) = credential::read(&*request.fields, shared.ours()) else {
        return format!("{mode}  two credentials where one belongs, would answer 400");
    };
    let address = facts.address();
    let judgement = judge(shared, presented, address, |token| match &shared.source {
        Source::Remote(_) => Step::Done(shared.believe_token(token)),
        Source::Fixed(_) | Source::None => shared.check_token(token, address, Turn::Last),
    });
    let judged = match judgement {
        Judgement::Now(Ok(judged)) => judged,
        Judgement::Now(Err(refused)) => return format!("{mode}  {}", refusal(refused)),
        Judgement::Wait(_) => return format!("{mode}  {}", refusal(Refused::NoKeys)),
    };
    let mut parts = vec![mode.to_owned()];
    parts.extend(seen(shared, &judged));
    parts.push(match door.admit(judged.principal()) {
        Entry::Known(principal) => {
            facts.set_principal(principal);
            "allowed".to_owned()
        }
        Entry::Anonymous => "no credential, anonymous".to_owned(),
        Entry::Missing => "no credential, would answer 401".to_owned(),
        Entry::Forbidden => "not allowed here, would answer 403".to_owned(),
    });
    parts.join("  ")
}

/// What there was.
fn seen(shared: &Shared, judged: &Judged) -> Vec<String> {
    let token = judged.token.as_ref().map(|_| match &shared.source {
        Source::Remote(_) => "token unverified (keys from jwks_url); what follows holds if its signature is good",
        Source::Fixed(_) | Source::None => "token ok",
    });
    let api_key = judged.api_key.as_ref().map(|key| format!("api key {}", key.api_key.as_deref().unwrap_or_default()));
    token.map(str::to_owned).into_iter().chain(api_key).collect()
}

fn refusal(refused: Refused) -> String {
    match refused {
        Refused::Bad(Outcome::BadApiKey) => "api key unknown, would answer 401".to_owned(),
        Refused::Bad(outcome) => format!("token refused ({}), would answer 401", outcome.as_str()),
        Refused::Limited(_) => "too many bad credentials from this address, would answer 429".to_owned(),
        Refused::NoKeys => "token cannot be verified, would answer 503".to_owned(),
    }
}
