//! Records as lines of the log.

use crate::record::Record;
use std::sync::Arc;
use tracing::{Level, event_enabled};

/// Where the lines stand in the log.
const TARGET: &str = "vestibule::csp";

/// A line for each; none where the log leaves lines of their level out, which nobody should take for delivered.
pub(super) fn write(batch: &[Arc<Record>]) -> Result<(), String> {
    if !event_enabled!(target: TARGET, Level::INFO) {
        return Err("`[log] level` leaves info lines out".to_owned());
    }
    batch.iter().for_each(|record| line(record));
    Ok(())
}

fn line(record: &Record) {
    let places = record.details.places.as_ref();
    tracing::info!(
        target: TARGET,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directive::Directive;
    use crate::record::Details;
    use crate::report::Disposition;
    use crate::stamp::Stamp;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;
    use tracing::span::{Attributes, Id};
    use tracing::{Event, Metadata, Subscriber, subscriber};

    /// Counts events, and takes nothing else; like the log it is only asked about those.
    struct Log {
        level: Level,
        lines: Arc<AtomicUsize>,
    }

    impl Subscriber for Log {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.is_event() && *metadata.level() <= self.level
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            self.lines.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    fn written(level: Level) -> (Result<(), String>, usize) {
        let at = Stamp::of(SystemTime::UNIX_EPOCH);
        let details = Details { directive: Directive::OTHER, disposition: Disposition::Report, places: None };
        let record = Arc::new(Record { details: Arc::new(details), count: 1, first_seen: at, last_seen: at });
        let lines = Arc::new(AtomicUsize::new(0));
        let log = Log { level, lines: Arc::clone(&lines) };
        let outcome = subscriber::with_default(log, || write(&[Arc::clone(&record), record]));
        (outcome, lines.load(Ordering::Relaxed))
    }

    #[test]
    fn lines_that_the_log_leaves_out_are_not_delivered() {
        assert_eq!(written(Level::INFO), (Ok(()), 2));
        assert_eq!(written(Level::WARN), (Err("`[log] level` leaves info lines out".to_owned()), 0));
        assert_eq!(written(Level::DEBUG), (Ok(()), 2));
    }
}
