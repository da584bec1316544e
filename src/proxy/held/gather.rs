//! A body while it comes: its bytes, and the memory they take.

use crate::memory_budget::{Reservation, STEP};
use bytes::{Bytes, BytesMut};

/// Bytes of one body, in the order they came.
pub struct Gather {
    room: Reservation,
    /// Pieces as they came, or filled up to a step each: an application that writes byte by byte must not cost an
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

    /// Takes one piece more. `false`: there is no room for it beyond what is here; it is taken all the same, as it has
    /// come.
    pub fn put(&mut self, piece: Bytes) -> bool {
        self.length += piece.len();
        let has_room = self.room.grow(self.length.saturating_sub(self.room.bytes()));
        if self.length == piece.len() || piece.len() >= STEP {
            self.flush();
            self.pieces.push(piece);
            return has_room;
        }

        if self.filling.len() + piece.len() > STEP {
            self.flush();
        }
        if self.filling.capacity() == 0 {
            self.filling.reserve(if self.length > STEP { STEP } else { piece.len() });
        }
        self.filling.extend_from_slice(&piece);
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
