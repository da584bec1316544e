//! A strict reader of chunked bodies (RFC 9112 section 7.1), in bytes that may come in pieces.

use crate::fault::{ChunkFault, HeadFault};
use crate::known::Known;
use crate::lines::field;
use crate::syntax::is_token_byte;
use crate::table::Span;
use http::header::{HeaderName, HeaderValue};
use std::ops::Range;

/// Digits of a size.
const MAX_DIGITS: u8 = 16;
/// Bytes of a size line behind its digits.
const MAX_EXTENSION: u32 = 1024;
/// Bytes of extensions of one body: they mean nothing to anybody here, and cost whoever skips them.
const MAX_EXTENSIONS: u32 = 16 * 1024;

/// Reads a chunked body.
#[derive(Clone, Debug)]
pub struct Chunks {
    state: State,
    /// Bytes of the chunk that are still to come; while its size is read, the size so far.
    left: u64,
    /// Bytes of extensions, on this line and of the whole body.
    extension: u32,
    extensions: u32,
    max_trailer_bytes: usize,
    max_trailer_fields: usize,
    /// The trailer line under way, and the trailers before it.
    trailers: Option<Box<Trailers>>,
}

#[derive(Clone, Debug, Default)]
struct Trailers {
    line: Vec<u8>,
    count: usize,
    bytes: usize,
    fields: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size; so many digits have come.
    Size(u8),
    /// Behind a `;`, or in the name that follows it.
    ExtensionName { is_empty: bool },
    /// Behind a `=`, or in the token that follows it.
    ExtensionValue { is_empty: bool },
    /// In a quoted string.
    Quoted,
    /// Behind a backslash in it.
    QuotedPair,
    /// Behind a quoted string.
    ExtensionEnd,
    /// The LF of a size line is due.
    SizeLf,
    /// In the bytes of a chunk.
    Data,
    /// The CR behind them is due.
    DataCr,
    /// Then the LF.
    DataLf,
    /// In the trailer section.
    Trailer,
    /// Behind the body.
    End,
}

/// Outcome of a look at some input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are used up.
    pub consumed: usize,
    /// Those of them that are body.
    pub data: Range<usize>,
    /// `true` when the body ended with them.
    pub end: bool,
}

impl Chunks {
    /// A body that begins. Its trailer section may have so many bytes and fields.
    pub fn new(max_trailer_bytes: usize, max_trailer_fields: usize) -> Self {
        Self {
            state: State::Size(0),
            left: 0,
            extension: 0,
            extensions: 0,
            max_trailer_bytes,
            max_trailer_fields,
            trailers: None,
        }
    }

    /// Looks at `input`, which follows what was used up before. A step gives the bytes of one chunk at most; unless the
    /// body has ended, it uses up at least one byte of an input that is not empty.
    ///
    /// # Errors
    ///
    /// The input is no chunked body. Nothing of the connection can be relied upon from there on.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, ChunkFault> {
        let mut at = 0;
        let mut data = 0..0;

        while at < input.len() {
            match self.state {
                State::End => break,
                State::Data if data.is_empty() => {
                    let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                    data = at..at + take;
                    at += take;
                    self.left -= take as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                }
                // The bytes of the next chunk are another step's.
                State::Data => break,
                State::Trailer => at += self.trailer(&input[at..])?,
                _ => {
                    self.state = self.next(input[at])?;
                    at += 1;
                }
            }
        }
        Ok(Step { consumed: at, data, end: self.state == State::End })
    }

    /// The state behind one more byte of framing.
    fn next(&mut self, byte: u8) -> Result<State, ChunkFault> {
        match (self.state, byte) {
            (State::Size(digits), _) if byte.is_ascii_hexdigit() => {
                if digits == MAX_DIGITS {
                    return Err(ChunkFault::Size);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(digit);
                Ok(State::Size(digits + 1))
            }
            (State::Size(0), _) => Err(ChunkFault::Size),
            (State::SizeLf, b'\n') if self.left == 0 => {
                self.trailers = Some(Box::default());
                Ok(State::Trailer)
            }
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.left = 0;
                self.extension = 0;
                Ok(State::Size(0))
            }
            (State::SizeLf | State::DataCr | State::DataLf, _) => Err(ChunkFault::LineEnd),
            _ => self.extension(byte),
        }
    }

    /// `;token[=token|quoted]`, as often as it comes. White space is refused, in quotes too.
    fn extension(&mut self, byte: u8) -> Result<State, ChunkFault> {
        let next = match (self.state, byte) {
            (State::QuotedPair, 0x21..=0x7e | 0x80..) => Ok(State::Quoted),
            (State::Quoted, b'"') => Ok(State::ExtensionEnd),
            (State::Quoted, b'\\') => Ok(State::QuotedPair),
            (State::Quoted, 0x21..=0x7e | 0x80..) => Ok(State::Quoted),
            (State::QuotedPair | State::Quoted, _) => Err(ChunkFault::Extension),

            (State::ExtensionName { .. }, _) if is_token_byte(byte) => Ok(State::ExtensionName { is_empty: false }),
            (State::ExtensionValue { .. }, _) if is_token_byte(byte) => Ok(State::ExtensionValue { is_empty: false }),
            (State::ExtensionName { is_empty: false }, b'=') => Ok(State::ExtensionValue { is_empty: true }),
            (State::ExtensionValue { is_empty: true }, b'"') => Ok(State::Quoted),
            (State::ExtensionName { is_empty: true } | State::ExtensionValue { is_empty: true }, _) => {
                Err(ChunkFault::Extension)
            }

            // Behind the digits, or a complete extension.
            (_, b';') => Ok(State::ExtensionName { is_empty: true }),
            (_, b'\r') => return Ok(State::SizeLf),
            (State::Size(_), b'\n') => Err(ChunkFault::LineEnd),
            (State::Size(_), _) => Err(ChunkFault::Size),
            _ => Err(ChunkFault::Extension),
        }?;

        self.extension += 1;
        self.extensions += 1;
        if self.extension > MAX_EXTENSION || self.extensions > MAX_EXTENSIONS {
            return Err(ChunkFault::ExtensionsTooLong);
        }
        Ok(next)
    }

    /// Takes the rest of a trailer line from `input`, or as much of it as there is; how many bytes that were.
    fn trailer(&mut self, input: &[u8]) -> Result<usize, ChunkFault> {
        let newline = memchr::memchr(b'\n', input);
        let taken = newline.map_or(input.len(), |newline| newline + 1);
        let trailers = self.trailers.get_or_insert_default();
        trailers.bytes += taken;
        if trailers.bytes > self.max_trailer_bytes.saturating_add(2) {
            return Err(ChunkFault::Trailer(HeadFault::TooManyBytes));
        }
        trailers.line.extend_from_slice(&input[..taken]);
        if newline.is_none() {
            return Ok(taken);
        }

        let line = std::mem::take(&mut trailers.line);
        match line.strip_suffix(b"\r\n") {
            None => return Err(ChunkFault::Trailer(HeadFault::BareLf)),
            Some(b"") => self.state = State::End,
            Some(line) => {
                trailers.count += 1;
                if trailers.count > self.max_trailer_fields {
                    return Err(ChunkFault::Trailer(HeadFault::TooManyFields));
                }
                trailers.push(line).map_err(ChunkFault::Trailer)?;
            }
        }
        Ok(taken)
    }

    /// `true` once the body has ended.
    pub fn is_finished(&self) -> bool {
        self.state == State::End
    }

    /// The trailers, once the body has ended; those that would frame or route the message are left out.
    pub fn trailers(&self) -> &[(HeaderName, HeaderValue)] {
        match &self.trailers {
            Some(trailers) if self.is_finished() => &trailers.fields,
            _ => &[],
        }
    }
}

impl Trailers {
    fn push(&mut self, line: &[u8]) -> Result<(), HeadFault> {
        let field = field(line, Span::new(0, line.len()))?;
        if !field.known.is_none_or(Known::may_trail) {
            return Ok(());
        }
        let name = HeaderName::from_bytes(field.name.of(line)).map_err(|_| HeadFault::FieldName)?;
        let value = HeaderValue::from_bytes(field.value.of(line)).map_err(|_| HeadFault::FieldValue)?;
        self.fields.push((name, value));
        Ok(())
    }
}
