//! Stored bodies without their coding: piece by piece, within memory that is there, and not on a thread that serves.

use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::thread;
use tokio::sync::{Semaphore, mpsc, oneshot};
use vestibule_coding::{Codec, Undecodable};
use vestibule_plugin::Room;

/// Content that is decoded where the request is served: a fraction of a millisecond. More goes to another thread.
const SMALL: usize = 64 * 1024;
/// Bodies decoded at the same time. Each decoder has a window of up to 16 MiB, which no request pays for.
const AT_ONCE: usize = 2;
/// Decoded pieces of [`SMALL`] bytes that wait for the request.
const PIECES_AHEAD: usize = 1;

/// Decodes a few bodies at a time; the others wait.
pub(crate) struct Decoders(Arc<Semaphore>);

impl Default for Decoders {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Why there is no decoded body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    /// It is not of this coding.
    Corrupt,
    /// It is more than the bound.
    TooLarge,
    /// There is no memory for it.
    NoRoom,
}

impl Decoders {
    /// The content of `coded`, at most `most` bytes, for which `room` is made beyond that of `coded` itself.
    pub(crate) async fn decode(
        &self,
        codec: Codec,
        coded: &Bytes,
        most: usize,
        room: &mut dyn Room,
    ) -> Result<Bytes, Failed> {
        if coded.len() <= SMALL {
            let mut content = Vec::new();
            match codec.decode(coded, most.min(SMALL) as u64, &mut |piece| content.extend_from_slice(piece)) {
                Ok(()) if room.grow_to(coded.len() + content.len()) => return Ok(content.into()),
                Ok(()) => return Err(Failed::NoRoom),
                Err(Undecodable::TooLarge) if most > SMALL => {}
                Err(Undecodable::TooLarge) => return Err(Failed::TooLarge),
                Err(Undecodable::Corrupt | Undecodable::Unwanted) => return Err(Failed::Corrupt),
            }
        }
        self.decode_elsewhere(codec, coded, most, room).await
    }

    async fn decode_elsewhere(
        &self,
        codec: Codec,
        coded: &Bytes,
        most: usize,
        room: &mut dyn Room,
    ) -> Result<Bytes, Failed> {
        // Never closed.
        let turn = Arc::clone(&self.0).acquire_owned().await.ok();
        let (pieces, mut decoded) = mpsc::channel(PIECES_AHEAD);
        let input = coded.clone();
        let (tell, told) = oneshot::channel();
        let work = move || {
            let _turn = turn;
            // Whoever waits no longer is not told.
            let _ = tell.send(in_pieces(codec, &input, most as u64, &mut |piece| pieces.blocking_send(piece).is_ok()));
        };
        // A thread of its own: where none can be made, that is for want of memory, and is no reason to wait for ever.
        if thread::Builder::new().name("decoder".to_owned()).spawn(work).is_err() {
            return Err(Failed::NoRoom);
        }

        let (mut content, mut length) = (Vec::new(), 0);
        while let Some(piece) = decoded.recv().await {
            length += piece.len();
            if !room.grow_to(coded.len() + length) {
                // The thread finds nobody who takes the next piece, and stops.
                return Err(Failed::NoRoom);
            }
            content.push(piece);
        }
        match told.await {
            Ok(Ok(())) => Ok(join(content, length)),
            Ok(Err(Undecodable::TooLarge)) => Err(Failed::TooLarge),
            Ok(Err(Undecodable::Corrupt | Undecodable::Unwanted)) | Err(_) => Err(Failed::Corrupt),
        }
    }
}

/// Decodes into pieces of [`SMALL`] bytes, the last one shorter, until nobody takes them.
fn in_pieces(codec: Codec, coded: &[u8], most: u64, take: &mut dyn FnMut(Vec<u8>) -> bool) -> Result<(), Undecodable> {
    let mut piece = Vec::with_capacity(SMALL);
    codec.decode_while(coded, most, &mut |bytes| {
        let (now, later) = bytes.split_at(bytes.len().min(SMALL - piece.len()));
        piece.extend_from_slice(now);
        if piece.len() < SMALL {
            return true;
        }
        let mut next = Vec::with_capacity(SMALL);
        next.extend_from_slice(later);
        take(std::mem::replace(&mut piece, next))
    })?;
    if piece.is_empty() || take(piece) { Ok(()) } else { Err(Undecodable::Unwanted) }
}

fn join(pieces: Vec<Vec<u8>>, length: usize) -> Bytes {
    let mut whole = BytesMut::with_capacity(length);
    // Each piece is freed once it is copied.
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests;
