//! `traceparent` (W3C Trace Context Level 2, section 3.2). An own parser, because every deviation restarts the trace:
//! a context that two implementations read differently is two traces.

use crate::hex;
use vestibule_plugin::{TraceContext, list};

/// Characters of a `traceparent` of version 00.
pub const LENGTH: usize = 55;

/// Flags that are known and go on; others go out as zero.
const KNOWN: u8 = TraceContext::SAMPLED | TraceContext::RANDOM;

/// A valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// 128 bits, never 0.
    pub trace_id: u128,
    /// The sender's span, never 0.
    pub parent_id: u64,
    /// `sampled` (bit 0) and `random` (bit 1), nothing else.
    pub flags: u8,
}

impl TraceParent {
    /// Reads the value of the only field line. `None`: restart the trace.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = list::trim(value);
        let (head, rest) = value.split_at_checked(LENGTH)?;
        let version = hex::parse(&head[..2])?;
        let continues = match version {
            0 => rest.is_empty(),
            0xff => false,
            // A later version may say more behind a dash. A comma means that two lines were joined on the way.
            _ => rest.first().is_none_or(|first| *first == b'-') && !rest.contains(&b','),
        };
        let dashes = [2, 35, 52].iter().all(|at| head[*at] == b'-');
        if !continues || !dashes {
            return None;
        }
        Some(Self {
            trace_id: hex::id::<32>(&head[3..35])?,
            parent_id: hex::span_id(&head[36..52])?,
            flags: u8::try_from(hex::parse(&head[53..])?).ok()? & KNOWN,
        })
    }

    /// The value to send, of version 00.
    pub fn write(&self) -> [u8; LENGTH] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex::write(&mut value[3..35], self.trace_id);
        hex::write(&mut value[36..52], u128::from(self.parent_id));
        hex::write(&mut value[53..], u128::from(self.flags & KNOWN));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(trace_id in 1u128.., parent_id in 1u64.., flags in 0u8..4) {
            let parent = TraceParent { trace_id, parent_id, flags };
            prop_assert_eq!(TraceParent::parse(&parent.write()), Some(parent));
        }

        #[test]
        fn a_valid_value_of_version_00_is_written_as_it_came(value in "00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]") {
            if let Some(parent) = TraceParent::parse(value.as_bytes()) {
                prop_assert_eq!(&parent.write()[..], value.as_bytes());
            }
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceParent::parse(&value);
        }

        #[test]
        fn one_changed_character_is_another_context_or_none(at in 0usize..LENGTH, byte in any::<u8>()) {
            let value = *b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            let mut changed = value;
            changed[at] = byte;
            if let Some(parent) = TraceParent::parse(&changed) {
                prop_assert!(changed == value || !(2..53).contains(&at) || parent.write() == changed);
            }
        }
    }

    /// OBS-02: bits beyond the two known ones go out as zero.
    #[test]
    fn unknown_flags_go_out_as_zero() {
        for (sent, known) in [("03", 3), ("02", 2), ("ff", 3), ("fc", 0), ("01", 1), ("00", 0)] {
            let value = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{sent}");
            assert_eq!(TraceParent::parse(value.as_bytes()).map(|parent| parent.flags), Some(known), "{sent}");
        }
    }

    #[test]
    fn white_space_around_the_value_is_ignored() {
        let value = b" \t00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\t ";
        assert!(TraceParent::parse(value).is_some());
        assert!(TraceParent::parse(b"\n00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_none());
    }
}
