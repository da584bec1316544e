//! Trace context: what goes on is well-formed, reads back as itself, and is no longer than what came.

use crate::parts;
use vestibule_trace::b3::{self, B3, Multi};
use vestibule_trace::traceparent::TraceParent;
use vestibule_trace::{baggage, tracestate};

/// Holds of `traceparent`, `tracestate`, `baggage` and both forms of B3.
pub fn traceparent(data: &[u8]) {
    let [parent, state, bag, single, multi] = parts(data);

    if let Some(context) = TraceParent::parse(parent) {
        assert!(context.trace_id != 0 && context.parent_id != 0 && context.flags < 4);
        assert_eq!(TraceParent::parse(&context.write()), Some(context));
    }

    joined(state, |lines| tracestate::join(lines), tracestate::MOST_MEMBERS);
    joined(bag, |lines| baggage::join(lines), baggage::MOST_MEMBERS);

    if let Some(B3::Context { trace_id, span_id, sampled }) = B3::parse_single(single) {
        assert!(trace_id != 0 && span_id != 0);
        let written = b3::write_single(trace_id, span_id, sampled == Some(true));
        let again = Some(B3::Context { trace_id, span_id, sampled: Some(sampled == Some(true)) });
        assert_eq!(B3::parse_single(&written), again);
    }

    let [trace_id, span_id, sampled, flags] = lines_of(multi);
    if let Some(B3::Context { trace_id, span_id, .. }) = B3::parse_multi(&Multi { trace_id, span_id, sampled, flags }) {
        assert!(trace_id != 0 && span_id != 0);
    }
}

/// A list that is joined joins to itself, within its bounds.
fn joined(text: &[u8], join: fn(Vec<&[u8]>) -> Option<Vec<u8>>, most: usize) {
    let Some(line) = join(text.split(|byte| *byte == b'\n').collect()) else { return };
    assert!(!line.is_empty() && line.len() <= text.len());
    assert!(line.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e)));
    assert!(line.split(|byte| *byte == b',').filter(|member| !member.trim_ascii().is_empty()).count() <= most);
    assert_eq!(join(vec![&line[..]]), Some(line));
}

fn lines_of(text: &[u8]) -> [Option<&[u8]>; 4] {
    let mut lines = text.split(|byte| *byte == b'\n');
    std::array::from_fn(|_| lines.next().filter(|line| !line.is_empty()))
}
