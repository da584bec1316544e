//! `zstd` (RFC 8878), frame after frame.

use super::{Bounded, PIECE, Undecodable};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::Read;

/// The largest window of the content coding (RFC 9659 section 3).
const MAX_WINDOW: u64 = 8 << 20;

pub(super) fn decode(coded: &[u8], out: &mut Bounded<'_>) -> Result<(), Undecodable> {
    let mut rest = coded;
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_WINDOW);
    while !rest.is_empty() {
        match decoder.reset(&mut rest) {
            Ok(()) => frame(&mut decoder, &mut rest, out)?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                rest = usize::try_from(length).ok().and_then(|n| rest.get(n..)).ok_or(Undecodable::Corrupt)?;
            }
            Err(FrameDecoderError::WindowSizeTooBig { .. }) => return Err(Undecodable::TooLarge),
            Err(_) => return Err(Undecodable::Corrupt),
        }
    }
    Ok(())
}

/// One frame, block by block: a block is at most 128 KiB, so what waits in the decoder is its window and one block.
fn frame(decoder: &mut FrameDecoder, rest: &mut &[u8], out: &mut Bounded<'_>) -> Result<(), Undecodable> {
    let mut piece = [0; PIECE];
    while !decoder.is_finished() {
        decoder.decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| Undecodable::Corrupt)?;
        while decoder.can_collect() > 0 {
            let n = decoder.read(&mut piece).map_err(|_| Undecodable::Corrupt)?;
            out.put(&piece[..n])?;
        }
    }
    // The decoder reads the checksum but leaves the comparison to its caller.
    match decoder.get_checksum_from_data() {
        Some(sent) if decoder.get_calculated_checksum() != Some(sent) => Err(Undecodable::Corrupt),
        _ => Ok(()),
    }
}
