//! Replies that flow on to an HTTP/2 client, which may leave a hundred of them unread on one connection: none is read
//! further from the application than there is memory for.

use super::keep::Rest;
use crate::exchange::Exchange;
use crate::memory_budget::Reservation;
use bytes::Bytes;
use pingora::{Error, ErrorType, Result};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Between two looks whether other connections have left room; those of this one tell.
const PAUSE: Duration = Duration::from_millis(100);
/// An application that is silent for longer has nothing to be read, and its reply takes no room meanwhile.
const SILENCE: Duration = Duration::from_millis(50);

/// A piece of body on its way, and the room that it takes until it is written.
pub type Piece = (Option<Bytes>, Option<Reservation>);

/// The next piece of a body; `None` at its end. Over HTTP/2 it is read when there is room for it.
pub async fn next(rest: &mut Rest, exchange: &Exchange) -> Result<Piece> {
    if exchange.connection.replies().is_none() {
        return Ok((rest.next().await?, None));
    }
    let patience = exchange.pipeline.settings.server.idle_timeout;
    let room = timeout(patience, room(exchange)).await.map_err(|_elapsed| {
        Error::explain(ErrorType::WriteTimedout, "the client leaves its replies unread").into_down()
    })?;

    let mut piece = pin!(rest.next());
    match timeout(SILENCE, &mut piece).await {
        Ok(piece) => Ok((piece?, Some(room))),
        Err(_silent) => {
            drop(room);
            let piece = piece.await?;
            // It is here by now, whether there is room or not.
            Ok((piece, exchange.host.memory.reserve(exchange.reply_holder(), 1)))
        }
    }
}

/// Room for one piece, once there is some.
async fn room(exchange: &Exchange) -> Reservation {
    loop {
        if let Some(room) = exchange.host.memory.reserve(exchange.reply_holder(), 1) {
            return room;
        }
        if let Some(replies) = exchange.connection.replies() {
            replies.has_room().await;
        }
        if let Some(room) = exchange.host.memory.reserve(exchange.reply_holder(), 1) {
            return room;
        }
        sleep(PAUSE).await;
    }
}
