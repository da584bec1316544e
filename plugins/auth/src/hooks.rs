//! One exchange: lets in or refuses, states who calls, and tells the application.

use crate::answers;
use crate::check::{Good, Refused, Step, Turn};
use crate::claims;
use crate::config::Mode;
use crate::credential::{self, Ours, Presented};
use crate::metrics::Outcome;
use crate::shared::{Door, Shared};
use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HeaderName, HeaderValue, ORIGIN};
use std::borrow::Cow;
use std::sync::Arc;
use vestibule_plugin::{
    AccessLine, ClientAddress, End, Facts, Field, Fields, Flow, Hooks, Principal, PrincipalKind, Problem, RequestHead,
    Soon, claim,
};

/// The hooks of one exchange.
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    outcome: Outcome,
    tells: Tells,
}

/// What the application is told instead of what the client sent.
#[derive(Default)]
struct Tells {
    /// Verified claims.
    fields: Option<Told>,
    /// Credentials that stay here.
    removed: Vec<HeaderName>,
}

enum Told {
    /// Of a token.
    Verified(Arc<crate::verify::Verified>),
    /// Of an API key.
    Subject(Box<[(HeaderName, HeaderValue)]>),
}

impl Tells {
    fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        match &self.fields {
            Some(Told::Verified(verified)) => &verified.fields,
            Some(Told::Subject(fields)) => fields,
            None => &[],
        }
    }
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, outcome: Outcome::Off, tells: Tells::default() }
    }

    /// Decides, once everything is known about what was presented.
    fn decide(&mut self, judged: Result<Judged, Refused>, facts: &mut Facts) -> Flow {
        let shared = Arc::clone(&self.shared);
        let door = shared.door(facts.route());
        let (outcome, refusal) = match judged {
            Err(refused) => (outcome_of(refused), Some(answers::refused(&shared, refused))),
            Ok(judged) => self.admit(&shared, door, judged, facts),
        };
        self.conclude(outcome, refusal)
    }

    fn admit(&mut self, shared: &Shared, door: &Door, judged: Judged, facts: &mut Facts) -> (Outcome, Option<Problem>) {
        let outcome = judged.outcome();
        let Some(principal) = judged.principal() else {
            let needed = door.mode == Mode::Required || door.asks();
            let missing = needed.then(|| answers::missing(shared));
            return (if needed { Outcome::Missing } else { Outcome::Anonymous }, missing);
        };
        if !door.lets(&principal) {
            return (Outcome::Forbidden, Some(answers::forbidden(shared, &door.scopes)));
        }
        facts.set_principal(principal);
        self.tells = judged.tells(shared);
        (outcome, None)
    }

    fn conclude(&mut self, outcome: Outcome, refusal: Option<Problem>) -> Flow {
        self.outcome = outcome;
        self.shared.metrics.decided(outcome);
        refusal.map_or(Flow::Continue, Flow::respond)
    }
}

impl Hooks for Exchange {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        let shared = Arc::clone(&self.shared);
        if shared.door(facts.route()).mode == Mode::Off {
            return Soon::Now(self.conclude(Outcome::Off, None));
        }
        if is_preflight(request) {
            return Soon::Now(self.conclude(Outcome::Anonymous, None));
        }
        let ours = Ours {
            tokens: shared.verifies_tokens(),
            api_key_field: shared.api_keys.is_some().then_some(&shared.api_key_field),
        };
        let Ok(presented) = credential::read(request.fields.map(), ours) else {
            let refusal = answers::ambiguous(&shared);
            return Soon::Now(self.conclude(Outcome::Malformed, Some(refusal)));
        };
        let address = facts.address();
        match judge(&shared, &presented, address, Turn::First) {
            Judgement::Now(judged) => Soon::Now(self.decide(judged, facts)),
            Judgement::Wait(waiting) => Soon::later(async move {
                waiting.end().await;
                let judged = match judge(&shared, &presented, address, Turn::Last) {
                    Judgement::Now(judged) => judged,
                    Judgement::Wait(_) => Err(Refused::NoKeys),
                };
                self.decide(judged, facts)
            }),
        }
    }

    fn on_upstream_request(&mut self, fields: &mut dyn Fields, _: &Facts) {
        for name in &self.tells.removed {
            fields.remove(name);
        }
        for (name, value) in self.tells.fields() {
            fields.set(name.clone(), value.clone());
        }
    }

    fn on_end<'a>(&'a mut self, _: &'a End<'a>, _: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        if !matches!(self.outcome, Outcome::Off | Outcome::Anonymous) {
            line.add("auth", || Field::Text(Cow::Borrowed(self.outcome.as_str())));
        }
        Soon::Now(())
    }
}

/// What was presented, and is good.
#[derive(Default)]
struct Judged {
    token: Option<Good>,
    api_key: Option<Arc<Principal>>,
}

enum Judgement {
    Now(Result<Judged, Refused>),
    Wait(crate::remote::Waiting),
}

/// Both must be good.
fn judge(shared: &Shared, presented: &Presented, address: ClientAddress, turn: Turn) -> Judgement {
    let token = match presented.token.as_deref().map(|token| shared.check_token(token, address, turn)) {
        None => None,
        Some(Step::Done(Ok(good))) => Some(good),
        Some(Step::Done(Err(refused))) => return Judgement::Now(Err(refused)),
        Some(Step::Wait(waiting)) => return Judgement::Wait(waiting),
    };
    let api_key = match presented.api_key.as_deref().map(|key| shared.check_api_key(key, address)) {
        None => None,
        Some(Ok(principal)) => Some(principal),
        Some(Err(refused)) => return Judgement::Now(Err(refused)),
    };
    Judgement::Now(Ok(Judged { token, api_key }))
}

impl Judged {
    fn outcome(&self) -> Outcome {
        match (&self.token, &self.api_key) {
            (Some(good), _) => good.outcome,
            (None, Some(_)) => Outcome::ApiKey,
            (None, None) => Outcome::Anonymous,
        }
    }

    /// The token's, and the API key's id with it.
    fn principal(&self) -> Option<Arc<Principal>> {
        match (&self.token, &self.api_key) {
            (Some(good), None) => Some(Arc::clone(&good.verified.principal)),
            (Some(good), Some(key)) => {
                let principal = Principal { api_key: key.api_key.clone(), ..(*good.verified.principal).clone() };
                Some(Arc::new(principal))
            }
            (None, Some(key)) => Some(Arc::clone(key)),
            (None, None) => None,
        }
    }

    fn tells(self, shared: &Shared) -> Tells {
        let mut removed = Vec::new();
        if !shared.config.forward_token {
            removed.extend(self.token.is_some().then_some(AUTHORIZATION));
            removed.extend(self.api_key.is_some().then(|| shared.api_key_field.clone()));
        }
        let subject = self.api_key.and_then(|key| key.subject.clone());
        let fields = match (self.token, subject) {
            (Some(good), _) => Some(Told::Verified(good.verified)),
            (None, Some(subject)) => Some(Told::Subject(shared.verifier.told_of_subject(&subject))),
            (None, None) => None,
        };
        Tells { fields, removed }
    }
}

impl Door {
    /// Whether it asks for more than a name.
    pub(crate) fn asks(&self) -> bool {
        !(self.scopes.is_empty() && self.claims.is_empty())
    }

    /// Whether a caller may pass.
    pub(crate) fn lets(&self, principal: &Principal) -> bool {
        let has = |scope: &String| principal.scopes.iter().any(|own| **own == **scope);
        let in_claims = |(name, wanted): &(String, Vec<String>)| {
            principal.kind == PrincipalKind::Token && claims::matches(claim(&principal.claims, name), wanted)
        };
        self.scopes.iter().all(has) && self.claims.iter().all(in_claims)
    }
}

/// A browser's question whether it may ask (Fetch standard, CORS-preflight fetch): it carries no credential by design.
fn is_preflight(request: &RequestHead<'_>) -> bool {
    let fields = request.fields.map();
    *request.method == Method::OPTIONS
        && fields.contains_key(ORIGIN)
        && fields.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn outcome_of(refused: Refused) -> Outcome {
    match refused {
        Refused::Bad(outcome) => outcome,
        Refused::Limited(_) => Outcome::Limited,
        Refused::NoKeys => Outcome::KeysUnavailable,
    }
}
