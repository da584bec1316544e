//! The streams of an HTTP/2 connection as they are on the wire: a reply that is complete here may still wait for its client
//! in the buffers of the framing layer.

use super::frames::Frame;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Streams counted at most: more than may be served at once, which are refused.
const MOST: usize = 1_024;

/// Streams whose last frame to the client has not left.
#[derive(Debug, Default)]
pub struct OpenStreams {
    open: Mutex<Open>,
    /// Frames of streams that have left for the client. Those of the connection, such as the answer to a PING, do not
    /// count: a client can ask for them for ever.
    taken: AtomicU64,
    /// Bytes were written that the layer below may still keep, as TLS does.
    unflushed: AtomicBool,
    /// When a frame of a stream last left.
    last: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Open {
    ids: HashSet<u32>,
    highest: u32,
}

impl OpenStreams {
    /// A frame of the client's has come.
    pub fn received(&self, frame: Frame) {
        if frame.is_head() {
            let mut open = self.open.lock();
            // A lower one is a trailer section.
            if frame.stream > open.highest {
                open.highest = frame.stream;
                if open.ids.len() < MOST {
                    open.ids.insert(frame.stream);
                }
            }
        } else if frame.is_reset() {
            self.open.lock().ids.remove(&frame.stream);
        }
    }

    /// A frame has left for the client.
    pub fn sent(&self, frame: Frame) {
        if frame.stream != 0 {
            self.taken.fetch_add(1, Ordering::Relaxed);
            *self.last.lock() = Some(Instant::now());
        }
        if frame.is_last() {
            self.open.lock().ids.remove(&frame.stream);
        }
    }

    /// Frames of streams that the client has taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Says whether the layer below may keep bytes.
    pub fn set_unflushed(&self, unflushed: bool) {
        self.unflushed.store(unflushed, Ordering::Relaxed);
    }

    /// Whether every reply has left whole, or was reset.
    pub fn is_empty(&self) -> bool {
        !self.unflushed.load(Ordering::Relaxed) && self.open.lock().ids.is_empty()
    }

    /// Whether the kernel may still hold a part of a reply: one has left so lately.
    pub fn has_sent_within(&self, time: Duration) -> bool {
        self.last.lock().is_some_and(|last| last.elapsed() < time)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::FrameScan;
    use super::*;

    const HEADERS: u8 = 0x1;
    const DATA: u8 = 0x0;
    const RST_STREAM: u8 = 0x3;
    const PING: u8 = 0x6;
    const END_STREAM: u8 = 0x1;

    fn frame(kind: u8, flags: u8, stream: u8) -> Frame {
        let mut scan = FrameScan::of_server();
        let mut found = None;
        scan.advance(&[0, 0, 1, kind, flags, 0, 0, 0, stream, 7], |frame| found = Some(frame));
        found.expect("a frame")
    }

    #[test]
    fn a_stream_is_open_until_its_last_frame_has_left() {
        let streams = OpenStreams::default();
        streams.received(frame(HEADERS, END_STREAM, 1));
        streams.received(frame(HEADERS, 0, 3));
        streams.received(frame(HEADERS, END_STREAM, 3));
        streams.sent(frame(HEADERS, 0, 1));
        streams.sent(frame(DATA, 0, 1));
        streams.sent(frame(HEADERS, END_STREAM, 3));
        assert!(!streams.is_empty());
        streams.sent(frame(DATA, END_STREAM, 1));
        assert!(streams.is_empty());
        let taken = streams.taken();
        streams.sent(frame(PING, 0, 0));
        assert_eq!(streams.taken(), taken);

        for (stream, from_client) in [(5, true), (7, false)] {
            streams.received(frame(HEADERS, 0, stream));
            assert!(!streams.is_empty());
            let reset = frame(RST_STREAM, 0, stream);
            if from_client {
                streams.received(reset);
            } else {
                streams.sent(reset);
            }
            assert!(streams.is_empty());
        }
    }
}
