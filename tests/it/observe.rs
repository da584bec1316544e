//! What an operator sees: traces, log lines, metrics, health.

mod access;
mod blocked;
mod context;
mod everywhere;
mod health;
mod metrics;

use serde_json::Value;
use vestibule_testkit::{Answer, Origin, Proxy};

async fn proxy(origin: &Origin, toml: &str) -> Proxy {
    Proxy::before(crate::bin(), &origin.url(), toml).await
}

/// A `traceparent` (W3C Trace Context Level 2, section 3.2) taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TraceParent {
    trace_id: String,
    parent_id: String,
    flags: u8,
}

impl TraceParent {
    fn parse(value: &str) -> Self {
        let parts: Vec<&str> = value.split('-').collect();
        let [version, trace_id, parent_id, flags] = parts[..] else { panic!("not a traceparent: {value:?}") };
        assert_eq!((version, trace_id.len(), parent_id.len(), flags.len()), ("00", 32, 16, 2), "{value:?}");
        let flags = u8::from_str_radix(flags, 16).expect("hexadecimal flags");
        Self { trace_id: trace_id.to_owned(), parent_id: parent_id.to_owned(), flags }
    }
}

/// The trace id that a response names.
pub(crate) fn trace_id(answer: &Answer) -> String {
    let id = answer.field("x-trace-id");
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "x-trace-id: {id:?}");
    id.to_owned()
}

/// The access line of the trace; waits for it.
pub(crate) async fn line_of(proxy: &Proxy, trace_id: &str) -> Value {
    let what = format!("the access line of {trace_id}");
    proxy.wait_log(&what, |line| line["msg"] == "request" && line["trace_id"] == trace_id).await
}
