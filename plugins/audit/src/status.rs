//! How the log is doing, for `GET /status`.

use crate::log::queue::Writing;
use crate::shared::Trail;
use serde_json::{Value, json};
use vestibule_chain::rfc3339;

/// `state`, where the log stands, what was lost, and each sink.
pub(crate) fn show(trail: &Trail) -> Value {
    let board = trail.log.board();
    let at = board.at().at;
    let state = if board.writing() == Writing::Works { "ok" } else { "failing" };
    json!({
        "state": state,
        "seq": at.next_seq.checked_sub(1),
        "hash": at.hash.to_string(),
        "last_checkpoint": board.last_checkpoint_ms().map(rfc3339),
        "lost": board.lost(),
        "sinks": trail.delivery.show(at.next_seq),
    })
}
