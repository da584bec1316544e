//! Keeping a response body up to a bound, and letting it flow on beyond.

use super::gather::Gather;
use super::upward::Upward;
use crate::connections::Connections;
use crate::host::Host;
use crate::memory_budget::Reservation;
use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::response::Parts;
use http::{Method, StatusCode};
use pingora::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use vestibule_plugin::{Keep, WhyFlowing};

/// How long the rest of a body that nobody wants is read to save its connection.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// A response body.
pub enum Body {
    /// All of it; the connection has been given back.
    Whole {
        /// Every byte.
        bytes: Bytes,
        /// Trailers behind them.
        trailers: Option<HeaderMap>,
    },
    /// What came so far, and where the rest comes from.
    Flowing {
        /// Read while keeping.
        first: Vec<Bytes>,
        /// The rest.
        rest: Box<Rest>,
    },
}

/// The part of a response that is still on its way.
pub struct Rest {
    upward: Upward,
    /// Why it is not kept.
    pub why: WhyFlowing,
    /// The memory of what was read while keeping, until that is written.
    pub room: Option<Reservation>,
}

impl Rest {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Box<Error>> {
        self.upward.read_body().await
    }

    /// Trailers behind the end.
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, Box<Error>> {
        self.upward.read_trailers().await
    }

    /// Gives the connection back, or closes it.
    pub async fn release(self: Box<Self>, connector: &Connections) {
        self.upward.release(connector).await;
    }
}

impl Body {
    /// Bytes of it that are kept.
    pub fn len(&self) -> usize {
        match self {
            Self::Whole { bytes, .. } => bytes.len(),
            Self::Flowing { first, .. } => first.iter().map(Bytes::len).sum(),
        }
    }

    /// Of a response that has none.
    pub fn empty() -> Self {
        Self::Whole { bytes: Bytes::new(), trailers: None }
    }

    /// Nobody will read it. What is left of it is read and thrown away up to the bound of `asked`, so that the
    /// connection can be used again; beyond the bound the connection is closed.
    pub fn discard(self, host: &Arc<Host>, asked: Keep) {
        let Self::Flowing { mut rest, .. } = self else { return };
        rest.room = None;
        let bound = match asked {
            Keep::Whole { max, .. } => max,
            Keep::Nothing => 0,
        };
        let host = Arc::clone(host);
        tokio::spawn(async move {
            let until = Instant::now() + DISCARD_TIME;
            let mut left = bound;
            while let Ok(Ok(Some(chunk))) = timeout_at(until, rest.next()).await {
                if chunk.len() > left {
                    return;
                }
                left -= chunk.len();
            }
            // A connection in the middle of a response is closed by this, one at its end is kept.
            rest.release(&host.connector).await;
        });
    }
}

/// Reads the body of `head` as far as `wanted` says and there is memory for; `room` holds some already.
pub async fn keep(
    mut upward: Upward,
    head: &Parts,
    method: &Method,
    wanted: Keep,
    connector: &Connections,
    room: Reservation,
) -> Result<Body, Box<Error>> {
    if has_no_body(head, method) {
        upward.finish().await?;
        upward.release(connector).await;
        return Ok(Body::empty());
    }
    let Keep::Whole { max, within } = wanted else {
        return Ok(flowing(upward, WhyFlowing::NotKept));
    };
    let declared = declared_length(head);
    if declared.is_some_and(|length| length > max as u64) {
        return Ok(flowing(upward, WhyFlowing::TooLarge));
    }
    // A body of declared length is worth waiting for: the read deadline bounds each wait.
    let until = match (declared, within) {
        (None, Some(within)) => Some(Instant::now() + within),
        _ => None,
    };
    let mut kept = Gather::new(room);
    if !kept.has_room_to_begin() {
        return Ok(flowing(upward, WhyFlowing::NoRoom));
    }
    loop {
        let read = match until {
            None => upward.read_body().await,
            Some(until) => match timeout_at(until, upward.read_body()).await {
                Ok(read) => read,
                Err(_) => return Ok(flowing_on(upward, kept, WhyFlowing::TooSlow)),
            },
        };
        match read? {
            Some(chunk) => {
                let has_room = kept.put(chunk);
                if kept.len() > max {
                    return Ok(flowing_on(upward, kept, WhyFlowing::TooLarge));
                }
                if !has_room {
                    return Ok(flowing_on(upward, kept, WhyFlowing::NoRoom));
                }
            }
            None => break,
        }
    }
    let trailers = upward.read_trailers().await?;
    upward.release(connector).await;
    Ok(Body::Whole { bytes: kept.whole(), trailers })
}

/// Nothing was read of it.
fn flowing(upward: Upward, why: WhyFlowing) -> Body {
    Body::Flowing { first: Vec::new(), rest: Box::new(Rest { upward, why, room: None }) }
}

/// A part was read of it.
fn flowing_on(upward: Upward, kept: Gather, why: WhyFlowing) -> Body {
    let (first, room) = kept.pieces();
    Body::Flowing { first, rest: Box::new(Rest { upward, why, room: Some(room) }) }
}

fn has_no_body(head: &Parts, method: &Method) -> bool {
    *method == Method::HEAD || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn declared_length(head: &Parts) -> Option<u64> {
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}
