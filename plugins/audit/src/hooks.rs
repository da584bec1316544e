//! One audited exchange: what was asked is noted, that it begins is on disk before the application sees it, what came of
//! it is written once.

use crate::capture::Capture;
use crate::config::OnError;
use crate::draft::{Data, Draft, EndData, Mark, RequestData};
use crate::log::queue::Pushed;
use crate::metadata::{Asked, Metadata, Told};
use crate::outcome::Outcome;
use crate::shared::{Shared, Trail};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;
use vestibule_chain::millis;
use vestibule_plugin::{AccessLine, AnsweredBy, End, Facts, Field, Flow, Hooks, Problem, RequestHead, RouteId, Soon};

/// The hooks of an exchange.
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    trail: Arc<Trail>,
    request_id: Uuid,
    started_ms: u64,
    action: String,
    resource: String,
    asked: Asked,
    capture: Capture,
    /// Whether a record says that it begins.
    announces: bool,
    announced: bool,
}

impl Exchange {
    /// On a route that is audited; `None` on another.
    pub(crate) fn new(shared: &Arc<Shared>, request: &RequestHead<'_>, route: RouteId) -> Option<Self> {
        let (plan, trail) = (shared.plan(route)?, shared.trail.get()?);
        let method = request.method.as_str();
        let fields = &*request.fields;
        let redactor = &shared.redactor;
        let reads = matches!(*request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let upgrades = fields.has(&header::UPGRADE);
        Some(Self {
            shared: Arc::clone(shared),
            trail: Arc::clone(trail),
            request_id: Uuid::now_v7(),
            started_ms: millis(shared.clock.wall()),
            action: plan.action.fill(&plan.path, request.path, method, redactor),
            resource: plan.resource.fill(&plan.path, request.path, method, redactor),
            asked: Asked::new(redactor, request),
            capture: Capture::new(shared.capture_body, request.body_length, fields),
            announces: !reads || upgrades || shared.on_error == OnError::Closed,
            announced: false,
        })
    }

    fn draft(&self, kind: &'static str, mark: Mark, facts: &Facts, said: Said) -> Draft {
        let shared = &self.shared;
        let request = RequestData {
            request_id: self.request_id,
            trace_id: facts.trace().trace_id,
            started_ms: self.started_ms,
            replayed: facts.replayed(),
            end: said.end,
        };
        let data = Data {
            action: Cow::Owned(said.action),
            actor: shared.identities.actor(facts.principal().map(|principal| &**principal)),
            resource: Cow::Owned(said.resource),
            route: Some(shared.route_name(facts.route())),
            outcome: said.outcome,
            status: said.status,
            client: Some(shared.identities.client(facts.address())),
            metadata: said.metadata,
            request: Some(request),
        };
        Draft::new(kind, millis(shared.clock.wall()), mark, data)
    }

    /// Under `closed`, while the log fails.
    fn refusal(&self) -> Option<Problem> {
        let closed = self.shared.on_error == OnError::Closed;
        (closed && self.trail.log.fails()).then(|| unavailable("the audit log cannot be written"))
    }

    /// Says that the request begins; under `closed` it waits until that is on disk.
    fn announce<'a>(&'a mut self, facts: &Facts) -> Soon<'a, Flow> {
        if let Some(problem) = self.refusal() {
            return Soon::Now(Flow::respond(problem));
        }
        let closed = self.shared.on_error == OnError::Closed;
        let said = Said {
            action: self.action.clone(),
            resource: self.resource.clone(),
            outcome: "unknown",
            status: None,
            metadata: self.asked.metadata(&Told::default()),
            end: None,
        };
        let draft = self.draft("request.started", Mark::Opens(self.request_id), facts, said);
        let pushed = self.trail.log.push(draft);
        self.announced = pushed != Pushed::Lost;
        match pushed {
            _ if !closed => Soon::Now(Flow::Continue),
            Pushed::Lost => Soon::Now(Flow::respond(unavailable("the audit log takes no more events"))),
            Pushed::Queued(ticket) => Soon::later(async move {
                match tokio::time::timeout(self.shared.timeout, self.trail.log.durable(ticket)).await {
                    Ok(true) => Flow::Continue,
                    Ok(false) => Flow::respond(unavailable("the event was given up, or the audit log closed")),
                    Err(_elapsed) => Flow::respond(unavailable("the audit log is too slow")),
                }
            }),
        }
    }
}

/// What one record says beyond what all of a request say.
struct Said {
    action: String,
    resource: String,
    outcome: &'static str,
    status: Option<u16>,
    metadata: Metadata,
    end: Option<EndData>,
}

impl Hooks for Exchange {
    /// While nothing can be recorded nothing is begun, not even a look at what the application has.
    fn on_request<'a>(&'a mut self, _: &'a mut RequestHead<'_>, _: &'a mut Facts) -> Soon<'a, Flow> {
        Soon::Now(self.refusal().map_or(Flow::Continue, Flow::respond))
    }

    fn on_forward<'a>(&'a mut self, facts: &'a Facts) -> Soon<'a, Flow> {
        if self.announces { self.announce(facts) } else { Soon::Now(Flow::Continue) }
    }

    fn on_upload(&mut self, piece: &Bytes) {
        self.capture.add(piece);
    }

    fn reads_line(&self) -> bool {
        true
    }

    fn on_end<'a>(&'a mut self, end: &'a End<'a>, facts: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        // Refused by a limit: there may be a million of them, so they are counted elsewhere.
        let is_limited = end.problem == Some("quota-exceeded") && matches!(end.answered_by, AnsweredBy::Plugin(_));
        if is_limited && !self.announced {
            return Soon::Now(());
        }
        let outcome = Outcome::of(end);
        let keyed = line.fields().iter().find(|(name, _)| *name == "idempotency");
        let metadata = self.asked.metadata(&Told {
            body: self.capture.finish(&self.shared.redactor),
            denied_by: outcome.denied_by,
            problem: end.problem.filter(|_| outcome.denied_by.is_some()),
            idempotency: match keyed {
                Some((_, Field::Text(outcome))) => Some(outcome),
                _ => None,
            },
        });
        let end = EndData {
            duration_us: u64::try_from(end.duration.as_micros()).unwrap_or(u64::MAX),
            attempts: end.attempts.len() as u64,
            request_bytes: end.request_bytes,
            response_bytes: end.response_bytes,
        };
        let said = Said {
            action: std::mem::take(&mut self.action),
            resource: std::mem::take(&mut self.resource),
            outcome: outcome.word,
            status: outcome.status,
            metadata,
            end: Some(end),
        };
        let mark = if self.announced { Mark::Closes(self.request_id) } else { Mark::None };
        let draft = self.draft("request.finished", mark, facts, said);
        // What cannot be queued is counted, and the log will say so.
        let _ = self.trail.log.push(draft);
        Soon::Now(())
    }
}

/// 503: nothing goes on that could not be accounted for.
fn unavailable(cause: &'static str) -> Problem {
    Problem::new("audit-unavailable", StatusCode::SERVICE_UNAVAILABLE, "Audit unavailable")
        .detail("This is done only when it can be recorded, which is not possible at the moment. Try again shortly.")
        .retry_after(Duration::from_secs(1))
        .reason("audit_unavailable")
        .caused_by(cause)
}
