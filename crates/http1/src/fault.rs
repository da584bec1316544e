//! Faults: why bytes are not a message, each with its answer and the kind it counts as.

/// The label under which a refusal is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Malformed syntax.
    Framing,
    /// More than one reading of a length.
    Smuggling,
    /// A head over its bounds.
    HeaderSize,
}

/// Faults of lines and fields, in requests and responses alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// A LF without a CR before it (RFC 9112 section 2.2).
    #[error("a line ends with LF alone")]
    BareLf,
    /// A line that continues the one before it (RFC 9112 section 5.2).
    #[error("a field line begins with white space")]
    ObsoleteFold,
    /// White space between a name and its colon (RFC 9112 section 5.1).
    #[error("a field name is followed by white space")]
    SpaceBeforeColon,
    /// A name that is not a token, or a line without a colon.
    #[error("a field name is not a token")]
    FieldName,
    /// A control other than tab in a value; a bare CR is one.
    #[error("a field value has a control character")]
    FieldValue,
    /// More bytes than [`Limits::max_bytes`](crate::Limits).
    #[error("the head is too large")]
    TooManyBytes,
    /// More fields than [`Limits::max_fields`](crate::Limits).
    #[error("the head has too many fields")]
    TooManyFields,
}

/// Faults of Content-Length and Transfer-Encoding, in requests and responses alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthFault {
    /// Both framings at once.
    #[error("Content-Length with Transfer-Encoding")]
    Both,
    /// Content-Length in two lines or as a list, even if equal.
    #[error("more than one Content-Length")]
    Repeated,
    /// A Content-Length other than `0` or `[1-9][0-9]{0,17}`.
    #[error("the Content-Length is not a decimal number in its shortest form")]
    NotANumber,
    /// A Transfer-Encoding other than one field that says `chunked`.
    #[error("the Transfer-Encoding is not exactly `chunked`")]
    Coding,
    /// Another coding below a final `chunked`.
    #[error("a transfer coding other than `chunked`")]
    UnknownCoding,
    /// A Transfer-Encoding in HTTP/1.0, which has none (RFC 9112 section 6.1).
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    CodingInHttp10,
}

/// Why bytes are not a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// Lines and fields.
    #[error(transparent)]
    Head(#[from] HeadFault),
    /// More than one empty line before the request line.
    #[error("more than one empty line before the request line")]
    EmptyLines,
    /// Not `METHOD SP target SP HTTP/1.x` with x 0 or 1.
    #[error("the request line is not `METHOD target HTTP/1.1`")]
    RequestLine,
    /// A space, a control, DEL or `#` in the target.
    #[error("the request target has a character that none may have")]
    Target,
    /// Content-Length and Transfer-Encoding.
    #[error(transparent)]
    Length(#[from] LengthFault),
    /// A name that is Content-Length, Transfer-Encoding, Host or Connection once `_` is read as `-`.
    #[error("a field name spells a framing field with `_`")]
    UnderscoreTwin,
}

impl RequestFault {
    /// The status to answer with.
    pub fn status(self) -> http::StatusCode {
        match self {
            Self::Head(HeadFault::TooManyBytes | HeadFault::TooManyFields) => {
                http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Length(LengthFault::UnknownCoding) => http::StatusCode::NOT_IMPLEMENTED,
            _ => http::StatusCode::BAD_REQUEST,
        }
    }

    /// The kind it counts as.
    pub fn kind(self) -> FaultKind {
        match self {
            Self::Head(HeadFault::TooManyBytes | HeadFault::TooManyFields) => FaultKind::HeaderSize,
            Self::Head(_) | Self::EmptyLines | Self::RequestLine | Self::Target => FaultKind::Framing,
            Self::Length(_) | Self::UnderscoreTwin => FaultKind::Smuggling,
        }
    }
}

/// Why bytes are not a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFault {
    /// Lines and fields.
    #[error(transparent)]
    Head(#[from] HeadFault),
    /// Not `HTTP/1.x SP status SP reason` with x 0 or 1 and a status from 100.
    #[error("the status line is not `HTTP/1.1 200 OK`")]
    StatusLine,
    /// Content-Length and Transfer-Encoding.
    #[error(transparent)]
    Length(#[from] LengthFault),
    /// A 101 that nobody asked for.
    #[error("a 101 without a request to switch")]
    UnaskedSwitch,
}

/// Why bytes are not a chunked body (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    /// Not 1 to 16 hex digits.
    #[error("a chunk size is not 1 to 16 hexadecimal digits")]
    Size,
    /// Not `;token[=token|quoted]`, or white space or a control in it.
    #[error("a chunk extension is malformed")]
    Extension,
    /// A size line over its bound, or more extensions than a body may have.
    #[error("the chunk extensions are too long")]
    ExtensionsTooLong,
    /// A line end or the end of a chunk that is not CRLF.
    #[error("a chunk or its size does not end with CRLF")]
    LineEnd,
    /// A trailer line that is not a field.
    #[error("a trailer is not a field: {0}")]
    Trailer(HeadFault),
}
