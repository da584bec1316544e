//! What becomes of an event, given all that were taken before it. Pure.

use std::collections::{HashMap, HashSet};

use super::event::{Phase, RequestEvent};
use crate::id::Id;

/// What became of a row, or of an event that might have become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is a new row.
    Stored,
    /// It took the place of the row of its request.
    Replaced,
    /// It had been taken before.
    Known,
    /// Another event had said as much of its request, or more.
    Superseded,
    /// Its type is not kept.
    Dropped,
    /// It can never be stored.
    Refused,
}

impl Fate {
    /// Every fate.
    pub(crate) const ALL: [Self; 6] =
        [Self::Stored, Self::Replaced, Self::Known, Self::Superseded, Self::Dropped, Self::Refused];

    /// Its name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Replaced => "replaced",
            Self::Known => "known",
            Self::Superseded => "superseded",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }
}

/// The events that were taken, of the requests that matter just now.
#[derive(Debug, Default)]
pub(super) struct Taken {
    events: HashSet<Id>,
    requests: HashMap<Id, Phase>,
}

impl Taken {
    /// Adds an event, in whatever order.
    pub(super) fn add(&mut self, event: Id, request: Id, phase: Phase) {
        self.events.insert(event);
        let reached = self.requests.entry(request).or_insert(phase);
        *reached = phase.max(*reached);
    }

    /// Judges an event, and takes it where it makes a row. A request is a start until its end takes the place of it,
    /// and what has ended changes no more.
    pub(super) fn judge(&mut self, event: &RequestEvent) -> Fate {
        if self.events.contains(&event.id) {
            return Fate::Known;
        }
        let fate = match (self.requests.get(&event.request_id), event.phase) {
            (None, _) => Fate::Stored,
            (Some(Phase::Started), Phase::Ended) => Fate::Replaced,
            (Some(_), _) => return Fate::Superseded,
        };
        self.add(event.id, event.request_id, event.phase);
        fate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timestamp::Timestamp;

    /// The event `number` of the request `request`.
    fn event(request: u8, number: u8, phase: Phase) -> RequestEvent {
        RequestEvent {
            id: Id::from_parts(u64::from(request), &[number; 10]),
            request_id: Id::from_parts(u64::from(request), &[0; 10]),
            phase,
            user_id: None,
            action: "a".to_owned(),
            resource: "r".to_owned(),
            metadata: "{}".to_owned(),
            time: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn the_end_takes_the_place_of_the_start() {
        let (started, finished) = (event(1, 1, Phase::Started), event(1, 2, Phase::Ended));
        let mut taken = Taken::default();
        assert_eq!(taken.judge(&started), Fate::Stored);
        assert_eq!(taken.judge(&started), Fate::Known);
        assert_eq!(taken.judge(&finished), Fate::Replaced);
        assert_eq!(taken.judge(&finished), Fate::Known);
        assert_eq!(taken.judge(&started), Fate::Known);
    }

    #[test]
    fn a_start_after_the_end_changes_nothing() {
        let (started, finished) = (event(1, 1, Phase::Started), event(1, 2, Phase::Ended));
        let mut taken = Taken::default();
        assert_eq!(taken.judge(&finished), Fate::Stored);
        assert_eq!(taken.judge(&started), Fate::Superseded);
        assert_eq!(taken.judge(&started), Fate::Superseded);
    }

    #[test]
    fn the_first_of_two_starts_and_of_two_ends_counts() {
        let mut taken = Taken::default();
        assert_eq!(taken.judge(&event(1, 1, Phase::Started)), Fate::Stored);
        assert_eq!(taken.judge(&event(1, 2, Phase::Started)), Fate::Superseded);
        assert_eq!(taken.judge(&event(1, 3, Phase::Ended)), Fate::Replaced);
        assert_eq!(taken.judge(&event(1, 4, Phase::Ended)), Fate::Superseded);
    }

    proptest! {
        /// Deliveries in any order, any number of times, cut into batches anywhere.
        #[test]
        fn a_request_whose_end_came_is_one_row_and_the_end(
            deliveries in prop::collection::vec((0..4_u8, prop::bool::ANY), 0..40),
            cut in 0..40_usize,
        ) {
            let mut rows: HashMap<Id, Phase> = HashMap::new();
            let mut kept = Vec::new();
            let mut taken = Taken::default();
            for (at, (request, ends)) in deliveries.iter().enumerate() {
                if at == cut {
                    // What the next batch learns from the database, newest first.
                    taken = Taken::default();
                    for event in kept.iter().rev() {
                        let RequestEvent { id, request_id, phase, .. } = event;
                        taken.add(*id, *request_id, *phase);
                    }
                }
                let phase = if *ends { Phase::Ended } else { Phase::Started };
                let event = event(*request, 1 + u8::from(*ends), phase);
                match taken.judge(&event) {
                    Fate::Stored => prop_assert_eq!(rows.insert(event.request_id, phase), None),
                    Fate::Replaced => prop_assert_eq!(rows.insert(event.request_id, phase), Some(Phase::Started)),
                    _ => continue,
                }
                kept.push(event);
            }
            for (request, ends) in deliveries {
                let row = rows.get(&event(request, 0, Phase::Started).request_id);
                prop_assert!(row.is_some_and(|phase| !ends || *phase == Phase::Ended));
            }
        }
    }
}
