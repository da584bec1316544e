//! Writers of chunked bodies.

use bytes::BufMut;
use http::header::{HeaderName, HeaderValue};

/// Behind the bytes of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

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

fn write_field(name: &[u8], value: &[u8], out: &mut impl BufMut) {
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}
