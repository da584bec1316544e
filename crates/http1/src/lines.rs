//! The lines of a head, one after another, in bytes that may come in pieces.

use crate::fault::HeadFault;
use crate::known::Known;
use crate::syntax::{has_control, is_white, token_length};
use crate::table::{Field, Span};

/// Bounds of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes from the first one of the start line to the end of the blank line.
    pub max_bytes: usize,
    /// Field lines.
    pub max_fields: usize,
}

/// A head, or that there is none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<H> {
    /// The whole head.
    Complete(H),
    /// More bytes are needed.
    Incomplete,
}

/// How far a growing buffer has been looked at, so that a head that trickles in costs no more than one that comes whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Start of the first line that is not complete.
    line: usize,
    /// Bytes looked at for its end.
    looked: usize,
    /// Start of the start line: behind an empty line, if there is one.
    origin: usize,
    /// Lines completed from the start line on.
    lines: usize,
}

impl Progress {
    /// Whether lines were completed in an earlier call.
    pub(crate) fn is_resumed(&self) -> bool {
        self.lines > 0
    }
}

/// A complete line, without its end.
pub(crate) enum Line {
    /// The start line.
    Start(Span),
    /// A field line.
    Field(Span),
}

/// Shows every line that is complete to `visit`; returns where the head ends, or `None` when it has not yet. Each empty line
/// before the start line goes by `skip`, which is told how many bytes of them came before it.
pub(crate) fn walk<F: From<HeadFault>>(
    bytes: &[u8],
    progress: &mut Progress,
    limits: &Limits,
    skip: impl Fn(usize) -> Result<(), F>,
    mut visit: impl FnMut(Line) -> Result<(), F>,
) -> Result<Option<usize>, F> {
    // Offsets have 32 bits.
    let max_bytes = limits.max_bytes.min(u32::MAX as usize - 4);

    while let Some(newline) = memchr::memchr(b'\n', &bytes[progress.looked..]) {
        let newline = progress.looked + newline;
        let after = newline + 1;
        if after - progress.origin > max_bytes {
            return Err(HeadFault::TooManyBytes.into());
        }
        if newline == progress.line || bytes[newline - 1] != b'\r' {
            return Err(HeadFault::BareLf.into());
        }

        let line = Span::new(progress.line, newline - 1);
        progress.line = after;
        progress.looked = after;
        match (line.start == line.end, progress.lines) {
            (true, 0) => {
                skip(progress.origin)?;
                progress.origin = after;
                continue;
            }
            (true, _) => return Ok(Some(after)),
            (false, 0) => visit(Line::Start(line))?,
            (false, fields) if fields > limits.max_fields => return Err(HeadFault::TooManyFields.into()),
            (false, _) => visit(Line::Field(line))?,
        }
        progress.lines += 1;
    }

    progress.looked = bytes.len();
    if bytes.len() - progress.origin > max_bytes {
        return Err(HeadFault::TooManyBytes.into());
    }
    Ok(None)
}

/// The field on a line (RFC 9112 section 5). `bytes` is what the span points into.
pub(crate) fn field(bytes: &[u8], line: Span) -> Result<Field, HeadFault> {
    let text = line.of(bytes);
    if is_white(text[0]) {
        return Err(HeadFault::ObsoleteFold);
    }

    let name = token_length(text);
    match text.get(name) {
        Some(b':') if name > 0 => {}
        Some(&byte) if name > 0 && is_white(byte) && text[name..].trim_ascii_start().starts_with(b":") => {
            return Err(HeadFault::SpaceBeforeColon);
        }
        _ => return Err(HeadFault::FieldName),
    }

    let (mut start, mut end) = (name + 1, text.len());
    while start < end && is_white(text[start]) {
        start += 1;
    }
    while end > start && is_white(text[end - 1]) {
        end -= 1;
    }
    if has_control(&text[start..end]) {
        return Err(HeadFault::FieldValue);
    }

    let base = line.start as usize;
    Ok(Field {
        name: Span::new(base, base + name),
        value: Span::new(base + start, base + end),
        known: Known::of(&text[..name]),
    })
}
