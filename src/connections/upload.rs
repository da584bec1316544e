//! A request body on its way from the client to an attempt, piece by piece.
//!
//! The client's side reads a piece only when the attempt asks for one, so an upstream that does not
//! read holds up the client and not the memory. The two sides run in one task, or in two when the
//! call is detached.

use crate::memory_budget::Reservation;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Most bytes of a body that are kept so that an attempt of which nothing was processed can be made
/// again; of a longer one nothing is.
const MAX_REPLAY: usize = 64 * 1024;

/// Whether what was sent is kept for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Up to 64 KiB of it.
    Kept,
    /// Nothing of it: the next attempt would not be made anyway.
    Dropped,
}

/// The client's end: takes what was read.
pub struct UploadSender(Arc<Mutex<State>>);

/// The call's end, for all its attempts.
pub struct Upload(Arc<Mutex<State>>);

/// One attempt's view: the body from its first byte.
pub struct UploadReader {
    state: Arc<Mutex<State>>,
    replay: Replay,
    /// Pieces of [`State::kept`] that this attempt has sent.
    sent: usize,
}

/// A piece, as an attempt gets it.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// The client's next one.
    New(Bytes),
    /// One that an earlier attempt had.
    Again(Bytes),
}

struct State {
    next: Option<Bytes>,
    ended: bool,
    /// Somebody waits for a piece.
    wanted: bool,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    /// Memory for what is kept.
    room: Reservation,
    /// A piece was passed on and not kept.
    let_go: bool,
    sender: Option<Waker>,
    reader: Option<Waker>,
}

/// Both ends of a body that is still to come; what is kept of it takes `room`, and nothing is where there is none.
pub fn upload(room: Reservation) -> (UploadSender, Upload) {
    let state = Arc::new(Mutex::new(State {
        next: None,
        ended: false,
        wanted: false,
        kept: Vec::new(),
        kept_bytes: 0,
        room,
        let_go: false,
        sender: None,
        reader: None,
    }));
    (UploadSender(Arc::clone(&state)), Upload(state))
}

impl UploadSender {
    /// Resolves when an attempt wants a piece. One that ends wants none, but another may follow it, so there is no end.
    pub fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.wanted && state.next.is_none() {
            return Poll::Ready(());
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Passes a piece on.
    pub fn send(&self, piece: Bytes) {
        let mut state = self.0.lock();
        debug_assert!(state.next.is_none(), "a piece is sent when it is wanted");
        state.next = Some(piece);
        state.wanted = false;
        wake(&mut state.reader);
    }

    /// The body is complete.
    pub fn end(&self) {
        let mut state = self.0.lock();
        state.ended = true;
        wake(&mut state.reader);
    }
}

impl Upload {
    /// The body for another attempt. `None` when a part of it is no longer here.
    pub fn reader(&self, replay: Replay) -> Option<UploadReader> {
        if self.0.lock().let_go {
            return None;
        }
        Some(UploadReader { state: Arc::clone(&self.0), replay, sent: 0 })
    }

    /// Whether the body can be sent from its first byte.
    pub fn is_here(&self) -> bool {
        !self.0.lock().let_go
    }
}

impl UploadReader {
    /// The next piece; `None` when the body is complete.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let mut state = self.state.lock();
        if let Some(piece) = state.kept.get(self.sent) {
            self.sent += 1;
            return Poll::Ready(Some(Piece::Again(piece.clone())));
        }
        if let Some(piece) = state.next.take() {
            if self.replay == Replay::Kept && state.keep(&piece) {
                self.sent += 1;
            } else {
                state.let_go();
                self.sent = 0;
            }
            return Poll::Ready(Some(Piece::New(piece)));
        }
        if state.ended {
            return Poll::Ready(None);
        }

        state.wanted = true;
        state.reader = Some(cx.waker().clone());
        wake(&mut state.sender);
        Poll::Pending
    }

    /// No other attempt follows: what was kept for one goes.
    pub fn is_last(&mut self) {
        self.replay = Replay::Dropped;
        let mut state = self.state.lock();
        if self.sent == state.kept.len() {
            state.let_go();
            self.sent = 0;
        }
    }
}

impl Drop for UploadReader {
    fn drop(&mut self) {
        self.state.lock().wanted = false;
    }
}

impl State {
    /// Keeps a piece, if all before it is kept and there is room.
    fn keep(&mut self, piece: &Bytes) -> bool {
        let fits = !self.let_go && self.kept_bytes + piece.len() <= MAX_REPLAY;
        if !fits || !self.room.grow(piece.len()) {
            return false;
        }
        self.kept_bytes += piece.len();
        self.kept.push(piece.clone());
        true
    }

    fn let_go(&mut self) {
        self.let_go = true;
        self.kept = Vec::new();
        self.kept_bytes = 0;
        self.room.shrink_to(0);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_budget::MemoryBudget;
    use futures::FutureExt;
    use std::future::poll_fn;
    use vestibule_plugin::ClientAddress;

    fn room(bytes: usize) -> Reservation {
        MemoryBudget::for_tests(bytes).nothing_yet(ClientAddress::Local)
    }

    async fn next(reader: &mut UploadReader) -> Option<Piece> {
        poll_fn(|cx| reader.poll_next(cx)).await
    }

    #[tokio::test]
    async fn a_piece_is_asked_for_before_it_is_read() {
        let (sender, upload) = upload(room(1 << 20));
        let mut reader = upload.reader(Replay::Dropped).expect("nothing was sent");
        let reading = async {
            let mut whole = Vec::new();
            while let Some(Piece::New(piece)) = next(&mut reader).await {
                whole.extend_from_slice(&piece);
            }
            whole
        };
        let sending = async {
            for piece in ["a", "bc", "def"] {
                poll_fn(|cx| sender.poll_wanted(cx)).await;
                sender.send(Bytes::from_static(piece.as_bytes()));
            }
            sender.end();
        };
        assert_eq!(tokio::join!(reading, sending).0, b"abcdef");
    }

    #[tokio::test]
    async fn another_attempt_gets_the_body_from_its_first_byte_as_long_as_it_is_short() {
        let (sender, upload) = upload(room(1 << 20));
        let mut first = upload.reader(Replay::Kept).expect("nothing was sent");
        sender.send(Bytes::from_static(b"one"));
        assert_eq!(next(&mut first).await, Some(Piece::New(Bytes::from_static(b"one"))));
        drop(first);

        let mut second = upload.reader(Replay::Kept).expect("it is kept");
        assert_eq!(next(&mut second).await, Some(Piece::Again(Bytes::from_static(b"one"))));
        sender.send(Bytes::from(vec![b'x'; MAX_REPLAY]));
        assert!(matches!(next(&mut second).await, Some(Piece::New(_))));
        assert!(!upload.is_here() && upload.reader(Replay::Kept).is_none());
        sender.end();
        assert_eq!(next(&mut second).await, None);
    }

    #[tokio::test]
    async fn nothing_is_kept_where_there_is_no_memory_for_it() {
        let (sender, upload) = upload(room(0));
        let mut first = upload.reader(Replay::Kept).expect("nothing was sent");
        sender.send(Bytes::from_static(b"one"));
        assert_eq!(next(&mut first).await, Some(Piece::New(Bytes::from_static(b"one"))));
        assert!(!upload.is_here());
    }

    /// Between two attempts nobody wants a piece, and the second one wants some again.
    #[tokio::test]
    async fn a_body_goes_on_with_the_next_attempt() {
        let (sender, upload) = upload(room(1 << 20));
        let mut first = upload.reader(Replay::Kept).expect("nothing was sent");
        assert!(next(&mut first).now_or_never().is_none());
        sender.send(Bytes::from_static(b"one"));
        assert_eq!(next(&mut first).await, Some(Piece::New(Bytes::from_static(b"one"))));
        assert!(next(&mut first).now_or_never().is_none());
        drop(first);
        assert!(poll_fn(|cx| sender.poll_wanted(cx)).now_or_never().is_none(), "no attempt is under way");

        let mut second = upload.reader(Replay::Kept).expect("it is kept");
        assert_eq!(next(&mut second).await, Some(Piece::Again(Bytes::from_static(b"one"))));
        assert!(next(&mut second).now_or_never().is_none());
        poll_fn(|cx| sender.poll_wanted(cx)).await;
        sender.send(Bytes::from_static(b"two"));
        assert_eq!(next(&mut second).await, Some(Piece::New(Bytes::from_static(b"two"))));
        sender.end();
        assert_eq!(next(&mut second).await, None);
    }
}
