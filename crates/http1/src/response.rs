//! Response heads (RFC 9112 sections 4, 5 and 6).

use crate::connection::ConnectionOptions;
use crate::fault::ResponseFault;
use crate::framing::{self, Framing};
use crate::lines::{Limits, Line, Parsed, Progress, field, walk};
use crate::syntax::has_control;
use crate::table::{FieldTable, Span};
use http::Version;

/// What was asked, as far as it decides how the response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// HEAD: no body, whatever the fields say.
    Head,
    /// A request to switch protocols: a 101 may come.
    Upgrade,
    /// Any other.
    Other,
}

/// The head of a response, an interim one included. Its methods want the bytes that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    status: u16,
    version: Version,
    reason: Span,
    fields: FieldTable,
    framing: Framing,
    declared: Option<u64>,
    connection: ConnectionOptions,
    length: u32,
}

impl ResponseHead {
    /// Bytes from the start of the buffer to the end of the head; there the body begins.
    #[expect(clippy::len_without_is_empty, reason = "no head is empty")]
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// The status, 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether another head follows: 1xx but 101.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// HTTP/1.0 or HTTP/1.1.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The reason phrase; may be empty.
    pub fn reason<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        self.reason.of(bytes)
    }

    /// The fields.
    pub fn fields(&self) -> &FieldTable {
        &self.fields
    }

    /// How the body ends (RFC 9112 section 6.3). `None` for HEAD, 1xx, 204 and 304; behind a 101 another protocol follows.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The Content-Length, also where there is no body: that of a response to HEAD and of a 304.
    pub fn declared_length(&self) -> Option<u64> {
        self.declared
    }

    /// Options of its Connection fields.
    pub fn connection(&self) -> ConnectionOptions {
        self.connection
    }

    /// Whether the connection may be used again behind the body.
    pub fn persists(&self) -> bool {
        self.framing != Framing::UntilClose && self.connection.persists(self.version)
    }
}

/// Reads the head of a response to `request` at the start of `bytes`, as
/// [`read_request`](crate::read_request) does.
///
/// # Errors
///
/// What is wrong with the head; a fault of syntax is found as soon as its line is there.
pub fn read_response(
    bytes: &[u8],
    progress: &mut Progress,
    limits: &Limits,
    request: RequestKind,
) -> Result<Parsed<ResponseHead>, ResponseFault> {
    let mut head = ResponseHead::default();
    Ok(match head.read(bytes, progress, limits, request)? {
        Parsed::Complete(()) => Parsed::Complete(head),
        Parsed::Incomplete => Parsed::Incomplete,
    })
}

impl ResponseHead {
    /// As [`read_response`], into a blank head: it is large, so it is best made where it stays.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn read(
        &mut self,
        bytes: &[u8],
        progress: &mut Progress,
        limits: &Limits,
        request: RequestKind,
    ) -> Result<Parsed<()>, ResponseFault> {
        debug_assert!(self.fields.is_empty(), "the head is blank");
        let is_resumed = progress.is_resumed();
        let Some(end) = self.walk(bytes, progress, limits)? else { return Ok(Parsed::Incomplete) };
        if is_resumed {
            *self = Self::default();
            self.walk(bytes, &mut Progress::default(), limits)?;
        }
        self.complete(bytes, end, request)?;
        Ok(Parsed::Complete(()))
    }

    fn walk(&mut self, bytes: &[u8], progress: &mut Progress, limits: &Limits) -> Result<Option<usize>, ResponseFault> {
        let skip = |_| Err(ResponseFault::StatusLine);

        walk(bytes, progress, limits, skip, |line| {
            match line {
                Line::Start(line) => (self.status, self.reason, self.version) = status_line(bytes, line)?,
                Line::Field(line) => self.fields.push(field(bytes, line)?),
            }
            Ok(())
        })
    }

    fn complete(&mut self, bytes: &[u8], end: usize, request: RequestKind) -> Result<(), ResponseFault> {
        let status = self.status;
        if status == NO_STATUS {
            return Err(ResponseFault::StatusLine);
        }
        if status == 101 && request != RequestKind::Upgrade {
            return Err(ResponseFault::UnaskedSwitch);
        }

        let declared = framing::declared(&self.fields, bytes, self.version)?;
        let has_body = request != RequestKind::Head && status >= 200 && !matches!(status, 204 | 304);
        self.framing = match declared {
            _ if !has_body => Framing::None,
            Some(framing) => framing,
            None => Framing::UntilClose,
        };

        self.connection = ConnectionOptions::of(&self.fields, bytes);
        self.declared = match declared {
            Some(Framing::Length(length)) => Some(length),
            _ => None,
        };
        self.length = end as u32;
        Ok(())
    }
}

/// Status of a head whose status line has not been read.
const NO_STATUS: u16 = 0;

impl Default for ResponseHead {
    /// Blank.
    fn default() -> Self {
        Self {
            status: NO_STATUS,
            version: Version::HTTP_11,
            reason: Span::default(),
            fields: FieldTable::default(),
            framing: Framing::None,
            declared: None,
            connection: ConnectionOptions::default(),
            length: 0,
        }
    }
}

/// `HTTP/1.x SP status SP reason` (RFC 9112 section 4). Servers without a reason often leave out the space before it;
/// that has one reading only.
fn status_line(bytes: &[u8], line: Span) -> Result<(u16, Span, Version), ResponseFault> {
    let text = line.of(bytes);
    let (rest, version) = match text {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', rest @ ..] => (rest, Version::HTTP_11),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', rest @ ..] => (rest, Version::HTTP_10),
        _ => return Err(ResponseFault::StatusLine),
    };
    let (digits, reason) = match rest {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => ([a, b, c], &rest[3..]),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', reason @ ..] => ([a, b, c], reason),
        _ => return Err(ResponseFault::StatusLine),
    };
    if has_control(reason) {
        return Err(ResponseFault::StatusLine);
    }

    let status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0'));
    let end = line.end as usize;
    Ok((status, Span::new(end - reason.len(), end), version))
}
