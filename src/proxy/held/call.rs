//! One upstream call: attempts, the reply kept, the hooks' word on it. It borrows nothing from the
//! client's side, so that it can go on when the client has left.

use super::address::address;
use super::keep::{self, Body};
use crate::connections::{Age, Replay, RequestBody, Upload, UpstreamConnection};
use crate::edge::rules;
use crate::exchange::{Exchange, Request, Story};
use crate::host::Host;
use crate::memory_budget::{Holder, Reservation};
use crate::pipeline::Pipeline;
use crate::proxy::failure;
use crate::proxy::resend::{FailedAttempt, Processed, Resendable, next_attempt};
use crate::proxy::wire;
use crate::upstream::{Reuse, Upstream};
use bytes::Bytes;
use http::header;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType};
use std::sync::Arc;
use std::task::Poll;
use vestibule_plugin::{
    AnsweredBy, Detach, Ended, Failure, Flow, Held, HeldFlow, Hold, Keep, Problem, Response, ResponseHead, Sent,
    WhyFailed, WhyFlowing,
};

/// Most interim responses passed on.
const MAX_INTERIM: usize = 16;

/// A call, ready to be made.
pub struct Call {
    pub(super) host: Arc<Host>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) request: Arc<Request>,
    /// The client's head behind the edge.
    pub(super) head: http::request::Parts,
    pub(super) body: CallBody,
    hold: Hold,
    /// Memory for its reply, until that comes.
    room: Mutex<Option<Reservation>>,
    holder: Holder,
}

/// The request body of a call, for all its attempts.
pub enum CallBody {
    /// The request has none.
    None,
    /// All of it; may be empty.
    Whole(Bytes),
    /// It comes from the client while the call is made.
    Streamed(Upload),
}

/// A final head as it is held: without the spelling of its names, which nobody may depend on and which costs a second map.
pub type Head = Box<http::response::Parts>;

/// A connection on which the final head has come: it, the interim heads before it, and the head.
pub type Reached = (UpstreamConnection, Vec<ResponseHeader>, Head);

/// Interim heads on their way to a client that waits, as they come.
#[derive(Default)]
pub struct Early(Mutex<Vec<ResponseHeader>>);

impl Early {
    /// One more.
    pub fn put(&self, head: ResponseHeader) {
        self.0.lock().push(head);
    }

    /// All that have come and were not taken.
    pub fn take(&self) -> Vec<ResponseHeader> {
        std::mem::take(&mut *self.0.lock())
    }

    /// The same, once there are any. Wakes nobody: it is for the task that runs the call, asked after the call.
    pub async fn come(&self) -> Vec<ResponseHeader> {
        std::future::poll_fn(|_| {
            let heads = self.take();
            if heads.is_empty() { Poll::Pending } else { Poll::Ready(heads) }
        })
        .await
    }
}

/// What came of it.
pub enum Outcome {
    /// The upstream's reply, as the hooks left it.
    Reply(Reply),
    /// A hook's own answer.
    Answer(AnsweredBy, Box<Response>),
    /// No reply.
    Failed(Box<Problem>),
}

/// Why a call came to no reply.
enum Unreached {
    Refused(AnsweredBy, Box<Response>),
    Failed(Failure, Ended, Box<Problem>),
    /// The deadline of the whole call has passed.
    TooLate,
}

/// Why an attempt came to no reply.
enum Unmade {
    /// A hook had the last word.
    Refused(AnsweredBy, Box<Response>),
    Broken(Box<Error>),
}

impl From<Box<Error>> for Unmade {
    fn from(error: Box<Error>) -> Self {
        Self::Broken(error)
    }
}

/// A reply.
pub struct Reply {
    /// Interim heads, in order.
    pub interim: Vec<ResponseHeader>,
    /// The final head, hop-by-hop fields removed, framing not yet decided.
    pub head: Head,
    /// The body.
    pub body: Body,
}

impl Reply {
    /// Without interim heads and trailers.
    fn plain(mut self) -> Self {
        self.interim.clear();
        if let Body::Whole { trailers, .. } = &mut self.body {
            *trailers = None;
        }
        self
    }
}

impl Call {
    /// The call that answers `exchange`.
    pub fn new(
        head: http::request::Parts,
        body: CallBody,
        hold: Hold,
        room: Option<Reservation>,
        exchange: &Exchange,
    ) -> Self {
        Self {
            host: Arc::clone(&exchange.host),
            pipeline: Arc::clone(&exchange.pipeline),
            request: Arc::clone(&exchange.request),
            head,
            body,
            hold,
            room: Mutex::new(room),
            holder: exchange.reply_holder(),
        }
    }

    /// Room for the reply: what was set aside for it, else none yet.
    fn room(&self) -> Reservation {
        self.room.lock().take().unwrap_or_else(|| self.host.memory.nothing_yet(self.holder.clone()))
    }

    fn upstream(&self, story: &Story) -> &Arc<Upstream> {
        self.pipeline.upstream(story.facts.route())
    }

    /// Whether the client's `Expect: 100-continue` goes on: only while its body is still to come (RFC 9110 section
    /// 10.1.1), and where the answer to it can be heard.
    pub fn forwards_expectation(&self, connection: &UpstreamConnection) -> bool {
        matches!(self.body, CallBody::Streamed(_)) && !connection.is_http2()
    }

    /// Makes it, in a task that belongs to no client: it is given up when the drain waits no longer.
    pub async fn execute_to_the_end(&self, story: &mut Story) -> Outcome {
        let mut stop = self.host.cut_off.subscribe();
        let executed = tokio::select! {
            biased;
            outcome = self.execute(story, None) => Some(outcome),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        match executed {
            // Nobody else makes requests of this kind: interim heads and trailers are dropped, as a stored reply has none.
            Some(Outcome::Reply(reply)) => Outcome::Reply(reply.plain()),
            Some(outcome) => outcome,
            None => {
                story.leave_all();
                self.give_up(story, None, WhyFailed::Stopped).await
            }
        }
    }

    /// Makes it.
    pub async fn execute(&self, story: &mut Story, early: Option<&Early>) -> Outcome {
        let reached = match self.hold.detach {
            Detach::WithClient => self.reach(story, early).await,
            Detach::Survives { deadline } => {
                let reached = Box::pin(tokio::time::timeout(deadline, self.reach(story, early))).await;
                reached.unwrap_or(Err(Unreached::TooLate))
            }
        };
        match reached {
            Ok(reply) => self.consult(story, reply).await,
            Err(Unreached::Refused(by, response)) => Outcome::Answer(by, response),
            Err(Unreached::Failed(failure, ended, problem)) => self.mourn(story, failure, ended, problem).await,
            Err(Unreached::TooLate) => {
                let error = Error::explain(ErrorType::ReadTimedout, "the deadline of the call").into_up();
                self.give_up(story, Some(&error), WhyFailed::Timeout).await
            }
        }
    }

    /// Ends the attempt under way, as time is up.
    async fn give_up(&self, story: &mut Story, error: Option<&Error>, why: WhyFailed) -> Outcome {
        let (sent, head) = story.progress();
        let answer = story.attempt_answer();
        story.end_attempt(self.host.clock.now(), error.map(failure::error_type));
        let (ended, problem) = match error {
            Some(error) => failure::upstream_problem(error, answer),
            None => (Ended::Drained, failure::stopped()),
        };
        self.mourn(story, Failure { sent, head, why }, ended, Box::new(problem)).await
    }

    /// Attempts until there is a reply, kept as far as the hooks want.
    async fn reach(&self, story: &mut Story, early: Option<&Early>) -> Result<Reply, Unreached> {
        let mut reuse = Reuse::Pooled;
        loop {
            story.begin_attempt(self.host.clock.now());
            let error = match self.attempt(story, reuse, early).await {
                Ok(reply) => return Ok(reply),
                Err(Unmade::Broken(error)) => error,
                Err(Unmade::Refused(by, response)) => {
                    story.end_attempt(self.host.clock.now(), None);
                    return Err(Unreached::Refused(by, response));
                }
            };

            let attempt = story.failed_attempt();
            let again = next_attempt(&error, attempt, self.resendable());
            let answer = story.attempt_answer();
            let (sent, head) = story.progress();
            story.end_attempt(self.host.clock.now(), Some(failure::error_type(&error)));
            match again {
                Some(next) => reuse = next,
                None => {
                    let (ended, problem) = failure::upstream_problem(&error, answer);
                    let processed = Processed::of(&error, attempt);
                    let sent = if processed == Processed::Unknown { sent } else { Sent::Nothing };
                    let why = if ended == Ended::Timeout { WhyFailed::Timeout } else { WhyFailed::Broken };
                    return Err(Unreached::Failed(Failure { sent, head, why }, ended, Box::new(problem)));
                }
            }
        }
    }

    fn resendable(&self) -> Resendable<'_> {
        Resendable {
            method: &self.request.method,
            has_body: match &self.body {
                CallBody::None => false,
                CallBody::Whole(bytes) => !bytes.is_empty(),
                CallBody::Streamed(_) => true,
            },
            body_is_here: match &self.body {
                CallBody::None | CallBody::Whole(_) => true,
                CallBody::Streamed(upload) => upload.is_here(),
            },
            detach: self.hold.detach,
        }
    }

    /// From a connection to a reply, kept as far as the hooks want.
    async fn attempt(&self, story: &mut Story, reuse: Reuse, early: Option<&Early>) -> Result<Reply, Unmade> {
        let connection = self.connect(story, reuse).await?;
        for attached in story.hooks.iter_mut().filter(|attached| attached.hold.is_some()) {
            let flow = attached.enter().on_send(&story.facts).get().await;
            attached.leave();
            if let Flow::Respond(response) = flow {
                return Err(Unmade::Refused(AnsweredBy::Plugin(attached.name), response));
            }
        }
        let (connection, interim, head) = self.converse(story, connection, early).await?;
        Ok(self.keep(story, connection, interim, head).await?)
    }

    /// Tells the hooks that hold, innermost first, that there is no reply. The outermost answer counts.
    async fn mourn(&self, story: &mut Story, failure: Failure, ended: Ended, problem: Box<Problem>) -> Outcome {
        story.ended = Some(ended);
        let mut outcome = Outcome::Failed(problem);
        let (hooks, facts) = story.entered_inside_out();
        for attached in hooks.filter(|attached| attached.hold.is_some()) {
            let flow = attached.enter().on_failed(&failure, facts).get().await;
            attached.leave();
            if let Flow::Respond(response) = flow {
                outcome = Outcome::Answer(AnsweredBy::Plugin(attached.name), response);
            }
        }
        outcome
    }

    /// A WebSocket handshake: the same way up, but nothing is kept and nothing is asked of the hooks that hold.
    pub async fn shake_hands(&self, story: &mut Story) -> Result<Reached, Box<Error>> {
        loop {
            story.begin_attempt(self.host.clock.now());
            let error = match self.connect(story, Reuse::Fresh).await {
                Ok(connection) => match self.converse(story, connection, None).await {
                    Ok(reached) => return Ok(reached),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let again = next_attempt(&error, story.failed_attempt(), self.resendable());
            story.end_attempt(self.host.clock.now(), Some(failure::error_type(&error)));
            if again.is_none() {
                return Err(error);
            }
        }
    }

    /// A GET beside the attempts that count: no hook that holds is asked.
    pub async fn look(&self, story: &mut Story, wanted: Keep) -> Result<(Head, Body), Box<Error>> {
        let (mut reuse, mut made) = (Reuse::Pooled, 1);
        let request = Resendable { method: &Method::GET, ..self.resendable() };
        loop {
            let (connection, age) = self.open(story, reuse).await?;
            match self.converse(story, connection, None).await {
                Ok((connection, _, mut head)) => {
                    let (connector, room) = (&self.host.connector, self.room());
                    let body = keep::keep(connection, story, &head, &Method::GET, wanted, connector, room).await?;
                    if let Body::Whole { trailers: None, .. } = body {
                        head.headers.remove(header::TRAILER);
                    }
                    return Ok((head, body));
                }
                Err(error) => {
                    let heard = story.attempt_answer() == failure::Answer::Begun;
                    let attempt = FailedAttempt { made, sent: true, reused: age == Age::Used, heard };
                    reuse = next_attempt(&error, attempt, request).ok_or(error)?;
                    made += 1;
                }
            }
        }
    }

    /// A connection, one that was used before or a fresh one.
    async fn connect(&self, story: &mut Story, reuse: Reuse) -> Result<UpstreamConnection, Box<Error>> {
        let (connection, age) = self.open(story, reuse).await?;
        story.attempt_connected(age == Age::Used);
        Ok(connection)
    }

    async fn open(&self, story: &Story, reuse: Reuse) -> Result<(UpstreamConnection, Age), Box<Error>> {
        let upstream = self.upstream(story);
        let peer = if reuse == Reuse::Pooled && !self.request.upgrade {
            upstream.usual_peer().await
        } else {
            upstream.peer(self.request.upgrade, reuse).await.map(Arc::new)
        };
        let peer = peer.map_err(|unresolved| {
            Error::because(ErrorType::ConnectNoRoute, "resolving the upstream", unresolved).into_up()
        })?;
        let connected = self.host.connector.connect(Arc::clone(&peer)).await;
        connected.inspect_err(|_| upstream.connect_failed(&peer))
    }

    /// From a connection to the final head.
    async fn converse(
        &self,
        story: &mut Story,
        mut connection: UpstreamConnection,
        early: Option<&Early>,
    ) -> Result<Reached, Box<Error>> {
        let head = address(self, story, &connection);
        connection.send(&head, self.body_for(&connection))?;
        story.attempt_sends();
        if self.request.expects_continue
            && !self.forwards_expectation(&connection)
            && matches!(self.body, CallBody::Streamed(_))
            && let Some(early) = early
            && let Ok(go_on) = ResponseHeader::build(StatusCode::CONTINUE, None)
        {
            // Nobody else will say it.
            early.put(go_on);
        }

        let (interim, mut head) = match self.read_final_head(story, &mut connection, early).await {
            Ok(read) => read,
            Err(error) => {
                if connection.has_heard() {
                    story.attempt_heard();
                }
                return Err(error);
            }
        };
        story.attempt_answered(self.host.clock.now(), head.status);
        let trailer = head.headers.remove(header::TRAILER);
        wire::strip_response_hops(head.status, &mut head.headers);
        head.headers.remove(header::TRANSFER_ENCODING);
        if head.status == StatusCode::NO_CONTENT {
            // RFC 9110 section 8.6: a 204 has none.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        if let Some(trailer) = trailer {
            // For the hooks that hold, which must know that more than a body is to come; see `keep`.
            head.headers.insert(header::TRAILER, trailer);
        }
        Ok((connection, interim, head))
    }

    /// The body for one more attempt.
    fn body_for(&self, connection: &UpstreamConnection) -> RequestBody {
        match &self.body {
            CallBody::None => RequestBody::None,
            CallBody::Whole(bytes) => RequestBody::Whole(bytes.clone()),
            CallBody::Streamed(upload) => {
                // Where nothing could be sent again anyway, nothing is kept for it.
                let may_repeat = connection.is_http2() || self.request.method.as_str() == "QUERY";
                let replay = if may_repeat { Replay::Kept } else { Replay::Dropped };
                match upload.reader(replay) {
                    Some(from) => RequestBody::Streamed { from, length: self.request.body_length },
                    // `resendable` says so before another attempt is made.
                    None => RequestBody::None,
                }
            }
        }
    }

    /// Reads the final head, and the interim ones before it, which go to `early` where somebody waits for them. A 101
    /// is final; one that was not asked for is refused by whoever reads it.
    async fn read_final_head(
        &self,
        story: &mut Story,
        connection: &mut UpstreamConnection,
        early: Option<&Early>,
    ) -> Result<(Vec<ResponseHeader>, Head), Box<Error>> {
        let invalid = |why| Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        let (mut interim, mut heard) = (Vec::new(), 0);
        loop {
            let mut head = connection.read_head(&mut |piece| story.show_upload(piece)).await?;
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                let key = self.head.headers.get(header::SEC_WEBSOCKET_KEY);
                if !rules::is_websocket_acceptance(&head.headers, key) {
                    return invalid("a 101 that does not accept the handshake");
                }
                return Ok((interim, Box::new(head)));
            }
            if !head.status.is_informational() {
                return Ok((interim, Box::new(head)));
            }

            story.attempt_heard();
            heard += 1;
            if heard > MAX_INTERIM {
                return invalid("too many interim responses");
            }
            let answers_expectation = head.status == StatusCode::CONTINUE;
            if answers_expectation && !self.forwards_expectation(connection) {
                continue;
            }
            wire::strip_response_hops(head.status, &mut head.headers);
            for framing in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
                head.headers.remove(framing);
            }
            match early {
                Some(early) => early.put(ResponseHeader::from(head)),
                None => interim.push(ResponseHeader::from(head)),
            }
        }
    }

    /// Keeps as much of the body as the hooks ask for, now that they can see the head.
    async fn keep(
        &self,
        story: &mut Story,
        connection: UpstreamConnection,
        interim: Vec<ResponseHeader>,
        mut head: Head,
    ) -> Result<Reply, Box<Error>> {
        let mut wanted = Keep::Nothing;
        let response = ResponseHead { status: &mut head.status, fields: &mut head.headers };
        let (hooks, facts) = story.entered_inside_out();
        for attached in hooks {
            let Some(hold) = attached.hold else { continue };
            wanted = super::larger(wanted, attached.enter().on_held_head(&response, hold.response, facts));
            attached.leave();
        }
        head.headers.remove(header::TRAILER);
        let (method, connector) = (&self.request.method, &self.host.connector);
        let body = keep::keep(connection, story, &head, method, wanted, connector, self.room()).await?;
        if let Body::Whole { .. } = body {
            story.end_attempt(self.host.clock.now(), None);
        }
        Ok(Reply { interim, head, body })
    }

    /// Asks the hooks that hold, innermost first, what is to become of the reply.
    async fn consult(&self, story: &mut Story, mut reply: Reply) -> Outcome {
        let mut drop_body = false;
        let (hooks, facts) = story.entered_inside_out();
        for attached in hooks {
            let Some(hold) = attached.hold else { continue };
            let mut response = ResponseHead { status: &mut reply.head.status, fields: &mut reply.head.headers };
            let body = reply.body.as_held(hold.response);
            let verdict = attached.enter().on_held(&mut response, body, facts).get().await;
            attached.leave();
            match verdict {
                HeldFlow::Continue => {}
                HeldFlow::DropBody => drop_body = true,
                HeldFlow::Respond(response) => {
                    return Outcome::Answer(AnsweredBy::Plugin(attached.name), response);
                }
            }
        }
        if drop_body {
            let now = self.host.clock.now();
            story.end_attempt(now, None);
            let body = std::mem::replace(&mut reply.body, Body::empty());
            body.discard(&self.host, self.hold.response);
        }
        Outcome::Reply(reply)
    }
}

impl Body {
    /// As a hook sees it that asked for `asked`.
    pub fn as_held(&self, asked: Keep) -> Held<'_> {
        match (self, asked) {
            (Self::Whole { bytes, .. }, Keep::Whole { max, .. }) if bytes.len() > max => {
                Held::Flowing(WhyFlowing::TooLarge)
            }
            (Self::Whole { bytes, trailers }, _) => Held::Whole { body: bytes, trailers: trailers.as_ref() },
            (Self::Flowing { rest, .. }, _) => Held::Flowing(rest.why),
        }
    }
}
