//! One upstream call of the held lane: attempts, the reply kept, the hooks' word on it. It borrows nothing from the
//! client's side, so that it can go on when the client has left.

use super::keep::{self, Body};
use super::upward::{Switch, Upward};
use crate::exchange::{Exchange, Request, Story};
use crate::host::Host;
use crate::memory_budget::{Holder, Reservation};
use crate::pipeline::Pipeline;
use crate::proxy::failure;
use crate::proxy::wire;
use crate::upstream::{Reuse, Upstream};
use bytes::Bytes;
use http::Method;
use http::header;
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType};
use std::sync::Arc;
use std::task::Poll;
use vestibule_plugin::{
    AnsweredBy, Detach, Ended, Failure, Flow, Held, HeldFlow, Hold, Keep, Problem, Response, ResponseHead, Sent,
    WhyFailed, WhyFlowing,
};

/// Attempts of a call that outlives its client, the first included; all but the last had sent nothing that counts.
const MAX_DETACHED_ATTEMPTS: usize = 3;

/// A call, ready to be made.
pub struct Call {
    pub(super) host: Arc<Host>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) request: Arc<Request>,
    /// The client's head behind the edge.
    pub(super) head: http::request::Parts,
    pub(super) body: Bytes,
    hold: Hold,
    /// Memory for its reply, until that comes.
    room: Mutex<Option<Reservation>>,
    holder: Holder,
}

/// A final head as it is held: without the spelling of its names, which nobody may depend on and which costs a second map.
pub type Head = Box<http::response::Parts>;

/// A connection on which the final head has come: it, the interim heads before it, and the head.
pub type Reached = (Upward, Vec<ResponseHeader>, Head);

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

/// The stream was not processed (RFC 9113 section 8.7); the engine's word for it is that trying again is safe.
fn is_unprocessed(error: &Error) -> bool {
    error.etype == ErrorType::H2Error && error.retry()
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
        body: Bytes,
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

    fn switch(&self) -> Switch {
        if self.request.upgrade { Switch::Asked } else { Switch::NotAsked }
    }

    fn upstream(&self, story: &Story) -> &Arc<Upstream> {
        self.pipeline.upstream(story.facts.route())
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
            let again = self.may_try_again(story, &error);
            let answer = story.attempt_answer();
            let (sent, head) = story.progress();
            story.end_attempt(self.host.clock.now(), Some(failure::error_type(&error)));
            match again {
                Some(next) => reuse = next,
                None => {
                    let (ended, problem) = failure::upstream_problem(&error, answer);
                    let sent = if is_unprocessed(&error) { Sent::Nothing } else { sent };
                    let why = if ended == Ended::Timeout { WhyFailed::Timeout } else { WhyFailed::Broken };
                    return Err(Unreached::Failed(Failure { sent, head, why }, ended, Box::new(problem)));
                }
            }
        }
    }

    /// From a connection to a reply, kept as far as the hooks want.
    async fn attempt(&self, story: &mut Story, reuse: Reuse, early: Option<&Early>) -> Result<Reply, Unmade> {
        let upward = self.connect(story, reuse).await?;
        for attached in story.hooks.iter_mut().filter(|attached| attached.hold.is_some()) {
            let flow = attached.enter().on_send(&story.facts).get().await;
            attached.leave();
            if let Flow::Respond(response) = flow {
                return Err(Unmade::Refused(AnsweredBy::Plugin(attached.name), response));
            }
        }
        let (upward, interim, head) = self.converse(story, upward, early).await?;
        Ok(self.keep(story, upward, interim, head).await?)
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
                Ok(upward) => match self.converse(story, upward, None).await {
                    Ok(reached) => return Ok(reached),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let again = self.may_try_again(story, &error) == Some(Reuse::Pooled);
            story.end_attempt(self.host.clock.now(), Some(failure::error_type(&error)));
            if !again {
                return Err(error);
            }
        }
    }

    /// A GET beside the attempts that count: no hook that holds is asked. Once more on a fresh connection when the first
    /// one had died.
    pub async fn look(&self, story: &mut Story, wanted: Keep) -> Result<(Head, Body), Box<Error>> {
        let mut reuse = Reuse::Pooled;
        loop {
            let upward = self.connect(story, reuse).await?;
            match self.converse(story, upward, None).await {
                Ok((upward, _, mut head)) => {
                    let body =
                        keep::keep(upward, &head, &Method::GET, wanted, &self.host.connector, self.room()).await?;
                    if let Body::Whole { trailers: None, .. } = body {
                        head.headers.remove(header::TRAILER);
                    }
                    return Ok((head, body));
                }
                Err(error) if reuse == Reuse::Pooled && failure::is_broken_connection(&error) => reuse = Reuse::Fresh,
                Err(error) => return Err(error),
            }
        }
    }

    /// A connection, one that was used before or a fresh one.
    async fn connect(&self, story: &mut Story, reuse: Reuse) -> Result<Upward, Box<Error>> {
        let upstream = self.upstream(story);
        let peer = if reuse == Reuse::Pooled && !self.request.upgrade {
            upstream.usual_peer().await
        } else {
            upstream.peer(self.request.upgrade, reuse).await.map(Arc::new)
        };
        let peer = peer.map_err(|unresolved| {
            Error::because(ErrorType::ConnectNoRoute, "resolving the upstream", unresolved).into_up()
        })?;
        match Upward::connect(&self.host.connector, Arc::clone(&peer)).await {
            Ok((upward, reused)) => {
                story.attempt_connected(reused);
                Ok(upward)
            }
            Err(error) => {
                self.upstream(story).connect_failed(&peer);
                Err(error)
            }
        }
    }

    /// From a connection to the final head.
    async fn converse(
        &self,
        story: &mut Story,
        mut upward: Upward,
        early: Option<&Early>,
    ) -> Result<Reached, Box<Error>> {
        let head = upward.address(self, story)?;
        story.attempt_sends();
        let (interim, mut head) = match upward.send(head, self.body.clone()).await {
            Ok(()) => upward.read_head(self.switch(), story, early).await?,
            Err(broken) => match upward.read_early_head(self.switch(), story, early).await {
                Ok(answered) => answered,
                Err(_silent) => return Err(broken),
            },
        };
        story.attempt_answered(self.host.clock.now(), head.status);
        let trailer = head.headers.remove(header::TRAILER);
        wire::strip_response_hops(head.status, &mut head.headers);
        head.headers.remove(header::TRANSFER_ENCODING);
        if let Some(trailer) = trailer {
            // For the hooks that hold, which must know that more than a body is to come; see `keep`.
            head.headers.insert(header::TRAILER, trailer);
        }
        Ok((upward, interim, head))
    }

    /// Whether what went wrong may be tried again, and how. Before a byte was written: yes. On a connection that others
    /// had used and that ended without a byte of an answer: on a fresh one, when nothing can happen twice by it.
    fn may_try_again(&self, story: &Story, error: &Error) -> Option<Reuse> {
        let most = match self.hold.detach {
            Detach::WithClient => failure::MAX_ATTEMPTS,
            Detach::Survives { .. } => MAX_DETACHED_ATTEMPTS,
        };
        if story.attempts_made() >= most {
            return None;
        }
        match error.etype {
            // Asking again at once would get the same answer.
            ErrorType::ConnectNoRoute if failure::error_type(error) == "name_resolution" => return None,
            ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::SocketError
            | ErrorType::TLSHandshakeFailure => return Some(Reuse::Pooled),
            _ => {}
        }
        if is_unprocessed(error) {
            return Some(Reuse::Fresh);
        }
        let harmless = matches!(self.request.method, Method::GET | Method::HEAD | Method::OPTIONS)
            && self.body.is_empty()
            && self.hold.detach == Detach::WithClient;
        let died = failure::is_broken_connection(error) && story.attempt_may_have_met_a_dead_connection();
        (harmless && died).then_some(Reuse::Fresh)
    }

    /// Keeps as much of the body as the hooks ask for, now that they can see the head.
    async fn keep(
        &self,
        story: &mut Story,
        upward: Upward,
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
        let body = keep::keep(upward, &head, &self.request.method, wanted, &self.host.connector, self.room()).await?;
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
