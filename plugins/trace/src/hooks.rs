//! One exchange: reads what the caller sent, writes what the upstream gets.
//!
//! Invariant: what the upstream sees of a listed format is written here; of a format that is not listed it sees what the
//! caller sent, or nothing when callers are not trusted.

use crate::config::Format;
use crate::incoming::{self, Decision, Incoming, sampled_flag};
use crate::metrics::{Contexts, Outcome};
use crate::sampling::Share;
use crate::traceparent::TraceParent;
use crate::{b3, baggage, hex, ids, names, tracestate};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use vestibule_plugin::{Facts, Fields, Flow, Hooks, RequestHead, ResponseHead, Soon, TraceContext};

/// What all exchanges share.
pub(crate) struct Shared {
    pub(crate) formats: Vec<Format>,
    pub(crate) trust: Trust,
    pub(crate) response_header: Option<HeaderName>,
    pub(crate) share: Share,
    pub(crate) contexts: Contexts,
}

/// Whether callers may say which trace a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    Callers,
    Nobody,
}

pub(crate) struct Exchange {
    shared: Arc<Shared>,
    /// The caller's words that go on, as one line each.
    tracestate: Option<HeaderValue>,
    baggage: Option<HeaderValue>,
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tracestate: None, baggage: None }
    }

    /// What would become of the caller's trace.
    pub(crate) fn explain(&mut self, fields: &Fields, drawn: TraceContext) -> &'static str {
        match self.place(fields, drawn).1 {
            Outcome::Continued => "continues the caller's trace",
            Outcome::Started => "starts a trace",
            Outcome::Restarted => "starts a trace: the caller's context is not valid",
            Outcome::Distrusted => "starts a trace: callers are not trusted",
        }
    }

    /// The trace this exchange belongs to, and what became of the caller's. `drawn` is the host's own.
    fn place(&mut self, fields: &Fields, drawn: TraceContext) -> (TraceContext, Outcome) {
        let sampled = |trace_id| sampled_flag(self.shared.share.takes(trace_id));
        let started = TraceContext { flags: TraceContext::RANDOM | sampled(drawn.trace_id), ..drawn };
        if self.shared.trust == Trust::Nobody {
            let outcome = if incoming::anything(fields) { Outcome::Distrusted } else { Outcome::Started };
            return (started, outcome);
        }
        match Incoming::read(&self.shared.formats, fields) {
            Incoming::Nothing => (started, Outcome::Started),
            Incoming::Invalid => (started, Outcome::Restarted),
            Incoming::Decided { sampled } => {
                (TraceContext { flags: TraceContext::RANDOM | sampled_flag(sampled), ..drawn }, Outcome::Started)
            }
            Incoming::Context { trace_id, decision, w3c } => {
                let flags = match decision {
                    Decision::Flags(flags) => flags,
                    Decision::Open => sampled(trace_id),
                };
                if w3c {
                    self.tracestate = tracestate::join(fields.lines(&names::TRACESTATE)).and_then(value);
                }
                (TraceContext { trace_id, flags, ..drawn }, Outcome::Continued)
            }
        }
    }

    fn write(&self, format: Format, fields: &mut Fields, span: &TraceContext) {
        let TraceContext { trace_id, span_id, flags } = *span;
        match format {
            Format::TraceContext => {
                let parent = TraceParent { trace_id, parent_id: span_id, flags };
                fields.set(names::TRACEPARENT, digits(&parent.write()));
                set_or_remove(fields, names::TRACESTATE, self.tracestate.as_ref());
            }
            Format::Baggage => set_or_remove(fields, names::BAGGAGE, self.baggage.as_ref()),
            Format::B3 => fields.set(names::B3, digits(&b3::write_single(trace_id, span_id, span.is_sampled()))),
            Format::B3Multi => {
                fields.remove(&names::B3_PARENT_SPAN_ID);
                fields.remove(&names::B3_FLAGS);
                let single = b3::write_single(trace_id, span_id, span.is_sampled());
                fields.set(names::B3_TRACE_ID, digits(&single[..32]));
                fields.set(names::B3_SPAN_ID, digits(&single[33..49]));
                fields.set(names::B3_SAMPLED, digits(&single[50..]));
            }
        }
    }
}

impl Hooks for Exchange {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        let fields = &*request.fields;
        let (context, outcome) = self.place(fields, *facts.trace());
        if self.shared.trust == Trust::Callers && self.shared.formats.contains(&Format::Baggage) {
            self.baggage = baggage::join(fields.lines(&names::BAGGAGE)).and_then(value);
        }
        facts.set_trace(context);
        self.shared.contexts.count(outcome);
        Soon::Now(Flow::Continue)
    }

    /// Each attempt is a span of its own, so each call draws another parent id.
    fn on_upstream_request(&mut self, fields: &mut Fields, facts: &Facts) {
        if self.shared.trust == Trust::Nobody {
            for name in &names::ALL {
                fields.remove(name);
            }
        }
        let attempt = TraceContext { span_id: ids::span_id(), ..*facts.trace() };
        for format in &self.shared.formats {
            self.write(*format, fields, &attempt);
        }
    }

    fn on_response(&mut self, response: &mut ResponseHead<'_>, facts: &Facts) {
        if let Some(name) = &self.shared.response_header {
            let mut trace_id = [0; 32];
            hex::write(&mut trace_id, facts.trace().trace_id);
            response.fields.set(name, digits(&trace_id));
        }
    }
}

/// A joined line as a value. The parsers let printable ASCII and tabs through, so it always is one.
fn value(line: Vec<u8>) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(line)).ok()
}

fn set_or_remove(fields: &mut Fields, name: HeaderName, value: Option<&HeaderValue>) {
    match value {
        Some(value) => fields.set(name, value),
        None => {
            fields.remove(&name);
        }
    }
}

/// A value of hex digits and dashes.
fn digits(value: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(value).expect("hex digits and dashes are visible ASCII")
}
