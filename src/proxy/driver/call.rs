//! One upstream call: attempts, the reply kept, the hooks' word on it. It borrows nothing from the
//! client's side, so that it can go on when the client has left.

use super::attempt::{AttemptError, ReplyHead};
use super::interim::InterimResponses;
use super::keep::{self, Body};
use crate::connections::{Age, Upload, UpstreamConnection};
use crate::downstream;
use crate::exchange::{Exchange, Request, Story};
use crate::host::Host;
use crate::memory_budget::{Holder, Reservation};
use crate::pipeline::Pipeline;
use crate::proxy::failure;
use crate::proxy::resend::{FailedAttempt, Processed, Resendable, next_attempt};
use crate::response_head::ResponseHead;
use crate::upstream::{Reuse, Upstream};
use bytes::Bytes;
use http::Method;
use http::header;
use parking_lot::Mutex;
use pingora::{Error, ErrorType};
use std::sync::Arc;
use vestibule_plugin::{
    AnsweredBy, Detach, Ended, Failure, Flow, Held, HeldFlow, Hold, Keep, Problem, Response, Sent, WhyFailed,
    WhyFlowing,
};

/// A call, ready to be made.
pub struct Call {
    pub host: Arc<Host>,
    pub pipeline: Arc<Pipeline>,
    pub request: Arc<Request>,
    /// The client's head behind the edge.
    pub head: Arc<downstream::Head>,
    pub body: CallBody,
    pub hold: Hold,
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

/// A final head as it is held.
pub type Head = Box<ResponseHead>;

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
enum CallError {
    Refused(AnsweredBy, Box<Response>),
    Failed(Failure, Ended, Box<Problem>),
    /// The deadline of the whole call has passed.
    TooLate,
}

/// A reply.
pub struct Reply {
    /// Interim heads, in order.
    pub interim: Vec<ResponseHead>,
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
        head: Arc<downstream::Head>,
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
    pub fn room(&self) -> Reservation {
        self.room.lock().take().unwrap_or_else(|| self.host.memory.nothing_yet(self.holder.clone()))
    }

    pub fn upstream(&self, story: &Story) -> &Arc<Upstream> {
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
                self.abort(story, None, WhyFailed::Stopped).await
            }
        }
    }

    /// Makes it.
    pub async fn execute(&self, story: &mut Story, interim_to: Option<&InterimResponses>) -> Outcome {
        let reached = match self.hold.detach {
            Detach::WithClient => self.call_upstream(story, interim_to).await,
            Detach::Survives { deadline } => {
                let reached = Box::pin(tokio::time::timeout(deadline, self.call_upstream(story, interim_to))).await;
                reached.unwrap_or(Err(CallError::TooLate))
            }
        };
        match reached {
            Ok(reply) => self.run_on_held(story, reply).await,
            Err(CallError::Refused(by, response)) => Outcome::Answer(by, response),
            Err(CallError::Failed(failure, ended, problem)) => self.run_on_failed(story, failure, ended, problem).await,
            Err(CallError::TooLate) => {
                let error = Error::explain(ErrorType::ReadTimedout, "the deadline of the call").into_up();
                self.abort(story, Some(&error), WhyFailed::Timeout).await
            }
        }
    }

    /// Ends the attempt under way, as time is up.
    async fn abort(&self, story: &mut Story, error: Option<&Error>, why: WhyFailed) -> Outcome {
        let (sent, head) = story.progress();
        let answer = story.attempt_answer();
        story.end_attempt(self.host.clock.now(), error.map(failure::error_type));
        let (ended, problem) = match error {
            Some(error) => failure::upstream_problem(error, answer),
            None => (Ended::Drained, failure::stopped()),
        };
        self.run_on_failed(story, Failure { sent, head, why }, ended, Box::new(problem)).await
    }

    /// Attempts until there is a reply, kept as far as the hooks want.
    async fn call_upstream(
        &self,
        story: &mut Story,
        interim_to: Option<&InterimResponses>,
    ) -> Result<Reply, CallError> {
        let mut reuse = Reuse::Pooled;
        loop {
            story.begin_attempt(self.host.clock.now());
            let error = match self.attempt(story, reuse, interim_to).await {
                Ok(reply) => return Ok(reply),
                Err(AttemptError::Broken(error)) => error,
                Err(AttemptError::Refused(by, response)) => {
                    story.end_attempt(self.host.clock.now(), None);
                    return Err(CallError::Refused(by, response));
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
                    return Err(CallError::Failed(Failure { sent, head, why }, ended, Box::new(problem)));
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

    /// Tells the hooks that hold, innermost first, that there is no reply. The outermost answer counts.
    async fn run_on_failed(&self, story: &mut Story, failure: Failure, ended: Ended, problem: Box<Problem>) -> Outcome {
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
    pub async fn connect_websocket(&self, story: &mut Story) -> Result<ReplyHead, Box<Error>> {
        loop {
            story.begin_attempt(self.host.clock.now());
            let error = match self.connect(story, Reuse::Fresh).await {
                Ok(connection) => match self.send_and_read_head(story, connection, None).await {
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
            match self.send_and_read_head(story, connection, None).await {
                Ok((connection, _, mut head)) => {
                    let (connector, room) = (&self.host.connector, self.room());
                    let body = keep::keep(connection, story, &head, &Method::GET, wanted, connector, room).await?;
                    if let Body::Whole { trailers: None, .. } = body {
                        head.fields.remove(header::TRAILER);
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

    /// Asks the hooks that hold, innermost first, what is to become of the reply.
    async fn run_on_held(&self, story: &mut Story, mut reply: Reply) -> Outcome {
        let mut drop_body = false;
        let (hooks, facts) = story.entered_inside_out();
        for attached in hooks {
            let Some(hold) = attached.hold else { continue };
            let mut response = reply.head.edited();
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
