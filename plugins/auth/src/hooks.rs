//! One exchange: lets in or refuses, states who calls, and tells the application.

use crate::answers;
use crate::check::{Refused, Turn};
use crate::config::Mode;
use crate::credential;
use crate::door::{Door, Entry};
use crate::judge::{Judged, Judgement, judge};
use crate::metrics::Outcome;
use crate::shared::Shared;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::sync::Arc;
use vestibule_plugin::{AccessLine, End, Facts, Field, Fields, Flow, Hooks, Problem, RequestHead, Soon};

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
    fn of(judged: Judged, shared: &Shared) -> Self {
        let mut removed = Vec::new();
        if !shared.config.forward_token {
            removed.extend(judged.token.is_some().then_some(AUTHORIZATION));
            removed.extend(judged.api_key.is_some().then(|| shared.api_key_field.clone()));
        }
        let subject = judged.api_key.and_then(|key| key.subject.clone());
        let fields = match (judged.token, subject) {
            (Some(good), _) => Some(Told::Verified(good.verified)),
            (None, Some(subject)) => Some(Told::Subject(shared.verifier.told_of_subject(&subject))),
            (None, None) => None,
        };
        Self { fields, removed }
    }

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
        match door.admit(judged.principal()) {
            Entry::Known(principal) => {
                facts.set_principal(principal);
                let outcome = judged.outcome();
                self.tells = Tells::of(judged, shared);
                (outcome, None)
            }
            Entry::Anonymous => (Outcome::Anonymous, None),
            Entry::Missing => (Outcome::Missing, Some(answers::missing(shared))),
            Entry::Forbidden => (Outcome::Forbidden, Some(answers::forbidden(shared, &door.scopes))),
        }
    }

    fn conclude(&mut self, outcome: Outcome, refusal: Option<Problem>) -> Flow {
        self.outcome = outcome;
        self.shared.metrics.decided(outcome);
        let Some(mut refusal) = refusal else { return Flow::Continue };
        refusal.reason.get_or_insert(Cow::Borrowed(outcome.as_str()));
        Flow::respond(refusal)
    }
}

impl Hooks for Exchange {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        // Shared from here on: what was presented stays where it is, however long keys take.
        let request: &'a RequestHead<'_> = request;
        let shared = Arc::clone(&self.shared);
        if shared.door(facts.route()).mode == Mode::Off {
            return Soon::Now(self.conclude(Outcome::Off, None));
        }
        if credential::is_preflight(request) {
            return Soon::Now(self.conclude(Outcome::Anonymous, None));
        }
        let Ok(presented) = credential::read(&*request.fields, shared.ours()) else {
            let refusal = answers::ambiguous(&shared);
            return Soon::Now(self.conclude(Outcome::Malformed, Some(refusal)));
        };
        let address = facts.address();
        match judge(&shared, presented, address, |token| shared.check_token(token, address, Turn::First)) {
            Judgement::Now(judged) => Soon::Now(self.decide(judged, facts)),
            Judgement::Wait(waiting) => Soon::later(async move {
                waiting.end().await;
                let again = judge(&shared, presented, address, |token| shared.check_token(token, address, Turn::Last));
                let judged = match again {
                    Judgement::Now(judged) => judged,
                    Judgement::Wait(_) => Err(Refused::NoKeys),
                };
                self.decide(judged, facts)
            }),
        }
    }

    fn on_upstream_request(&mut self, fields: &mut Fields, _: &Facts) {
        for name in &self.tells.removed {
            fields.remove(name);
        }
        for (name, value) in self.tells.fields() {
            fields.set(name, value);
        }
    }

    fn on_end<'a>(&'a mut self, _: &'a End<'a>, _: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        if !matches!(self.outcome, Outcome::Off | Outcome::Anonymous) {
            line.add("auth", || Field::Text(Cow::Borrowed(self.outcome.as_str())));
        }
        Soon::Now(())
    }
}

fn outcome_of(refused: Refused) -> Outcome {
    match refused {
        Refused::Bad(outcome) => outcome,
        Refused::Limited(_) => Outcome::Limited,
        Refused::NoKeys => Outcome::KeysUnavailable,
    }
}
