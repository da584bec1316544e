//! HTTP/2 frames by hand (RFC 9113 section 4), for what a well-behaved library refuses to send.

use bytes::{BufMut, Bytes, BytesMut};

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types of RFC 9113 section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// DATA
    Data = 0,
    /// HEADERS
    Headers = 1,
    /// RST_STREAM
    RstStream = 3,
    /// SETTINGS
    Settings = 4,
    /// PING
    Ping = 6,
    /// GOAWAY
    GoAway = 7,
    /// WINDOW_UPDATE
    WindowUpdate = 8,
    /// CONTINUATION
    Continuation = 9,
}

/// Flag of DATA and HEADERS: the sender's last frame of the stream.
pub const END_STREAM: u8 = 0x1;
/// Flag of SETTINGS and PING: an acknowledgement.
pub const ACK: u8 = 0x1;
/// Flag of HEADERS and CONTINUATION: the field block is complete.
pub const END_HEADERS: u8 = 0x4;

/// One frame with any payload; `payload` must be shorter than 16 MiB.
pub fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(9 + payload.len());
    let length = u32::try_from(payload.len()).ok().filter(|length| *length < 1 << 24);
    out.put_uint(u64::from(length.expect("a payload shorter than 16 MiB")), 3);
    out.put_u8(kind as u8);
    out.put_u8(flags);
    out.put_u32(stream);
    out.put_slice(payload);
    out.freeze()
}

/// An empty SETTINGS frame.
pub fn settings() -> Bytes {
    frame(Kind::Settings, 0, 0, &[])
}

/// RST_STREAM with an error code, e.g. 8 for CANCEL.
pub fn rst_stream(stream: u32, code: u32) -> Bytes {
    frame(Kind::RstStream, 0, stream, &code.to_be_bytes())
}

/// GOAWAY with the last stream that was or will be processed, and an error code.
pub fn go_away(last_stream: u32, code: u32) -> Bytes {
    let mut payload = BytesMut::new();
    payload.put_u32(last_stream);
    payload.put_u32(code);
    frame(Kind::GoAway, 0, 0, &payload)
}

/// HEADERS with `fields`, pseudo-headers included, exactly as given; `flags` besides END_HEADERS.
pub fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Bytes {
    frame(Kind::Headers, flags | END_HEADERS, stream, &field_block(fields))
}

/// `fields` in HPACK as literals without indexing and without Huffman coding (RFC 7541 section 6.2.2).
pub fn field_block(fields: &[(&str, &str)]) -> Bytes {
    let mut out = BytesMut::new();
    for (name, value) in fields {
        out.put_u8(0);
        put_text(&mut out, name);
        put_text(&mut out, value);
    }
    out.freeze()
}

/// A length with a 7-bit prefix (RFC 7541 section 5.1) and the bytes.
fn put_text(out: &mut BytesMut, text: &str) {
    match text.len() {
        short @ 0..=126 => out.put_u8(short as u8),
        long => {
            out.put_u8(127);
            let mut rest = long - 127;
            while rest >= 128 {
                out.put_u8((rest % 128) as u8 | 0x80);
                rest /= 128;
            }
            out.put_u8(rest as u8);
        }
    }
    out.put_slice(text.as_bytes());
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type, which may be none of [`Kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// Its payload.
    pub payload: Bytes,
}

impl Frame {
    /// Whether it is of this type.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind as u8
    }

    /// Length of the payload, and the frame without it, from the 9 bytes of a frame header.
    pub(crate) fn announced(header: [u8; 9]) -> (usize, Self) {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = header;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        (length, Self { kind, flags, stream, payload: Bytes::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_nine_bytes_before_its_payload() {
        let bytes = go_away(5, 2);
        assert_eq!(&bytes[..], [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2]);
        let (length, frame) = Frame::announced(bytes[..9].try_into().expect("nine bytes"));
        assert!(frame.is(Kind::GoAway) && length == 8 && frame.stream == 0);
    }

    #[test]
    fn long_literals_have_long_lengths() {
        let value = "v".repeat(1337 + 127);
        let block = field_block(&[("n", &value)]);
        // 1337 is the example of RFC 7541 appendix C.1.2, there behind a prefix of 5 bits.
        assert_eq!(&block[..6], [0, 1, b'n', 127, 0b1011_1001, 0b0000_1010]);
        assert_eq!(block.len(), 6 + value.len());
    }
}
