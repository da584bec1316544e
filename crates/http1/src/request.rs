//! Request heads (RFC 9112 sections 3, 5 and 6).

use crate::connection::ConnectionOptions;
use crate::fault::RequestFault;
use crate::framing::{self, Framing};
use crate::known::Known;
use crate::lines::{Limits, Line, Parsed, Progress, field, walk};
use crate::syntax::{has_bad_target_byte, is_token_byte, token_length};
use crate::table::{Field, FieldTable, Span};
use http::Version;

/// Names that must not be spelt with `_`, since some applications read them the same.
const TWINS: [&str; 4] = ["content-length", "transfer-encoding", "host", "connection"];

/// The head of a request. Its methods want the bytes that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    method: Span,
    target: Span,
    version: Version,
    fields: FieldTable,
    /// A name spells a framing field with `_`.
    has_twin: bool,
    framing: Framing,
    connection: ConnectionOptions,
    expects_continue: bool,
    length: u32,
}

impl RequestHead {
    /// Bytes from the start of the buffer to the end of the head; there the body begins.
    #[expect(clippy::len_without_is_empty, reason = "no head is empty")]
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// The method, a token.
    pub fn method<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        self.method.of(bytes)
    }

    /// The target as sent.
    pub fn target<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        self.target.of(bytes)
    }

    /// HTTP/1.0 or HTTP/1.1.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields.
    pub fn fields(&self) -> &FieldTable {
        &self.fields
    }

    /// How the body ends.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Options of its Connection fields.
    pub fn connection(&self) -> ConnectionOptions {
        self.connection
    }

    /// Whether the client waits for a 100 before it sends its body; one of HTTP/1.0 cannot (RFC 9110 section 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }
}

/// Reads the head of a request at the start of `bytes`, which may go on behind it. Called again with the same `progress`
/// once the buffer has grown.
///
/// # Errors
///
/// What is wrong with the head: the first fault of syntax by its place, else the first of meaning by the order of
/// [`RequestFault`]. A fault of syntax is found as soon as its line is there.
pub fn read_request(
    bytes: &[u8],
    progress: &mut Progress,
    limits: &Limits,
) -> Result<Parsed<RequestHead>, RequestFault> {
    let mut head = RequestHead::default();
    Ok(match head.read(bytes, progress, limits)? {
        Parsed::Complete(()) => Parsed::Complete(head),
        Parsed::Incomplete => Parsed::Incomplete,
    })
}

impl RequestHead {
    /// As [`read_request`], into a blank head: it is large, so it is best made where it stays.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn read(&mut self, bytes: &[u8], progress: &mut Progress, limits: &Limits) -> Result<Parsed<()>, RequestFault> {
        debug_assert!(self.fields.is_empty(), "the head is blank");
        if let [first, ..] = bytes.strip_prefix(b"\r\n").unwrap_or(bytes)
            && !matches!(first, b'\r' | b'\n')
            && !is_token_byte(*first)
        {
            // Another protocol, such as TLS, may never send a line end.
            return Err(RequestFault::RequestLine);
        }

        let is_resumed = progress.is_resumed();
        let Some(mut end) = self.walk(bytes, progress, limits)? else { return Ok(Parsed::Incomplete) };
        if is_resumed {
            // The lines of earlier calls are not kept: they are read once more, now that all is there.
            *self = Self::default();
            end = self.walk(bytes, &mut Progress::default(), limits)?.unwrap_or(end);
        }
        self.complete(bytes, end)?;
        Ok(Parsed::Complete(()))
    }

    fn walk(&mut self, bytes: &[u8], progress: &mut Progress, limits: &Limits) -> Result<Option<usize>, RequestFault> {
        // One empty line may come before a request line: old clients send one behind a body (RFC 9112 section 2.2).
        let skip = |before| if before == 0 { Ok(()) } else { Err(RequestFault::EmptyLines) };

        walk(bytes, progress, limits, skip, |line| {
            match line {
                Line::Start(line) => (self.method, self.target, self.version) = request_line(bytes, line)?,
                Line::Field(line) => {
                    let field = field(bytes, line)?;
                    self.has_twin |= is_twin(&field, bytes);
                    self.fields.push(field);
                }
            }
            Ok(())
        })
    }

    /// Finds out what the fields mean together.
    fn complete(&mut self, bytes: &[u8], end: usize) -> Result<(), RequestFault> {
        // No method is empty.
        if self.method == Span::default() {
            return Err(RequestFault::RequestLine);
        }
        self.framing = framing::declared(&self.fields, bytes, self.version)?.unwrap_or(Framing::None);
        if self.has_twin {
            return Err(RequestFault::UnderscoreTwin);
        }

        self.connection = ConnectionOptions::of(&self.fields, bytes);
        self.expects_continue = self.version == Version::HTTP_11
            && self.fields.get(bytes, Known::Expect).is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        self.length = end as u32;
        Ok(())
    }
}

impl Default for RequestHead {
    /// Blank.
    fn default() -> Self {
        Self {
            method: Span::default(),
            target: Span::default(),
            version: Version::HTTP_11,
            fields: FieldTable::default(),
            has_twin: false,
            framing: Framing::None,
            connection: ConnectionOptions::default(),
            expects_continue: false,
            length: 0,
        }
    }
}

fn is_twin(field: &Field, bytes: &[u8]) -> bool {
    field.known.is_none() && is_framing_twin(field.name.of(bytes))
}

/// Finds a name that is Content-Length, Transfer-Encoding, Host or Connection once `_` is read as `-`, as some applications
/// read it. The names themselves are too.
pub fn is_framing_twin(name: &[u8]) -> bool {
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    TWINS.iter().any(|twin| twin.len() == name.len() && twin.bytes().eq(name.iter().map(|byte| dashed(*byte))))
}

/// `METHOD SP target SP HTTP/1.x` (RFC 9112 section 3).
fn request_line(bytes: &[u8], line: Span) -> Result<(Span, Span, Version), RequestFault> {
    let text = line.of(bytes);
    let (start, version) = match text {
        [start @ .., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'] => (start, Version::HTTP_11),
        [start @ .., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'] => (start, Version::HTTP_10),
        _ => return Err(RequestFault::RequestLine),
    };

    let method = token_length(start);
    if method == 0 || start.get(method) != Some(&b' ') || start.len() == method + 1 {
        return Err(RequestFault::RequestLine);
    }
    if has_bad_target_byte(&start[method + 1..]) {
        return Err(RequestFault::Target);
    }

    let base = line.start as usize;
    Ok((Span::new(base, base + method), Span::new(base + method + 1, base + start.len()), version))
}
