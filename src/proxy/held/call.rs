//! One upstream call of the held lane: attempts, the reply kept, the hooks' word on it. It borrows nothing from the
//! client's side, so that it can go on when the client has left.

use super::keep::{self, Body};
use super::upward::{Switch, Upward};
use crate::exchange::{Exchange, Request, Story};
use crate::host::Host;
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
    AnsweredBy, Detach, Ended, Held, HeldFlow, Hold, Keep, Problem, Response, ResponseHead, WhyFlowing,
};

/// A call, ready to be made.
pub struct Call {
    pub(super) host: Arc<Host>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) request: Arc<Request>,
    /// The client's head behind the edge.
    pub(super) head: http::request::Parts,
    pub(super) body: Bytes,
    hold: Hold,
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
    Failed(Ended, Box<Problem>),
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

impl Call {
    /// The call that answers `exchange`.
    pub fn new(head: http::request::Parts, body: Bytes, hold: Hold, exchange: &Exchange) -> Self {
        Self {
            host: Arc::clone(&exchange.host),
            pipeline: Arc::clone(&exchange.pipeline),
            request: Arc::clone(&exchange.request),
            head,
            body,
            hold,
        }
    }

    fn switch(&self) -> Switch {
        if self.request.upgrade { Switch::Asked } else { Switch::NotAsked }
    }

    fn upstream(&self, story: &Story) -> &Arc<Upstream> {
        self.pipeline.upstream(story.facts.route())
    }

    /// Makes it.
    pub async fn execute(&self, story: &mut Story, early: Option<&Early>) -> Outcome {
        let mut reuse = Reuse::Pooled;
        loop {
            story.begin_attempt(self.host.clock.now());
            let error = match self.attempt(story, reuse, early).await {
                Ok((upward, interim, head)) => match self.keep(story, upward, interim, head).await {
                    Ok(reply) => return self.consult(story, reply).await,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let again = self.may_try_again(story, &error);
            let answer = story.attempt_answer();
            story.end_attempt(self.host.clock.now(), Some(failure::error_type(&error)));
            match again {
                Some(next) => reuse = next,
                None => {
                    let (ended, problem) = failure::upstream_problem(&error, answer);
                    return Outcome::Failed(ended, Box::new(problem));
                }
            }
        }
    }

    /// A WebSocket handshake: the same way up, but nothing is kept and nothing is asked of the hooks that hold.
    pub async fn shake_hands(&self, story: &mut Story) -> Result<Reached, Box<Error>> {
        loop {
            story.begin_attempt(self.host.clock.now());
            let error = match self.attempt(story, Reuse::Fresh, None).await {
                Ok(reached) => return Ok(reached),
                Err(error) => error,
            };
            let again = self.may_try_again(story, &error) == Some(Reuse::Pooled);
            story.end_attempt(self.host.clock.now(), Some(failure::error_type(&error)));
            if !again {
                return Err(error);
            }
        }
    }

    /// From a connection to the final head.
    async fn attempt(&self, story: &mut Story, reuse: Reuse, early: Option<&Early>) -> Result<Reached, Box<Error>> {
        let upstream = self.upstream(story);
        let peer = if reuse == Reuse::Pooled && !self.request.upgrade {
            upstream.usual_peer().await
        } else {
            upstream.peer(self.request.upgrade, reuse).await.map(Arc::new)
        };
        let peer = peer.map_err(|unresolved| {
            Error::because(ErrorType::ConnectNoRoute, "resolving the upstream", unresolved).into_up()
        })?;
        let mut upward = match Upward::connect(&self.host.connector, Arc::clone(&peer)).await {
            Ok((upward, reused)) => {
                story.attempt_connected(reused);
                upward
            }
            Err(error) => {
                self.upstream(story).connect_failed(&peer);
                return Err(error);
            }
        };
        let head = upward.address(self, story)?;
        upward.send(head, self.body.clone()).await?;
        let (interim, mut head) = upward.read_head(self.switch(), story, early).await?;
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
        if story.attempts_made() >= failure::MAX_ATTEMPTS {
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
        // The stream was not processed (RFC 9113 section 8.7); the engine's word for it is that trying again is safe.
        if error.etype == ErrorType::H2Error && error.retry() {
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
        let body = keep::keep(upward, &head, &self.request.method, wanted, &self.host.connector).await?;
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
    fn as_held(&self, asked: Keep) -> Held<'_> {
        match (self, asked) {
            (Self::Whole { bytes, .. }, Keep::Whole { max, .. }) if bytes.len() > max => {
                Held::Flowing(WhyFlowing::TooLarge)
            }
            (Self::Whole { bytes, trailers }, _) => Held::Whole { body: bytes, trailers: trailers.as_ref() },
            (Self::Flowing { rest, .. }, _) => Held::Flowing(rest.why),
        }
    }
}
