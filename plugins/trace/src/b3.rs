//! B3, as Zipkin and its relatives send it: one `b3` field or several `x-b3-*` ones.

use crate::hex;

/// What a caller said in B3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum B3 {
    /// A trace to continue.
    Context {
        /// 128 bits, never 0; the upper half of a 64-bit id is 0.
        trace_id: u128,
        /// The sender's span, never 0.
        span_id: u64,
        /// `None`: the decision is left to the receiver.
        sampled: Option<bool>,
    },
    /// A decision about a trace that begins here.
    Decision {
        /// Whether it is recorded.
        sampled: bool,
    },
}

impl B3 {
    /// Reads the value of the only `b3` line: `<trace>-<span>[-<state>[-<parent>]]` or a state alone.
    pub fn parse_single(value: &[u8]) -> Option<Self> {
        if let Some(sampled) = state(value) {
            return Some(Self::Decision { sampled });
        }
        let mut parts = value.split(|byte| *byte == b'-');
        let trace_id = trace_id(parts.next()?)?;
        let span_id = hex::span_id(parts.next()?)?;
        let sampled = parts.next().map(state);
        let parent = parts.next().map(hex::span_id);
        let whole = sampled != Some(None) && parent != Some(None) && parts.next().is_none();
        whole.then_some(Self::Context { trace_id, span_id, sampled: sampled.flatten() })
    }

    /// Reads the `x-b3-*` fields; each is its only line, or absent.
    pub fn parse_multi(fields: &Multi<'_>) -> Option<Self> {
        let debug = fields.flags == Some(b"1");
        let sampled = match fields.sampled.map(decision) {
            Some(None) => return None,
            said => {
                if debug {
                    Some(true)
                } else {
                    said.flatten()
                }
            }
        };
        match (fields.trace_id, fields.span_id) {
            (Some(trace), Some(span)) => {
                Some(Self::Context { trace_id: trace_id(trace)?, span_id: hex::span_id(span)?, sampled })
            }
            (None, None) => sampled.map(|sampled| Self::Decision { sampled }),
            _ => None,
        }
    }
}

/// Values of the `x-b3-*` fields that are read. `x-b3-parentspanid` is the sender's own business.
#[derive(Clone, Copy, Debug, Default)]
pub struct Multi<'a> {
    /// `x-b3-traceid`
    pub trace_id: Option<&'a [u8]>,
    /// `x-b3-spanid`
    pub span_id: Option<&'a [u8]>,
    /// `x-b3-sampled`
    pub sampled: Option<&'a [u8]>,
    /// `x-b3-flags`
    pub flags: Option<&'a [u8]>,
}

/// Value of `b3` for a span.
pub fn write_single(trace_id: u128, span_id: u64, sampled: bool) -> [u8; 51] {
    let mut value = *b"00000000000000000000000000000000-0000000000000000-0";
    hex::write(&mut value[..32], trace_id);
    hex::write(&mut value[33..49], u128::from(span_id));
    hex::write(&mut value[50..], u128::from(sampled));
    value
}

fn trace_id(digits: &[u8]) -> Option<u128> {
    hex::id::<32>(digits).or_else(|| hex::id::<16>(digits))
}

/// A sampling state of the single field; `d` is debug.
fn state(value: &[u8]) -> Option<bool> {
    match value {
        b"0" => Some(false),
        b"1" | b"d" => Some(true),
        _ => None,
    }
}

/// A value of `x-b3-sampled`; old senders write words.
fn decision(value: &[u8]) -> Option<bool> {
    match value {
        b"0" | b"false" => Some(false),
        b"1" | b"true" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    fn single(value: &str) -> Option<B3> {
        B3::parse_single(value.as_bytes())
    }

    #[test]
    fn every_form_of_the_single_field_is_read() {
        let context = |sampled| {
            Some(B3::Context {
                trace_id: 0x80f1_98ee_5634_3ba8_64fe_8b2a_57d3_eff7,
                span_id: 0xe457_b5a2_e4d8_6bd1,
                sampled,
            })
        };
        assert_eq!(single(&format!("{TRACE}-{SPAN}")), context(None));
        assert_eq!(single(&format!("{TRACE}-{SPAN}-1")), context(Some(true)));
        assert_eq!(single(&format!("{TRACE}-{SPAN}-d")), context(Some(true)));
        assert_eq!(single(&format!("{TRACE}-{SPAN}-0-05e3ac9a4f6e3b90")), context(Some(false)));
        assert_eq!(single("0"), Some(B3::Decision { sampled: false }));
        assert_eq!(single("d"), Some(B3::Decision { sampled: true }));
    }

    #[test]
    fn a_short_trace_id_is_padded_on_the_left() {
        let Some(B3::Context { trace_id, .. }) = single(&format!("{SPAN}-{SPAN}-1")) else { panic!("no context") };
        assert_eq!(trace_id, 0xe457_b5a2_e4d8_6bd1);
    }

    #[test]
    fn malformed_single_fields_hold_nothing() {
        let zeros = "0".repeat(32);
        for value in [
            "",
            "2",
            "-",
            "1-",
            TRACE,
            &format!("{TRACE}-"),
            &format!("{TRACE}-{SPAN}-"),
            &format!("{TRACE}-{SPAN}-2"),
            &format!("{TRACE}-{SPAN}-1-"),
            &format!("{TRACE}-{SPAN}-1-xyz"),
            &format!("{TRACE}-{SPAN}-1-{SPAN}-1"),
            &format!("{zeros}-{SPAN}-1"),
            &format!("{TRACE}-{}-1", &zeros[..16]),
            &format!("{}-{SPAN}", &TRACE[1..]),
            &format!("{}-{SPAN}-1", TRACE.to_uppercase()),
            &format!("{TRACE}-{TRACE}-1"),
        ] {
            assert_eq!(single(value), None, "{value}");
        }
    }

    #[test]
    fn the_several_fields_say_the_same() {
        let ids = Multi { trace_id: Some(TRACE.as_bytes()), span_id: Some(SPAN.as_bytes()), ..Multi::default() };
        let sampled = |fields: Multi<'_>| match B3::parse_multi(&fields)? {
            B3::Context { sampled, .. } => Some(sampled),
            B3::Decision { .. } => None,
        };
        assert_eq!(sampled(ids), Some(None));
        assert_eq!(sampled(Multi { sampled: Some(b"1"), ..ids }), Some(Some(true)));
        assert_eq!(sampled(Multi { sampled: Some(b"false"), ..ids }), Some(Some(false)));
        assert_eq!(sampled(Multi { flags: Some(b"1"), ..ids }), Some(Some(true)));
        assert_eq!(sampled(Multi { flags: Some(b"0"), ..ids }), Some(None));
        assert_eq!(sampled(Multi { sampled: Some(b"maybe"), ..ids }), None);
        assert_eq!(sampled(Multi { span_id: None, ..ids }), None);
        let decision = B3::parse_multi(&Multi { sampled: Some(b"0"), ..Multi::default() });
        assert_eq!(decision, Some(B3::Decision { sampled: false }));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(trace_id in 1u128.., span_id in 1u64.., sampled: bool) {
            let written = write_single(trace_id, span_id, sampled);
            prop_assert_eq!(B3::parse_single(&written), Some(B3::Context { trace_id, span_id, sampled: Some(sampled) }));
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = B3::parse_single(&value);
            let _ = B3::parse_multi(&Multi { trace_id: Some(&value), span_id: Some(&value), ..Multi::default() });
        }
    }
}
