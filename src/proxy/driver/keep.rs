//! Keeping a response body up to a bound, and letting it flow on beyond.

use super::gather::Gather;
use crate::connections::{Connections, SMALL_PIECE, UpstreamConnection};
use crate::exchange::Story;
use crate::host::Host;
use crate::memory_budget::Reservation;
use crate::proxy::wire;
use crate::response_head::ResponseHead;
use bytes::Bytes;
use http::header::{self, HeaderMap};
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
    connection: UpstreamConnection,
    /// Why it is not kept.
    pub why: WhyFlowing,
    /// The memory of what was read while keeping, until that is written.
    pub room: Option<Reservation>,
}

impl Rest {
    /// The next piece; `None` at the end. `story` is shown what leaves of the request meanwhile.
    pub async fn next(&mut self, story: &mut Story) -> Result<Option<Bytes>, Box<Error>> {
        self.connection.read_body(&mut |piece| story.show_upload(piece)).await
    }

    /// The next piece, a small one: it is held whether there is memory for it or not.
    pub async fn next_small(&mut self, story: &mut Story) -> Result<Option<Bytes>, Box<Error>> {
        self.connection.read_piece(SMALL_PIECE, &mut |piece| story.show_upload(piece)).await
    }

    /// Sends what is left of the request.
    pub async fn send_rest(&mut self, story: &mut Story) {
        self.connection.send_rest(&mut |piece| story.show_upload(piece)).await;
    }

    /// Whether all of the request has left, or none of it will any more.
    pub fn request_is_sent(&self) -> bool {
        self.connection.is_sent()
    }

    /// Trailers behind the end.
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, Box<Error>> {
        read_trailers(&mut self.connection).await
    }

    /// Gives the connection back, or closes it.
    pub async fn release(self: Box<Self>, connector: &Connections) {
        connector.release(self.connection).await;
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
            while let Ok(Ok(Some(chunk))) = timeout_at(until, rest.connection.read_body(&mut |_| {})).await {
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
    mut connection: UpstreamConnection,
    story: &mut Story,
    head: &ResponseHead,
    method: &Method,
    wanted: Keep,
    connector: &Connections,
    room: Reservation,
) -> Result<Body, Box<Error>> {
    if has_no_body(head, method) {
        while connection.read_body(&mut |piece| story.show_upload(piece)).await?.is_some() {}
        if !connection.is_sent() {
            return Ok(flowing(connection, WhyFlowing::NotKept));
        }
        connector.release(connection).await;
        return Ok(Body::empty());
    }

    let Keep::Whole { max, within } = wanted else {
        return Ok(flowing(connection, WhyFlowing::NotKept));
    };
    let declared = declared_length(head);
    if declared.is_some_and(|length| length > max as u64) {
        return Ok(flowing(connection, WhyFlowing::TooLarge));
    }

    // A body of declared length is worth waiting for: the read deadline bounds each wait.
    let until = match (declared, within) {
        (None, Some(within)) => Some(Instant::now() + within),
        _ => None,
    };
    let mut kept = Gather::new(room);
    if !kept.has_room_to_begin() {
        return Ok(flowing(connection, WhyFlowing::NoRoom));
    }

    loop {
        let mut seen = |piece: &Bytes| story.show_upload(piece);
        let reading = connection.read_piece(kept.next_piece(), &mut seen);
        let read = match until {
            None => reading.await,
            Some(until) => match timeout_at(until, reading).await {
                Ok(read) => read,
                Err(_) => return Ok(flowing_on(connection, kept, WhyFlowing::TooSlow)),
            },
        };

        match read? {
            Some(chunk) => {
                let has_room = kept.put(chunk);
                if kept.len() > max {
                    return Ok(flowing_on(connection, kept, WhyFlowing::TooLarge));
                }
                if !has_room {
                    return Ok(flowing_on(connection, kept, WhyFlowing::NoRoom));
                }
            }
            None => break,
        }
    }

    let trailers = read_trailers(&mut connection).await?;
    connector.release(connection).await;
    Ok(Body::Whole { bytes: kept.whole(), trailers })
}

async fn read_trailers(connection: &mut UpstreamConnection) -> Result<Option<HeaderMap>, Box<Error>> {
    let mut trailers = connection.read_trailers().await?;
    if let Some(trailers) = &mut trailers {
        wire::strip_trailers(trailers);
    }
    Ok(trailers.filter(|trailers| !trailers.is_empty()))
}

/// Nothing was read of it.
fn flowing(connection: UpstreamConnection, why: WhyFlowing) -> Body {
    Body::Flowing { first: Vec::new(), rest: Box::new(Rest { connection, why, room: None }) }
}

/// A part was read of it.
fn flowing_on(connection: UpstreamConnection, kept: Gather, why: WhyFlowing) -> Body {
    let (first, room) = kept.pieces();
    Body::Flowing { first, rest: Box::new(Rest { connection, why, room: Some(room) }) }
}

fn has_no_body(head: &ResponseHead, method: &Method) -> bool {
    *method == Method::HEAD || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn declared_length(head: &ResponseHead) -> Option<u64> {
    head.fields.text(header::CONTENT_LENGTH)?.trim().parse().ok()
}
