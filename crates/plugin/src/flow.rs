//! What a hook can decide.

use crate::{Fields, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// A decision on a request.
#[must_use]
pub enum Flow {
    /// On to the next plugin.
    Continue,
    /// Go on; bodies are kept whole up to these bounds.
    Hold(Hold),
    /// From [`on_request_body`](crate::Hooks::on_request_body) only: look first at what the target holds, with a GET that
    /// keeps as much of the reply as this says; [`on_looked`](crate::Hooks::on_looked) then decides.
    Look(Keep),
    /// Answered here; inner plugins and the upstream never see the request.
    Respond(Box<Response>),
}

impl Flow {
    /// Answers with `response`.
    pub fn respond(response: impl Into<Response>) -> Self {
        Self::Respond(Box::new(response.into()))
    }
}

/// What is to be held. Of several plugins' wishes the largest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Most bytes of request body to keep; more is 413. `None`: the body is not asked for.
    pub request_body: Option<usize>,
    /// What is to be kept of the response.
    pub response: Keep,
    /// What happens to the upstream call when the client leaves.
    pub detach: Detach,
}

/// How much of a response body is kept before its head may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it, if it fits.
    Whole {
        /// Most bytes.
        max: usize,
        /// Longest wait, from the head on, for a body whose length is not declared; after it the body flows on.
        within: Option<Duration>,
    },
    /// Nothing: the head is seen, then the body flows.
    Nothing,
}

/// Whether the upstream call outlives the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detach {
    /// It ends when the client leaves.
    WithClient,
    /// It goes on in its own task.
    Survives {
        /// From the first attempt on; whatever the upstream does, the call ends by then.
        deadline: Duration,
    },
}

/// A response body at the moment its head could leave.
#[derive(Clone, Copy)]
pub enum Held<'a> {
    /// The complete body.
    Whole {
        /// Every byte of it.
        body: &'a Bytes,
        /// Trailers that came after it.
        trailers: Option<&'a HeaderMap>,
    },
    /// It is not whole and will flow on behind the head.
    Flowing(WhyFlowing),
}

/// What the target of a request holds, as a GET of the same client was told.
#[derive(Clone, Copy)]
pub struct Looked<'a> {
    /// Status of the reply.
    pub status: StatusCode,
    /// Its fields.
    pub fields: &'a Fields,
    /// Its body.
    pub body: Held<'a>,
}

/// Why a body could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyFlowing {
    /// Nobody asked for it.
    NotKept,
    /// More bytes than the bound, declared or seen.
    TooLarge,
    /// Its length is unknown and it took longer than [`Keep::Whole`] `within`.
    TooSlow,
    /// The host's memory for bodies is used up.
    NoRoom,
}

/// An upstream call that came to no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the upstream may have got of the request.
    pub sent: Sent,
    /// Status of the reply, when its head came and its body broke off.
    pub head: Option<StatusCode>,
    /// What ended it.
    pub why: WhyFailed,
}

/// What an upstream may have got of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// No byte of it, or it said that it processed nothing of it.
    Nothing,
    /// At least a part.
    Something,
}

/// What ended a call that came to no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyFailed {
    /// The upstream could not be reached, or broke off.
    Broken,
    /// A deadline passed.
    Timeout,
    /// The proxy stops and waits no longer.
    Stopped,
}

/// A decision on a held response.
#[must_use]
pub enum HeldFlow {
    /// Send it, as edited.
    Continue,
    /// Send the head alone (a 304); the body is dropped.
    DropBody,
    /// Send this instead.
    Respond(Box<Response>),
}
