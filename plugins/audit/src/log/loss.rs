//! What the log lacks, until it can say so. Pure.

use crate::draft::{Data, Draft, Mark};
use crate::identity::Actor;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use uuid::Uuid;
use vestibule_chain::rfc3339;

/// Actions told in a gap.
const TOLD: usize = 20;
/// Actions told apart meanwhile; the rest are counted as one.
const MOST_ACTIONS: usize = 1000;
/// Requests whose end was lost, remembered so that they are not taken for interrupted ones.
const MOST_CLOSED: usize = 65_536;

/// Why events could not be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// No space, or `max_bytes` reached.
    DiskFull,
    /// Anything else the disk says.
    IoError,
    /// They came faster than they could be written.
    QueueFull,
}

impl Reason {
    /// As written in gaps and log lines.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::IoError => "io_error",
            Self::QueueFull => "queue_full",
        }
    }
}

/// Events that were lost.
#[derive(Default, Debug)]
pub(crate) struct Loss {
    lost: u64,
    /// Of the first and the last.
    span_ms: Option<(u64, u64)>,
    reason: Option<Reason>,
    actions: HashMap<Box<str>, u64>,
    closed: Vec<Uuid>,
}

impl Loss {
    /// One more.
    pub(crate) fn add(&mut self, draft: &Draft, reason: Reason) {
        self.lost += 1;
        let (from, to) = self.span_ms.unwrap_or((draft.at_ms, draft.at_ms));
        self.span_ms = Some((from.min(draft.at_ms), to.max(draft.at_ms)));
        self.reason.get_or_insert(reason);
        self.count(draft.action(), 1);
        if let Mark::Closes(request) = draft.mark
            && self.closed.len() < MOST_CLOSED
        {
            self.closed.push(request);
        }
    }

    fn count(&mut self, action: &str, lost: u64) {
        let known = self.actions.len() < MOST_ACTIONS || self.actions.contains_key(action);
        let action = if known { action } else { "other" };
        match self.actions.get_mut(action) {
            Some(count) => *count += lost,
            None => drop(self.actions.insert(action.into(), lost)),
        }
    }

    /// What was lost after this.
    pub(crate) fn follow(&mut self, later: Self) {
        self.lost += later.lost;
        self.span_ms = match (self.span_ms, later.span_ms) {
            (Some((from, to)), Some((other, until))) => Some((from.min(other), to.max(until))),
            (one, other) => one.or(other),
        };
        self.reason = self.reason.or(later.reason);
        for (action, lost) in later.actions {
            self.count(&action, lost);
        }
        self.closed.extend(later.closed.into_iter().take(MOST_CLOSED.saturating_sub(self.closed.len())));
    }

    /// Events.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.lost == 0
    }

    /// Requests whose end was among them.
    pub(crate) fn closed(&self) -> &[Uuid] {
        &self.closed
    }

    /// The record that declares them; `None` when there are none.
    pub(crate) fn gap(&self, now_ms: u64) -> Option<Draft> {
        let (from, to) = self.span_ms?;
        let mut actions: Vec<_> = self.actions.iter().collect();
        actions.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let actions: Map<String, Value> =
            actions.into_iter().take(TOLD).map(|(action, lost)| (action.to_string(), Value::from(*lost))).collect();
        let metadata = json!({
            "lost": self.lost,
            "from": rfc3339(from),
            "to": rfc3339(to),
            "reason": self.reason.unwrap_or(Reason::IoError).as_str(),
            "actions": actions,
        });
        Some(own("audit.gap", now_ms, metadata))
    }
}

/// A record of the log about itself.
pub(crate) fn own(kind: &'static str, now_ms: u64, metadata: Value) -> Draft {
    let data = Data {
        action: kind.into(),
        actor: Actor::SYSTEM,
        resource: "log".into(),
        outcome: "success",
        metadata: metadata.into(),
        ..Data::default()
    };
    Draft::new(kind, now_ms, Mark::None, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(action: String, at_ms: u64, mark: Mark) -> Draft {
        Draft::new("request.finished", at_ms, mark, Data { action: action.into(), ..Data::default() })
    }

    fn metadata(loss: &Loss) -> Value {
        let mut event = Vec::new();
        loss.gap(9).expect("a gap").write(&mut event, Uuid::nil(), vestibule_chain::ChainId(Uuid::nil()));
        serde_json::from_slice::<Value>(&event).expect("JSON")["data"]["metadata"].take()
    }

    /// AUD-14: what a gap says is exact, and it names the twenty most frequent actions.
    #[test]
    fn a_gap_says_exactly_what_is_missing() {
        assert!(Loss::default().gap(1).is_none());
        let mut loss = Loss::default();
        for action in 0..30_u64 {
            for _ in 0..=action {
                loss.add(&draft(format!("a{action:02}"), 5000 - action, Mark::None), Reason::DiskFull);
            }
        }
        let mut later = Loss::default();
        later.add(&draft("a29".into(), 7000, Mark::Closes(Uuid::from_u128(3))), Reason::QueueFull);
        loss.follow(later);
        let said = metadata(&loss);
        assert_eq!(said["lost"], 30 * 31 / 2 + 1);
        assert_eq!(
            (&said["from"], &said["to"]),
            (&json!("1970-01-01T00:00:04.971Z"), &json!("1970-01-01T00:00:07.000Z"))
        );
        assert_eq!(said["reason"], "disk_full");
        let actions = said["actions"].as_object().expect("actions");
        assert_eq!((actions.len(), &actions["a29"], actions.get("a09")), (20, &json!(31), None));
        assert_eq!(loss.closed(), [Uuid::from_u128(3)]);
    }

    #[test]
    fn actions_are_bounded() {
        let mut loss = Loss::default();
        for action in 0..5000 {
            loss.add(&draft(format!("a{action}"), 1, Mark::Closes(Uuid::nil())), Reason::IoError);
        }
        assert_eq!((loss.lost(), loss.actions.len(), loss.actions["other"]), (5000, 1001, 4000));
    }
}
