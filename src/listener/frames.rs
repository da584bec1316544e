//! Follows HTTP/2 frames as they pass (RFC 9113 section 4.1), to know when a head is under way and which streams are. Pure.

/// `PRI * HTTP/2.0 …` (RFC 9113 section 3.4).
const PREFACE: usize = 24;
const HEADER: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// A frame that has passed whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    kind: u8,
    flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
}

impl Frame {
    /// `true` when it begins a stream, or a trailer section.
    pub fn is_head(self) -> bool {
        self.kind == HEADERS
    }

    /// `true` when its sender resets the stream.
    pub fn is_reset(self) -> bool {
        self.kind == RST_STREAM
    }

    /// `true` when its sender has nothing more to say on the stream.
    pub fn is_last(self) -> bool {
        self.is_reset() || matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Where the scan stands, between two reads.
#[derive(Clone, Copy, Debug)]
pub struct FrameScan {
    preface_left: usize,
    header: [u8; HEADER],
    header_read: usize,
    payload_left: usize,
    /// A header block has begun and waits for its continuation.
    block_open: bool,
    /// Frames and header blocks completed.
    completed: u64,
}

impl Default for FrameScan {
    fn default() -> Self {
        Self {
            preface_left: PREFACE,
            header: [0; HEADER],
            header_read: 0,
            payload_left: 0,
            block_open: false,
            completed: 0,
        }
    }
}

impl FrameScan {
    /// Of what a server sends: it has no preface.
    pub fn of_server() -> Self {
        Self { preface_left: 0, ..Self::default() }
    }

    /// Takes the next bytes; `seen` is shown each frame that ends in them.
    pub fn advance(&mut self, mut read: &[u8], mut seen: impl FnMut(Frame)) {
        let preface = read.len().min(self.preface_left);
        self.preface_left -= preface;
        read = &read[preface..];
        while !read.is_empty() {
            if self.header_read < HEADER {
                let more = read.len().min(HEADER - self.header_read);
                self.header[self.header_read..self.header_read + more].copy_from_slice(&read[..more]);
                self.header_read += more;
                read = &read[more..];
                if self.header_read < HEADER {
                    return;
                }
                let [a, b, c, ..] = self.header;
                self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                if matches!(self.kind(), HEADERS | CONTINUATION) {
                    self.block_open = self.header[4] & END_HEADERS == 0;
                }
            }
            let payload = read.len().min(self.payload_left);
            self.payload_left -= payload;
            read = &read[payload..];
            if self.payload_left == 0 {
                seen(self.frame());
                self.header_read = 0;
                self.completed += u64::from(!self.block_open);
            }
        }
    }

    fn frame(&self) -> Frame {
        let [_, _, _, kind, flags, stream @ ..] = self.header;
        // The highest bit is reserved.
        Frame { kind, flags, stream: u32::from_be_bytes(stream) & (u32::MAX >> 1) }
    }

    fn kind(&self) -> u8 {
        self.header[3]
    }

    /// What is under way, if it must not take long: everything but the payload of DATA. Two calls give the same number
    /// as long as it is the same.
    pub fn under_way(&self) -> Option<u64> {
        let in_frame = match self.header_read {
            0 => false,
            HEADER => self.kind() != DATA,
            _ => true,
        };
        (in_frame || self.block_open).then_some(self.completed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).expect("a small frame").to_be_bytes();
        let mut bytes = vec![size[1], size[2], size[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER + length, 7);
        bytes
    }

    fn after(bytes: &[u8]) -> Option<u64> {
        let mut scan = FrameScan::default();
        scan.advance(&[b'x'; PREFACE], |_| ());
        scan.advance(bytes, |_| ());
        scan.under_way()
    }

    #[test]
    fn a_head_is_under_way_from_its_first_byte_to_the_end_of_its_block() {
        assert_eq!(after(b""), None);
        assert_eq!(after(&[0]), Some(0));
        assert_eq!(after(&frame(HEADERS, END_HEADERS, 5)), None);
        assert_eq!(after(&frame(HEADERS, END_HEADERS, 5)[..13]), Some(0));
        assert_eq!(after(&frame(HEADERS, 0, 5)), Some(0));
        assert_eq!(after(&[frame(HEADERS, 0, 5), frame(CONTINUATION, 0, 1)].concat()), Some(0), "still the same head");
        assert_eq!(after(&[frame(HEADERS, 0, 5), frame(CONTINUATION, END_HEADERS, 1)].concat()), None);
        let two = [frame(HEADERS, END_HEADERS, 5), frame(HEADERS, 0, 5)].concat();
        assert_eq!(after(&two), Some(1), "another head");
    }

    #[test]
    fn a_body_may_take_its_time() {
        assert_eq!(after(&frame(DATA, 0, 100)[..50]), None);
        assert_eq!(after(&frame(DATA, 0, 0)), None);
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_into_reads_changes_nothing(
            frames in prop::collection::vec((0_u8..10, 0_u8..8, 0_usize..40), 0..12),
            cuts in prop::collection::vec(1_usize..30, 1..40),
        ) {
            let bytes: Vec<u8> = frames.into_iter().flat_map(|(kind, flags, length)| frame(kind, flags, length)).collect();
            let mut scan = FrameScan::default();
            scan.advance(&[b'x'; PREFACE], |_| ());
            let (mut rest, mut cuts) = (&bytes[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                scan.advance(piece, |_| ());
                rest = left;
            }
            prop_assert_eq!(scan.under_way(), after(&bytes));
        }
    }
}
