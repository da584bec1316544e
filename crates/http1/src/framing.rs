//! How long a body is, as its head says (RFC 9112 section 6).

use crate::fault::LengthFault;
use crate::known::Known;
use crate::syntax::{is_token, trim};
use crate::table::FieldTable;
use http::Version;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// It has so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What the fields declare; `None` when they say nothing.
pub(crate) fn declared(fields: &FieldTable, bytes: &[u8], version: Version) -> Result<Option<Framing>, LengthFault> {
    let (lengths, codings) = (fields.has(Known::ContentLength), fields.has(Known::TransferEncoding));

    match (lengths, codings) {
        (false, false) => Ok(None),
        (true, true) => Err(LengthFault::Both),
        (true, false) => length(fields, bytes).map(|length| Some(Framing::Length(length))),
        (false, true) => {
            check_coding(fields, bytes, version)?;
            Ok(Some(Framing::Chunked))
        }
    }
}

fn length(fields: &FieldTable, bytes: &[u8]) -> Result<u64, LengthFault> {
    let mut lines = fields.all(bytes, Known::ContentLength);
    let line = lines.next().unwrap_or_default();
    if lines.next().is_some() || line.contains(&b',') {
        return Err(LengthFault::Repeated);
    }

    // `0` or `[1-9][0-9]{0,17}`: every reader agrees on these, and they fit 64 bits.
    match line {
        b"0" => Ok(0),
        [b'1'..=b'9', rest @ ..] if rest.len() <= 17 && rest.iter().all(u8::is_ascii_digit) => {
            Ok(line.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
        }
        _ => Err(LengthFault::NotANumber),
    }
}

fn check_coding(fields: &FieldTable, bytes: &[u8], version: Version) -> Result<(), LengthFault> {
    if version == Version::HTTP_10 {
        return Err(LengthFault::CodingInHttp10);
    }
    let mut lines = fields.all(bytes, Known::TransferEncoding);
    let line = lines.next().unwrap_or_default();
    if lines.next().is_some() {
        return Err(LengthFault::Coding);
    }
    if is_chunked(line) {
        return Ok(());
    }

    // A well-formed list that only this reader cannot take is not implemented; all else is nonsense.
    let mut codings: Vec<&[u8]> = line.split(|byte| *byte == b',').map(trim).collect();
    let last = codings.pop().unwrap_or_default();
    let name = |coding: &&[u8]| trim(coding.split(|byte| *byte == b';').next().unwrap_or_default()).to_vec();
    let mut below = codings.iter().map(name);
    if is_chunked(last) && below.len() > 0 && below.all(|coding| is_token(&coding) && !is_chunked(&coding)) {
        return Err(LengthFault::UnknownCoding);
    }
    Err(LengthFault::Coding)
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}
