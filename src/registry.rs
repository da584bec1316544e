//! The plugins there are. The only file that names one.

use crate::config::plugin::Entry;
use vestibule_plugin::Build;

/// Every plugin, outermost first.
pub const PLUGINS: &[Entry] = &[
    Entry::of::<vestibule_trace::Trace>(),
    Entry::of::<vestibule_metrics::Metrics>(),
    Entry::of::<vestibule_audit::Audit>(),
    Entry::of::<vestibule_auth::Auth>(),
    Entry::of::<vestibule_rate_limit::RateLimit>(),
    Entry::of::<vestibule_csp::Csp>(),
    Entry::of::<vestibule_idempotency::Idempotency>(),
    Entry::of::<vestibule_etag::ETag>(),
];

const _: () = {
    let stages = [
        vestibule_trace::Trace::STAGE as u8,
        vestibule_metrics::Metrics::STAGE as u8,
        vestibule_audit::Audit::STAGE as u8,
        vestibule_auth::Auth::STAGE as u8,
        vestibule_rate_limit::RateLimit::STAGE as u8,
        vestibule_csp::Csp::STAGE as u8,
        vestibule_idempotency::Idempotency::STAGE as u8,
        vestibule_etag::ETag::STAGE as u8,
    ];
    let mut i = 1;
    while i < stages.len() {
        assert!(stages[i - 1] < stages[i], "plugins must stand in the order of their stages");
        i += 1;
    }
};
