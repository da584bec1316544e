//! One request and its response: the state the proxy keeps for it, and its end, which comes exactly once.

use crate::edge::threats::Threat;
use crate::host::Host;
use crate::listener::connection::Connection;
use crate::pipeline::Pipeline;
use crate::proxy::Refusal;
use crate::proxy::failure::Answer;
use futures::FutureExt;
use http::{HeaderValue, Method, StatusCode, Version};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use vestibule_plugin::meter::Exemplar;
use vestibule_plugin::{
    AccessLine, AnsweredBy, Attempt, AttemptResult, ClientAddress, Denial, End, Ended, Event, Facts, Hold, Hooks,
    Monotonic, RouteId, Sent, Soon, Stage, TraceContext,
};

/// The request head as the edge read it.
#[derive(Clone, Debug)]
pub struct Request {
    /// One of the configured methods, unless the edge refused it.
    pub method: Method,
    /// Path and query as sent.
    pub target: String,
    /// The normalised path where it differs from the one sent.
    pub normal_path: Option<String>,
    /// `Host` or `:authority`.
    pub authority: Option<HeaderValue>,
    /// As the client sees it.
    pub scheme: &'static str,
    /// Between client and proxy.
    pub version: Version,
    /// Declared length; 0 without a body, `None` when it is not declared.
    pub body_length: Option<u64>,
    /// `content-type: application/grpc*`
    pub is_grpc: bool,
    /// A WebSocket handshake that this route lets through.
    pub upgrade: bool,
    /// `Expect: 100-continue`
    pub expects_continue: bool,
    /// For the access line.
    pub user_agent: Option<HeaderValue>,
    /// What the application is told about where it came from; set once the edge has found the client.
    pub provenance: Option<Provenance>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: String::new(),
            normal_path: None,
            authority: None,
            scheme: "http",
            version: Version::HTTP_11,
            body_length: Some(0),
            is_grpc: false,
            upgrade: false,
            expects_continue: false,
            user_agent: None,
            provenance: None,
        }
    }
}

impl Request {
    /// The normalised path without query.
    pub fn path(&self) -> &str {
        self.normal_path.as_deref().unwrap_or_else(|| self.sent_path())
    }

    /// The path as sent, without query.
    pub fn sent_path(&self) -> &str {
        // Asked for once for each plugin, of targets that are short: a search of the library costs more than the bytes.
        let end = self.target.bytes().position(|byte| byte == b'?').unwrap_or(self.target.len());
        &self.target[..end]
    }

    /// The authority as text; empty when there is none.
    pub fn authority_text(&self) -> &str {
        self.authority.as_ref().and_then(|a| a.to_str().ok()).unwrap_or("")
    }
}

/// What the application is told about where a request came from; header values made once a request.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// X-Forwarded-For: client, trusted hops, peer.
    pub chain: HeaderValue,
    /// X-Real-IP.
    pub client: HeaderValue,
    /// X-Forwarded-Host.
    pub host: Option<HeaderValue>,
    /// Forwarded.
    pub forwarded: HeaderValue,
}

/// A plugin's half of this exchange.
pub struct Attached {
    /// Its table.
    pub name: &'static str,
    /// Its place.
    pub stage: Stage,
    /// What it asked to hold.
    pub hold: Option<Hold>,
    hooks: Box<dyn Hooks>,
    /// Inside a call. Stays so when the call panics.
    busy: bool,
}

impl Attached {
    /// Of a plugin that takes part.
    pub fn new(name: &'static str, stage: Stage, hooks: Box<dyn Hooks>) -> Self {
        Self { name, stage, hold: None, hooks, busy: false }
    }

    /// For one call; [`Self::leave`] follows unless that panics.
    pub fn enter(&mut self) -> &mut dyn Hooks {
        self.busy = true;
        &mut *self.hooks
    }

    /// The call has returned.
    pub fn leave(&mut self) {
        self.busy = false;
    }
}

/// What may move into a task that outlives the client: hooks, facts and what has happened so far.
pub struct Story {
    /// Attached plugins, outermost first.
    pub hooks: SmallVec<[Attached; 4]>,
    /// How many of them have seen the request.
    pub entered: usize,
    /// What is known.
    pub facts: Facts,
    /// Attempts on the upstream that have ended.
    pub attempts: SmallVec<[Attempt; 2]>,
    attempt: Option<UnderWay>,
    /// Status of the final head.
    pub status: Option<StatusCode>,
    /// When that head was known.
    pub head_at: Option<Monotonic>,
    /// Who wrote it.
    pub answered_by: AnsweredBy,
    /// Slug of the problem.
    pub problem: Option<&'static str>,
    /// Why, in more detail.
    pub reason: Option<Cow<'static, str>>,
    /// How it ended, once something other than the last byte ended it.
    pub ended: Option<Ended>,
}

#[derive(Clone, Copy)]
struct UnderWay {
    began: Monotonic,
    head: Option<(Monotonic, StatusCode)>,
    reused: bool,
    /// The first byte of the request is about to leave, or has left.
    sent: bool,
    /// An interim head has come.
    heard: bool,
}

impl Story {
    fn new(facts: Facts) -> Self {
        Self {
            hooks: SmallVec::new(),
            entered: 0,
            facts,
            attempts: SmallVec::new(),
            attempt: None,
            status: None,
            head_at: None,
            answered_by: AnsweredBy::Edge,
            problem: None,
            reason: None,
            ended: None,
        }
    }

    /// The hooks that have seen the request, innermost first; without one that panicked.
    pub fn entered_inside_out(&mut self) -> (impl Iterator<Item = &mut Attached>, &Facts) {
        (self.hooks[..self.entered].iter_mut().rev().filter(|attached| !attached.busy), &self.facts)
    }

    /// Those that edit this response, innermost first: who has seen the request, and who dresses every response.
    pub fn dressing(&mut self) -> (impl Iterator<Item = &mut Attached>, &Facts) {
        let entered = self.entered;
        let all = self.hooks.iter_mut().enumerate().rev();
        let dress = all.filter(move |(at, attached)| *at < entered || attached.hooks.dresses_every_response());
        (dress.map(|(_, attached)| attached).filter(|attached| !attached.busy), &self.facts)
    }

    /// An attempt on the upstream begins.
    pub fn begin_attempt(&mut self, now: Monotonic) {
        self.attempt = Some(UnderWay { began: now, head: None, reused: false, sent: false, heard: false });
    }

    /// The attempt has a connection.
    pub fn attempt_connected(&mut self, reused: bool) {
        if let Some(attempt) = &mut self.attempt {
            attempt.reused = reused;
        }
    }

    /// The attempt begins to write.
    pub fn attempt_sends(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.sent = true;
        }
    }

    /// What the upstream may have got of the request by now, and the status of its reply. Attempts that were followed by
    /// another had sent nothing that counts.
    pub fn progress(&self) -> (Sent, Option<StatusCode>) {
        match (&self.attempt, self.attempts.last()) {
            (Some(attempt), _) => {
                let sent = if attempt.sent { Sent::Something } else { Sent::Nothing };
                (sent, attempt.head.map(|(_, status)| status))
            }
            (None, Some(Attempt { result: AttemptResult::Status(status), .. })) => (Sent::Something, Some(*status)),
            (None, _) => (Sent::Nothing, None),
        }
    }

    /// What waited for a hook waits no longer: none of them is inside a call.
    pub fn leave_all(&mut self) {
        self.hooks.iter_mut().for_each(Attached::leave);
    }

    /// The attempt has an interim head.
    pub fn attempt_heard(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.heard = true;
        }
    }

    /// Whether the attempt under way runs on a reused connection and has seen no byte of an answer.
    pub fn attempt_may_have_met_a_dead_connection(&self) -> bool {
        self.attempt.is_some_and(|a| a.reused && !a.heard && a.head.is_none())
    }

    /// Whether the final head of an answer has come.
    pub fn attempt_answer(&self) -> Answer {
        if self.attempt.is_some_and(|attempt| attempt.head.is_some()) { Answer::Begun } else { Answer::NotBegun }
    }

    /// The attempt has the final head of an answer.
    pub fn attempt_answered(&mut self, now: Monotonic, status: StatusCode) {
        if let Some(attempt) = &mut self.attempt {
            attempt.head = Some((now, status));
        }
    }

    /// The attempt is over; `error` when no final head came or the rest failed.
    pub fn end_attempt(&mut self, now: Monotonic, error: Option<&'static str>) {
        let Some(attempt) = self.attempt.take() else { return };
        let result = match (attempt.head, error) {
            (Some((_, status)), None) => AttemptResult::Status(status),
            (_, Some(error)) => AttemptResult::Error(error),
            // Every failure of an attempt is named where it happens; what is left is that nobody waited.
            (None, None) => AttemptResult::Abandoned,
        };
        self.attempts.push(Attempt {
            duration: now.since(attempt.began),
            first_byte: attempt.head.map(|(at, _)| at.since(attempt.began)),
            result,
        });
    }

    /// Attempts made so far, the one under way included.
    pub fn attempts_made(&self) -> usize {
        self.attempts.len() + usize::from(self.attempt.is_some())
    }
}

/// The state of one exchange: the engine's per-request context.
pub struct Exchange {
    /// The process.
    pub host: Arc<Host>,
    /// The configuration this exchange began with, and ends with.
    pub pipeline: Arc<Pipeline>,
    /// The socket.
    pub connection: Arc<Connection>,
    /// First byte of the head.
    pub began: Monotonic,
    /// The head.
    pub request: Arc<Request>,
    /// All that may outlive this exchange.
    pub story: Story,
    /// Bytes of request body read.
    pub request_bytes: u64,
    /// Bytes of response body sent.
    pub response_bytes: u64,
    /// Interim responses of the upstream passed on.
    pub interim: usize,
    /// The response is an event stream or a tunnel: its time is the time to its head.
    pub open_ended: bool,
    /// What the edge blocked, until it is counted.
    pub threat: Option<Threat>,
    /// What the edge found wrong, until it is answered.
    pub refusal: Option<Box<Refusal>>,
    /// The next attempt must not use a connection that others have used.
    pub resend_fresh: bool,
    in_flight: Option<InFlight>,
    over: bool,
}

/// Counts an exchange until its end has been told; a drain waits for it.
struct InFlight(Arc<Host>);

impl InFlight {
    fn new(host: &Arc<Host>) -> Self {
        host.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(host))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Exchange {
    /// A new exchange on `connection`, under the configuration of this moment.
    pub fn new(host: Arc<Host>, connection: Arc<Connection>, began: Monotonic) -> Self {
        let pipeline = host.pipeline();
        let facts = Facts::new(RouteId::UNMATCHED, ClientAddress::Local, draw_trace());
        Self {
            in_flight: Some(InFlight::new(&host)),
            host,
            pipeline,
            connection,
            began,
            request: Arc::default(),
            story: Story::new(facts),
            request_bytes: 0,
            response_bytes: 0,
            interim: 0,
            open_ended: false,
            threat: None,
            refusal: None,
            resend_fresh: false,
            over: false,
        }
    }

    /// The route's name.
    pub fn route_name(&self) -> &str {
        self.pipeline.route_name(self.story.facts.route())
    }

    /// Counts what the edge blocked in this exchange.
    pub fn blocked(&self, threat: Threat) {
        let trace = self.story.facts.trace();
        let exemplar = trace.is_sampled().then(|| Exemplar {
            trace_id: trace.trace_id,
            span_id: trace.span_id,
            at: self.host.clock.wall(),
        });
        self.host.threats.blocked_in(threat, exemplar.as_ref());
        let (route, client) = (self.story.facts.route(), self.story.facts.address());
        self.pipeline.tell(&Event::Blocked { kind: threat.as_str(), route, client });
    }

    /// Lends the story to a task that may outlive this exchange. Until it is given back, the task ends it.
    pub fn lend(&mut self) -> (Story, Closing) {
        self.over = true;
        (self.take_story(), self.closing())
    }

    /// Takes the story back, and with it the duty to end it.
    pub fn take_back(&mut self, story: Story, closing: Closing) {
        self.over = false;
        self.story = story;
        self.in_flight = closing.in_flight;
    }

    /// Ends the exchange: every attached hook learns it, once, innermost first, and the access line is written.
    pub async fn finish(&mut self) {
        if !mem::replace(&mut self.over, true) {
            let closing = self.closing();
            self.story.close(closing).await;
        }
    }

    fn take_story(&mut self) -> Story {
        let facts = Facts::new(self.story.facts.route(), self.story.facts.address(), *self.story.facts.trace());
        mem::replace(&mut self.story, Story::new(facts))
    }

    fn closing(&mut self) -> Closing {
        Closing {
            in_flight: self.in_flight.take(),
            host: Arc::clone(&self.host),
            pipeline: Arc::clone(&self.pipeline),
            connection: Arc::clone(&self.connection),
            began: self.began,
            request: Arc::clone(&self.request),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            open_ended: self.open_ended,
        }
    }
}

impl Drop for Exchange {
    /// A future that was dropped or panicked ends here: the hooks still learn it.
    fn drop(&mut self) {
        if mem::replace(&mut self.over, true) {
            return;
        }
        let mut story = self.take_story();
        let ended = if self.connection.had_slow_body() {
            self.blocked(Threat::SlowBody);
            Ended::Timeout
        } else if *self.host.cut_off.borrow() {
            Ended::Drained
        } else {
            Ended::ClientGone
        };
        story.ended.get_or_insert(ended);
        let closing = self.closing();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { story.close(closing).await });
        }
    }
}

/// What is needed to end a story.
pub struct Closing {
    in_flight: Option<InFlight>,
    host: Arc<Host>,
    pipeline: Arc<Pipeline>,
    connection: Arc<Connection>,
    began: Monotonic,
    request: Arc<Request>,
    request_bytes: u64,
    response_bytes: u64,
    open_ended: bool,
}

impl Story {
    /// Tells every attached hook the end and writes the access line.
    pub async fn close(&mut self, closing: Closing) {
        let now = closing.host.clock.now();
        self.end_attempt(now, None);
        let until = if closing.open_ended { self.head_at.unwrap_or(now) } else { now };
        let settings = closing.pipeline.log();
        let is_read = settings.access || self.hooks.iter().any(|attached| attached.hooks.reads_line());
        let mut line = if is_read { AccessLine::wanted() } else { AccessLine::unwanted() };
        let end = End {
            method: &closing.request.method,
            version: closing.request.version,
            status: self.status,
            ended: self.ended.unwrap_or(Ended::Ok),
            answered_by: self.answered_by,
            problem: self.problem,
            reason: self.reason.as_deref(),
            began: closing.began,
            duration: until.since(closing.began),
            first_byte: self.head_at.map(|at| at.since(closing.began)),
            attempts: &self.attempts,
            request_bytes: closing.request_bytes,
            response_bytes: closing.response_bytes,
        };
        for attached in self.hooks.iter_mut().rev() {
            // One that panics keeps nobody else from learning the end.
            let (hooks, end, facts, line) = (&mut attached.hooks, &end, &self.facts, &mut line);
            if let Some(Soon::Later(told)) = unless_it_panics(move || hooks.on_end(end, facts, line)) {
                let _ = AssertUnwindSafe(told).catch_unwind().await;
            }
        }
        // What a plugin serves itself is between it and the client: nobody accounts for it, and nothing tells who it was.
        let is_own = closing.pipeline.owner(self.facts.route()).is_some();
        if let (AnsweredBy::Plugin(by), Some(slug), Some(status)) = (end.answered_by, self.problem, end.status)
            && !is_own
        {
            closing.pipeline.tell(&Event::Denied(Denial {
                by,
                slug,
                reason: end.reason,
                status,
                route: self.facts.route(),
                client: self.facts.address(),
            }));
        }
        if settings.access {
            let upstream: Duration = self.attempts.iter().map(|attempt| attempt.duration).sum();
            closing.host.log.access(&crate::telemetry::access::Access {
                end: &end,
                facts: &self.facts,
                line: &line,
                route: closing.pipeline.route_name(self.facts.route()),
                path: Cow::Borrowed(closing.request.path()),
                tls: closing.connection.tls,
                upstream,
                user_agent: (!is_own).then_some(closing.request.user_agent.as_ref()),
                generation: closing.pipeline.number(),
                client: settings.client,
            });
        }
        self.hooks.clear();
    }
}

/// What `hook` says; `None` when it panics.
fn unless_it_panics<T>(hook: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(hook)).ok()
}

/// A trace context of this exchange's own; the trace plugin replaces it when the caller brought one.
fn draw_trace() -> TraceContext {
    let trace_id = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(1..));
    TraceContext { trace_id, span_id: fastrand::u64(1..), flags: TraceContext::RANDOM }
}
