//! A body while it comes: its bytes, and the memory they take.

use crate::connections::SMALL_PIECE;
use crate::memory_budget::{Reservation, STEP};
use bytes::{Bytes, BytesMut};

/// Bytes of one body, in the order they came.
pub struct Gather {
    room: Reservation,
    /// The first one as it came, which is often the only one, then a step each: whoever writes byte by byte must not cost an
    /// allocation a byte.
    pieces: Vec<Bytes>,
    filling: BytesMut,
    length: usize,
}

impl Gather {
    /// Of a body of which nothing has come; `room` may hold some already.
    pub fn new(room: Reservation) -> Self {
        Self { room, pieces: Vec::new(), filling: BytesMut::new(), length: 0 }
    }

    /// Bytes that have come.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether a first piece can come, which is no larger than a step. Asked before it is read.
    pub fn has_room_to_begin(&mut self) -> bool {
        self.room.bytes() > 0 || self.room.grow(1)
    }

    /// Bytes that the next piece should have at most, asked before it is read: as many as there is room for, and where there
    /// is none, as few as show whether more comes at all.
    pub fn next_piece(&mut self) -> usize {
        if self.room.capacity() < self.length + SMALL_PIECE {
            self.room.grow((self.length + SMALL_PIECE).saturating_sub(self.room.bytes()));
        }
        (self.room.capacity().saturating_sub(self.length)).max(SMALL_PIECE)
    }

    /// Takes one piece more. `false`: there is no room for it beyond what is here; it is taken all the same, as it has
    /// come.
    pub fn put(&mut self, mut piece: Bytes) -> bool {
        self.length += piece.len();
        let has_room = self.room.grow(self.length.saturating_sub(self.room.bytes()));
        if self.length == piece.len() {
            self.pieces.push(piece);
            return has_room;
        }

        while !piece.is_empty() {
            if self.filling.capacity() == 0 {
                self.filling.reserve(STEP);
            }
            // Filled to the last byte: what a buffer leaves over is memory that nobody counts.
            let fitting = piece.len().min(STEP - self.filling.len());
            self.filling.extend_from_slice(&piece.split_to(fitting));
            if self.filling.len() == STEP {
                self.flush();
            }
        }
        has_room
    }

    fn flush(&mut self) {
        if !self.filling.is_empty() {
            self.pieces.push(std::mem::take(&mut self.filling).freeze());
        }
    }

    /// All of it in one piece, which keeps its room as long as it lives.
    pub fn whole(mut self) -> Bytes {
        self.flush();
        let whole = match self.pieces.len() {
            0 => Bytes::new(),
            1 => self.pieces.swap_remove(0),
            _ => {
                let mut whole = BytesMut::with_capacity(self.length);
                // Each piece is freed once it is copied.
                for piece in self.pieces {
                    whole.extend_from_slice(&piece);
                }
                whole.freeze()
            }
        };
        self.room.bind(whole)
    }

    /// The pieces that have come, and their room.
    pub fn pieces(mut self) -> (Vec<Bytes>, Reservation) {
        self.flush();
        (self.pieces, self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_budget::MemoryBudget;
    use std::sync::Arc;
    use vestibule_plugin::ClientAddress;

    fn budget(steps: usize) -> Arc<MemoryBudget> {
        MemoryBudget::for_tests(steps * STEP)
    }

    fn gather(budget: &Arc<MemoryBudget>) -> Gather {
        Gather::new(budget.nothing_yet(ClientAddress::Local))
    }

    #[test]
    fn whatever_the_pieces_the_body_is_theirs_and_takes_its_steps() {
        let body: Vec<u8> = (0..5 * STEP + 7).map(|i| (i % 251) as u8).collect();
        for size in [997, 33 * 1024, STEP - 1, STEP, STEP + 1, 3 * STEP, body.len()] {
            let budget = budget(32);
            let mut kept = gather(&budget);
            for piece in body.chunks(size) {
                assert!(kept.put(Bytes::copy_from_slice(piece)), "{size}");
            }
            assert_eq!(budget.in_use(), 6 * STEP);
            let whole = kept.whole();
            assert!(whole[..] == body[..], "{size}");
            assert_eq!(budget.in_use(), 6 * STEP);
            drop(whole);
            assert_eq!(budget.in_use(), 0);
        }
    }

    #[test]
    fn many_small_pieces_become_few_large_ones() {
        let budget = budget(32);
        let mut kept = gather(&budget);
        for _ in 0..3 * STEP {
            assert!(kept.put(Bytes::from_static(b"x")));
        }
        let (pieces, _room) = kept.pieces();
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [1, STEP, STEP, STEP - 1]);
    }

    #[test]
    fn no_more_is_read_than_there_is_room_for() {
        let budget = budget(2);
        let mut kept = gather(&budget);
        assert!(kept.has_room_to_begin());
        let mut body = 0;
        loop {
            let most = kept.next_piece();
            assert!(body + most <= budget.in_use() + SMALL_PIECE, "{most} behind {body}");
            let came = most.min(8 * 1024 - 5);
            body += came;
            if !kept.put(vec![1; came].into()) {
                break;
            }
        }
        assert!(budget.in_use() == 2 * STEP && body > 2 * STEP && body <= 2 * STEP + SMALL_PIECE, "{body}");
    }

    #[test]
    fn a_piece_that_finds_no_room_is_not_lost() {
        let budget = budget(2);
        let mut kept = gather(&budget);
        assert!(kept.has_room_to_begin());
        assert!(kept.put(vec![1; STEP].into()));
        assert!(!kept.put(vec![2; 2 * STEP].into()));
        let (pieces, room) = kept.pieces();
        assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), 3 * STEP);
        assert!(!gather(&budget).put(vec![3; 2 * STEP].into()));
        drop(room);
        assert_eq!(budget.in_use(), 0);
    }
}
