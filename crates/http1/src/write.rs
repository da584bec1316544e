//! Writers: heads in one pass, and chunks.

use crate::connection::ConnectionOptions;
use crate::edits::{Edited, Edits};
use crate::framing::Framing;
use crate::known::Known;
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::table::{Field, FieldTable};
use bytes::BufMut;
use http::header::{HeaderName, HeaderValue};

/// Behind the bytes of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes the request head to send: its method and `target`, HTTP/1.1, and its fields as they came but for `edits`.
/// What speaks to this hop only is left out unless an edit sets it. The body to come is framed by `framing`.
pub fn write_request(
    head: &RequestHead,
    bytes: &[u8],
    target: &[u8],
    edits: &Edits,
    framing: Framing,
    out: &mut impl BufMut,
) {
    out.put_slice(head.method(bytes));
    out.put_slice(b" ");
    out.put_slice(target);
    out.put_slice(b" HTTP/1.1\r\n");
    write_fields(Edited { fields: head.fields(), bytes, edits }, head.connection(), framing, out);
}

/// Writes the response head to send: `status`, with the reason that came if it is the status that came, HTTP/1.1, and its
/// fields, as [`write_request`] does.
pub fn write_response(
    head: &ResponseHead,
    bytes: &[u8],
    status: http::StatusCode,
    edits: &Edits,
    framing: Framing,
    out: &mut impl BufMut,
) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(match status.as_u16() == head.status() {
        true => head.reason(bytes),
        false => status.canonical_reason().unwrap_or_default().as_bytes(),
    });
    out.put_slice(b"\r\n");
    write_fields(Edited { fields: head.fields(), bytes, edits }, head.connection(), framing, out);
}

fn write_fields(edited: Edited<'_>, connection: ConnectionOptions, framing: Framing, out: &mut impl BufMut) {
    let Edited { fields, bytes, .. } = edited;
    let mut length_is_written = false;

    for (field, name, value) in edited.lines_with_fields() {
        match field {
            Some(field) if is_for_this_hop(field, fields, bytes, connection) => continue,
            // Whoever writes the message frames it.
            _ if name.eq_ignore_ascii_case(b"transfer-encoding") => continue,
            _ if name.eq_ignore_ascii_case(b"content-length") => {
                let is_right = matches!(framing, Framing::Length(length) if is_number(value, length));
                if !is_right || length_is_written {
                    continue;
                }
                length_is_written = true;
            }
            _ => {}
        }
        write_field(name, value, out);
    }

    match framing {
        Framing::Length(length) if !length_is_written => {
            out.put_slice(b"content-length: ");
            write_number(length, out);
            out.put_slice(b"\r\n");
        }
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Length(_) | Framing::None | Framing::UntilClose => {}
    }
    out.put_slice(b"\r\n");
}

/// Whether a field as it came goes no further: by its name, or since Connection names it.
fn is_for_this_hop(field: &Field, fields: &FieldTable, bytes: &[u8], connection: ConnectionOptions) -> bool {
    if field.known.is_some_and(Known::is_hop_by_hop) {
        return true;
    }
    connection.names_others
        // The body's own description is not the connection's to drop.
        && !matches!(field.known, Some(Known::ContentLength | Known::ContentType | Known::ContentEncoding))
        && fields.members(bytes, Known::Connection).any(|named| named.eq_ignore_ascii_case(field.name.of(bytes)))
}

fn write_field(name: &[u8], value: &[u8], out: &mut impl BufMut) {
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn is_number(text: &[u8], number: u64) -> bool {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) == Some(number)
}

fn write_number(mut number: u64, out: &mut impl BufMut) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.put_slice(&digits[at..]);
        }
    }
}

/// Writes the size line of a chunk of `length` bytes, which is not 0: that would be the last one.
pub fn write_chunk_head(length: usize, out: &mut impl BufMut) {
    debug_assert_ne!(length, 0, "an empty chunk ends the body");
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.put_u8(b"0123456789abcdef"[length >> (digit * 4) & 0xf]);
    }
    out.put_slice(b"\r\n");
}

/// Writes the end of a chunked body with its trailers.
pub fn write_last_chunk_with_trailers<'a>(
    trailers: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    out: &mut impl BufMut,
) {
    out.put_slice(b"0\r\n");
    for (name, value) in trailers {
        write_field(name.as_str().as_bytes(), value.as_bytes(), out);
    }
    out.put_slice(b"\r\n");
}
