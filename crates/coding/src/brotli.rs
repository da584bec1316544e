//! `br` (RFC 7932).

use super::{Bounded, PIECE, Undecodable};
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

/// Strict: windows beyond RFC 7932's 16 MiB are an error, so a few bytes cannot ask for a gigabyte.
pub(super) fn decode(coded: &[u8], out: &mut Bounded<'_>) -> Result<(), Undecodable> {
    let alloc = StandardAlloc::default;
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let mut piece = [0; PIECE];
    let (mut unread, mut read, mut total) = (coded.len(), 0, 0);
    loop {
        let (mut room, mut written) = (piece.len(), 0);
        let result = BrotliDecompressStream(
            &mut unread,
            &mut read,
            coded,
            &mut room,
            &mut written,
            &mut piece,
            &mut total,
            &mut state,
        );
        out.put(&piece[..written])?;
        match result {
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess if unread == 0 => return Ok(()),
            BrotliResult::ResultSuccess | BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => {
                return Err(Undecodable::Corrupt);
            }
        }
    }
}
