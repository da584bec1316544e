//! Records as lines of the log.

use crate::record::Record;

/// One line.
pub(super) fn write(record: &Record) {
    let places = record.details.places.as_ref();
    tracing::info!(
        target: "vestibule::csp",
        directive = record.details.directive.as_str(),
        disposition = record.details.disposition.as_str(),
        blocked = places.map(|kept| kept.blocked.text.as_str()),
        document = places.map(|kept| kept.document.text.as_str()),
        source = places.and_then(|kept| kept.source.as_ref()).map(|source| source.text.as_str()),
        line = places.and_then(|kept| kept.line),
        column = places.and_then(|kept| kept.column),
        status = places.and_then(|kept| kept.status),
        policy = record.policy(),
        count = record.count,
        first_seen = %record.first_seen,
        last_seen = %record.last_seen,
        overflow = places.is_none(),
        allow = record.details.allow(),
        "content security policy violated"
    );
}
