//! The types of event that say something of the log itself, or that a reader of the log must know.

/// Stands first in a segment: which log, which segment, what is open.
pub const SEGMENT: &str = "io.vestibule.audit.segment";
/// What the log had come to.
pub const CHECKPOINT: &str = "io.vestibule.audit.checkpoint";
/// Events that were never written.
pub const GAP: &str = "io.vestibule.audit.gap";
/// The log was continued after a process that did not stop cleanly.
pub const RECOVERED: &str = "io.vestibule.audit.recovered";
/// Segments that were deleted when they were old.
pub const PRUNED: &str = "io.vestibule.audit.pruned";
/// An event that a sink refused for good.
pub const REJECTED: &str = "io.vestibule.audit.rejected";
/// A process began to write.
pub const PROCESS_STARTED: &str = "io.vestibule.process.started";
/// A process stopped writing, cleanly.
pub const PROCESS_STOPPED: &str = "io.vestibule.process.stopped";
/// A request is about to go upstream.
pub const REQUEST_STARTED: &str = "io.vestibule.request.started";
/// A request is over.
pub const REQUEST_FINISHED: &str = "io.vestibule.request.finished";
/// A request was under way when its process ended.
pub const REQUEST_INTERRUPTED: &str = "io.vestibule.request.interrupted";

/// Whether an event of this type is about the log alone.
pub fn is_of_log(kind: &str) -> bool {
    kind.strip_prefix(crate::TYPE_PREFIX).is_some_and(|kind| kind.starts_with("audit."))
}
