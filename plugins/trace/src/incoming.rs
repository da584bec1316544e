//! What a caller said about the trace its request belongs to.

use crate::b3::{B3, Multi};
use crate::config::Format;
use crate::names;
use crate::traceparent::TraceParent;
use http::HeaderName;
use vestibule_plugin::{Fields, Repeated, TraceContext, list};

/// The caller's context, in whichever format it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// Nothing that is read here.
    Nothing,
    /// Something, but in no format a valid context.
    Invalid,
    /// A trace to continue.
    Context {
        trace_id: u128,
        decision: Decision,
        /// Whether it came as `traceparent`, so that `tracestate` belongs to it.
        w3c: bool,
    },
    /// A new trace whose sampling is decided.
    Decided { sampled: bool },
}

/// What a context says about sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// These flags go on.
    Flags(u8),
    /// The proxy decides.
    Open,
}

impl Incoming {
    /// The first format in the order of the list that holds a valid context.
    pub(crate) fn read(formats: &[Format], fields: &Fields) -> Self {
        let mut sent = false;
        for format in formats {
            match read_one(*format, fields) {
                Self::Nothing => {}
                Self::Invalid => sent = true,
                found => return found,
            }
        }
        if sent { Self::Invalid } else { Self::Nothing }
    }
}

/// Whether any field that carries trace context is there, in whatever format.
pub(crate) fn anything(fields: &Fields) -> bool {
    names::ALL.iter().any(|name| fields.has(name))
}

fn read_one(format: Format, fields: &Fields) -> Incoming {
    let found = match format {
        Format::TraceContext => only(fields, &names::TRACEPARENT).map(|value| value.and_then(traceparent)),
        Format::B3 => only(fields, &names::B3).map(|value| value.and_then(B3::parse_single).map(Incoming::from)),
        Format::B3Multi => multi(fields).map(|fields| fields.and_then(|f| B3::parse_multi(&f)).map(Incoming::from)),
        Format::Baggage => None,
    };
    match found {
        None => Incoming::Nothing,
        Some(context) => context.unwrap_or(Incoming::Invalid),
    }
}

fn traceparent(value: &[u8]) -> Option<Incoming> {
    let TraceParent { trace_id, flags, .. } = TraceParent::parse(value)?;
    Some(Incoming::Context { trace_id, decision: Decision::Flags(flags), w3c: true })
}

impl From<B3> for Incoming {
    /// B3 knows no random bit, so it goes out as 0.
    fn from(b3: B3) -> Self {
        match b3 {
            B3::Context { trace_id, sampled, .. } => {
                let decision = sampled.map_or(Decision::Open, |sampled| Decision::Flags(sampled_flag(sampled)));
                Self::Context { trace_id, decision, w3c: false }
            }
            B3::Decision { sampled } => Self::Decided { sampled },
        }
    }
}

pub(crate) fn sampled_flag(sampled: bool) -> u8 {
    if sampled { TraceContext::SAMPLED } else { 0 }
}

/// The only line of a field: `None` when there is none, `Some(None)` when there are several.
fn only<'a>(fields: &'a Fields, name: &HeaderName) -> Option<Option<&'a [u8]>> {
    match fields.only(name) {
        Ok(line) => line.map(|line| Some(list::trim(line))),
        Err(Repeated) => Some(None),
    }
}

/// The `x-b3-*` fields: `None` when there are none of those read, `Some(None)` when one has several lines.
fn multi(fields: &Fields) -> Option<Option<Multi<'_>>> {
    let [trace_id, span_id, sampled, flags] =
        [&names::B3_TRACE_ID, &names::B3_SPAN_ID, &names::B3_SAMPLED, &names::B3_FLAGS].map(|name| only(fields, name));
    let lines = [trace_id, span_id, sampled, flags];
    if lines.iter().all(Option::is_none) {
        return None;
    }
    let repeated = lines.contains(&Some(None));
    Some((!repeated).then(|| Multi {
        trace_id: trace_id.flatten(),
        span_id: span_id.flatten(),
        sampled: sampled.flatten(),
        flags: flags.flatten(),
    }))
}
