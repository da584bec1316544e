//! What a hook can decide.

use crate::Response;
use bytes::Bytes;
use http::HeaderMap;
use std::time::Duration;

/// A decision on a request.
#[must_use]
pub enum Flow {
    /// On to the next plugin.
    Continue,
    /// Go on, in the held lane: bodies are kept whole up to these bounds.
    Hold(Hold),
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
    /// It goes on in its own task, to its deadline.
    Survives,
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

/// Why a body could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyFlowing {
    /// Nobody asked for it.
    NotKept,
    /// More bytes than the bound, declared or seen.
    TooLarge,
    /// Its length is unknown and it took longer than [`Keep::Whole`] `within`.
    TooSlow,
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
