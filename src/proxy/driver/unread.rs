//! Replies that flow on to an HTTP/2 client, which may leave a hundred of them unread on one connection: none is read
//! further from the application than there is memory for.

use super::keep::Rest;
use crate::exchange::{Exchange, Story};
use crate::memory_budget::{ConnectionReplies, Holder, MemoryBudget, Reservation};
use bytes::Bytes;
use pingora::{Error, ErrorType, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Between two looks whether other connections have left room; those of this one tell.
const PAUSE: Duration = Duration::from_millis(100);
/// An application that is silent for longer has nothing to be read, and its reply takes no room meanwhile.
const SILENCE: Duration = Duration::from_millis(50);

/// A piece of body on its way, and the room that it takes until it is written.
pub type Piece = (Option<Bytes>, Option<Reservation>);

/// Room for the pieces of one reply that flows on to an HTTP/2 client.
pub struct Unread {
    memory: Arc<MemoryBudget>,
    holder: Holder,
    replies: ConnectionReplies,
    patience: Duration,
}

impl Unread {
    /// Of the reply to `exchange`; `None` over HTTP/1, where there is one at a time.
    pub fn of(exchange: &Exchange) -> Option<Self> {
        Some(Self {
            replies: exchange.connection.replies()?.clone(),
            memory: Arc::clone(&exchange.host.memory),
            holder: exchange.reply_holder(),
            patience: exchange.pipeline.settings.server.idle_timeout,
        })
    }

    fn try_reserve(&self) -> Option<Reservation> {
        self.memory.reserve(self.holder.clone(), 1)
    }

    /// Room for one piece, once there is some.
    async fn reserve(&self) -> Reservation {
        loop {
            if let Some(room) = self.try_reserve() {
                return room;
            }
            self.replies.has_room().await;
            if let Some(room) = self.try_reserve() {
                return room;
            }
            sleep(PAUSE).await;
        }
    }
}

/// The next piece of a body; `None` at its end. Over HTTP/2 it is read when there is room for it.
///
/// # Errors
///
/// Those of the upstream, and `WriteTimedout` of the client's side when it leaves its replies unread for too long.
pub async fn next(rest: &mut Rest, story: &mut Story, unread: Option<&Unread>) -> Result<Piece> {
    let Some(unread) = unread else { return Ok((rest.next(story).await?, None)) };
    let room = timeout(unread.patience, unread.reserve()).await.map_err(|_elapsed| {
        Error::explain(ErrorType::WriteTimedout, "the client leaves its replies unread").into_down()
    })?;

    match timeout(SILENCE, rest.next(story)).await {
        Ok(piece) => Ok((piece?, Some(room))),
        Err(_silent) => {
            drop(room);
            // A small one, as it is here then, whether there is room or not.
            let piece = rest.next_small(story).await?;
            Ok((piece, unread.try_reserve()))
        }
    }
}
