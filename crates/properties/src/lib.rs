//! What must hold of any bytes: one property a fuzz target.
//!
//! A property takes bytes and panics when it does not hold. `tests/fuzz` looks for bytes with which it does not, and
//! `tests/corpus.rs` replays those that are kept.

mod edge;
mod h11;
mod heads;
mod keys;
mod recorder;
mod records;
mod reports;
mod settings;
mod trace;
mod whole;

pub use edge::{connection_options, forwarded, path_views};
pub use heads::{chunks, edits, head_guard, response_head};
pub use keys::{jwks, jwt};
pub use records::{audit_record, idempotency_key, store_reply, stored_reply};
pub use reports::{csp_report, etag_list, redact};
pub use settings::config;
pub use trace::traceparent;
pub use whole::whole_proxy;

/// A property of any bytes.
pub type Property = fn(&[u8]);

/// All of them, by the names of their targets.
pub const ALL: &[(&str, Property)] = &[
    ("audit_record", audit_record),
    ("chunks", chunks),
    ("config", config),
    ("connection_options", connection_options),
    ("csp_report", csp_report),
    ("edits", edits),
    ("etag_list", etag_list),
    ("forwarded", forwarded),
    ("head_guard", head_guard),
    ("idempotency_key", idempotency_key),
    ("jwks", jwks),
    ("jwt", jwt),
    ("path_views", path_views),
    ("redact", redact),
    ("response_head", response_head),
    ("store_reply", store_reply),
    ("stored_reply", stored_reply),
    ("traceparent", traceparent),
    ("whole_proxy", whole_proxy),
];

/// Parts of the input, which are separated by NUL so that a mutation of one leaves the others alone. The last part may
/// hold more.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = data.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| rest.next().unwrap_or_default())
}

/// Field lines with one name, as many as are valid of the input's lines.
fn lines(name: &'static str, text: &[u8]) -> vestibule_plugin::Fields {
    let mut fields = vestibule_plugin::Fields::new();
    for line in text.split(|byte| *byte == b'\n').take(64) {
        if let Ok(value) = http::HeaderValue::from_bytes(line) {
            fields.append(http::HeaderName::from_static(name), value);
        }
    }
    fields
}
