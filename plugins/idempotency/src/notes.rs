//! Log lines about a claim and its record, by which an operator finds them again.

use crate::claim::Claim;
use crate::names::PrincipalId;
use vestibule_plugin::Facts;
use vestibule_store::records::{Name, NotKept, Unknown};

/// Somebody wrote it who has no key, or it is older than the keys.
pub(crate) fn clear_record(record: &Name, principal: &PrincipalId, facts: &Facts) {
    tracing::error!(
        target: "idempotency",
        record = %record,
        principal_id = %principal,
        trace_id = format_args!("{:032x}", facts.trace().trace_id),
        "a record in the clear is refused, as encryption_keys_file is set; if it is older than the keys, \
         accept_clear_records = true lets it be given"
    );
}

/// Somebody has to find out what happened, and needs to know whose key it was.
pub(crate) fn outcome_unknown(claim: &Claim, why: Unknown) {
    tracing::warn!(
        target: "idempotency",
        record = %claim.hold().name,
        principal_id = %claim.principal(),
        trace_id = format_args!("{:032x}", claim.hold().trace_id),
        reason = why.as_str(),
        "nobody knows whether a request was executed"
    );
}

/// Whoever repeats it is told so until its ttl is over; an operator may want to forget it.
pub(crate) fn not_kept(claim: &Claim, why: NotKept) {
    tracing::info!(
        target: "idempotency",
        record = %claim.hold().name,
        principal_id = %claim.principal(),
        trace_id = format_args!("{:032x}", claim.hold().trace_id),
        reason = why.as_str(),
        "a reply is not kept"
    );
}
