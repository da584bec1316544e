//! One attempt at a call: a connection, the request on it, and the final head with as much of the body as is kept.

use super::call::{Call, CallBody, Head, Reply};
use super::interim::InterimResponses;
use super::keep::{self, Body};
use super::upstream_head::upstream_head;
use crate::connections::{Age, Replay, RequestBody, SMALL_HEAD, USUAL_HEAD, UpstreamConnection};
use crate::edge::rules;
use crate::exchange::Story;
use crate::proxy::wire;
use crate::response_head::ResponseHead;
use crate::upstream::Reuse;
use http::{StatusCode, header};
use pingora::{Error, ErrorType};
use std::sync::Arc;
use vestibule_plugin::{AnsweredBy, Flow, Keep, Response};

/// Most interim responses passed on.
const MAX_INTERIM: usize = 16;

/// A connection on which the final head has come: it, the interim heads before it, and the head.
pub type ReplyHead = (UpstreamConnection, Vec<ResponseHead>, Head);

/// Why an attempt came to no reply.
pub enum AttemptError {
    /// A hook had the last word.
    Refused(AnsweredBy, Box<Response>),
    /// The upstream did not answer, or not as it must.
    Broken(Box<Error>),
}

impl From<Box<Error>> for AttemptError {
    fn from(error: Box<Error>) -> Self {
        Self::Broken(error)
    }
}

impl Call {
    /// From a connection to a reply, kept as far as the hooks want.
    pub async fn attempt(
        &self,
        story: &mut Story,
        reuse: Reuse,
        interim_to: Option<&InterimResponses>,
    ) -> Result<Reply, AttemptError> {
        let connection = self.connect(story, reuse).await?;

        for attached in story.hooks.iter_mut().filter(|attached| attached.hold.is_some()) {
            let flow = attached.enter().on_send(&story.facts).get().await;
            attached.leave();
            if let Flow::Respond(response) = flow {
                return Err(AttemptError::Refused(AnsweredBy::Plugin(attached.name), response));
            }
        }

        let (connection, interim, head) = self.send_and_read_head(story, connection, interim_to).await?;
        Ok(self.keep(story, connection, interim, head).await?)
    }

    /// A connection, one that was used before or a fresh one; noted in `story`.
    pub async fn connect(&self, story: &mut Story, reuse: Reuse) -> Result<UpstreamConnection, Box<Error>> {
        let (connection, age) = self.open(story, reuse).await?;
        story.attempt_connected(age == Age::Used);
        Ok(connection)
    }

    /// A connection that nobody notes.
    pub async fn open(&self, story: &Story, reuse: Reuse) -> Result<(UpstreamConnection, Age), Box<Error>> {
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
    pub async fn send_and_read_head(
        &self,
        story: &mut Story,
        mut connection: UpstreamConnection,
        interim_to: Option<&InterimResponses>,
    ) -> Result<ReplyHead, Box<Error>> {
        self.send(story, &mut connection)?;

        if self.request.expects_continue
            && !self.forwards_expectation(&connection)
            && matches!(self.body, CallBody::Streamed(_))
            && let Some(interim) = interim_to
        {
            // Nobody else will say it.
            interim.put(ResponseHead::new(StatusCode::CONTINUE));
        }

        let (interim, mut head) = match self.read_final_head(story, &mut connection, interim_to).await {
            Ok(read) => read,
            Err(error) => {
                if connection.has_heard() {
                    story.attempt_heard();
                }
                return Err(error);
            }
        };

        story.attempt_answered(self.host.clock.now(), head.status);
        let trailer = head.fields.value(header::TRAILER);
        wire::strip_response_hops(head.status, &mut head.fields);
        head.fields.remove(header::TRANSFER_ENCODING);
        if head.status == StatusCode::NO_CONTENT {
            // RFC 9110 section 8.6: a 204 has none.
            head.fields.remove(header::CONTENT_LENGTH);
        }
        if let Some(trailer) = trailer {
            // For the hooks that hold, which must know that more than a body is to come; see `keep`.
            head.fields.set(header::TRAILER, trailer);
        }
        Ok((connection, interim, head))
    }

    /// Lines the request up.
    fn send(&self, story: &mut Story, connection: &mut UpstreamConnection) -> Result<(), Box<Error>> {
        let head = upstream_head(self, story, connection);
        connection.send(&head, self.body_for(connection))?;
        story.attempt_sends();
        Ok(())
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

    /// Reads the final head, and the interim ones before it, which go to `interim_to` where somebody waits for them. A 101
    /// is final; one that was not asked for is refused by whoever reads it.
    async fn read_final_head(
        &self,
        story: &mut Story,
        connection: &mut UpstreamConnection,
        interim_to: Option<&InterimResponses>,
    ) -> Result<(Vec<ResponseHead>, Head), Box<Error>> {
        let invalid = |why| Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        let (mut interim, mut heard) = (Vec::new(), 0);
        // What comes behind a head is here before anybody can ask whether there is memory for it.
        let room = if self.host.memory.is_scarce() { SMALL_HEAD } else { USUAL_HEAD };
        loop {
            let mut head = connection.read_head(room, &mut |piece| story.show_upload(piece)).await?;
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                let key = self.head.fields.get(header::SEC_WEBSOCKET_KEY);
                if !rules::is_websocket_acceptance(&head.fields, key) {
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
            wire::strip_response_hops(head.status, &mut head.fields);
            for framing in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
                head.fields.remove(framing);
            }
            match interim_to {
                Some(interim_to) => interim_to.put(head),
                None => interim.push(head),
            }
        }
    }

    /// Keeps as much of the body as the hooks ask for, now that they can see the head.
    async fn keep(
        &self,
        story: &mut Story,
        connection: UpstreamConnection,
        interim: Vec<ResponseHead>,
        mut head: Head,
    ) -> Result<Reply, Box<Error>> {
        let mut wanted = Keep::Nothing;
        let response = head.edited();
        let (hooks, facts) = story.entered_inside_out();
        for attached in hooks {
            let Some(hold) = attached.hold else { continue };
            wanted = super::larger(wanted, attached.enter().on_held_head(&response, hold.response, facts));
            attached.leave();
        }
        head.fields.remove(header::TRAILER);
        let (method, connector) = (&self.request.method, &self.host.connector);
        let body = keep::keep(connection, story, &head, method, wanted, connector, self.room()).await?;
        if let Body::Whole { .. } = body {
            story.end_attempt(self.host.clock.now(), None);
        }
        Ok(Reply { interim, head, body })
    }
}
