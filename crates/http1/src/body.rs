//! Bodies: the one place that knows when one has ended.

use crate::chunks::{Chunks, Step};
use crate::fault::ChunkFault;
use crate::framing::Framing;

/// Reads a body by its framing.
#[derive(Clone, Debug)]
pub enum BodyReader {
    /// There is none.
    None,
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// All bytes to the end of the stream.
    UntilClose,
}

/// Meaning of the end of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEof {
    /// The body is whole.
    Complete,
    /// It was cut off.
    Truncated,
}

impl BodyReader {
    /// A reader of a body framed so; the bounds, in bytes and lines, are those of a trailer section.
    pub fn new(framing: Framing, max_trailer_bytes: usize, max_trailer_fields: usize) -> Self {
        match framing {
            Framing::None => Self::None,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::new(max_trailer_bytes, max_trailer_fields)),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Looks at `input`, which follows what was used up before. What is not used up once the body has ended belongs to
    /// the next message.
    ///
    /// # Errors
    ///
    /// The input is no chunked body.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, ChunkFault> {
        match self {
            Self::None => Ok(Step { consumed: 0, data: 0..0, end: true }),
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                Ok(Step { consumed: taken, data: 0..taken, end: *left == 0 })
            }
            Self::Chunked(chunks) => chunks.step(input),
            Self::UntilClose => Ok(Step { consumed: input.len(), data: 0..input.len(), end: false }),
        }
    }

    /// `true` once the body has ended, as far as its bytes say.
    pub fn is_finished(&self) -> bool {
        match self {
            Self::None | Self::Length(0) => true,
            Self::Chunked(chunks) => chunks.is_finished(),
            Self::Length(_) | Self::UntilClose => false,
        }
    }

    /// Meaning of an end of the stream at this point.
    pub fn at_eof(&self) -> AtEof {
        if self.is_finished() || matches!(self, Self::UntilClose) { AtEof::Complete } else { AtEof::Truncated }
    }

    /// The trailers, once the body has ended.
    pub fn trailers(&self) -> &[(http::HeaderName, http::HeaderValue)] {
        match self {
            Self::Chunked(chunks) => chunks.trailers(),
            _ => &[],
        }
    }
}
