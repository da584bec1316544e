//! Reports as functions of bytes, for fuzzing. No part of the API.

use crate::clean::Paths;
use crate::noise::Noise;
use crate::record::{Judged, Record, judge};
use crate::report::{self, Element};
use std::sync::Arc;
use std::time::SystemTime;

/// What is kept of a body.
pub struct Kept {
    /// The URLs of each violation: blocked, document, source.
    pub places: Vec<Vec<String>>,
    /// Each as it is delivered.
    pub records: Vec<String>,
    /// Elements read.
    pub elements: usize,
}

pub fn kept(body: &[u8]) -> Option<Kept> {
    let reports = report::read(body).ok()?;
    let mut kept = Kept { places: Vec::new(), records: Vec::new(), elements: reports.elements.len() };
    for element in &reports.elements {
        let Element::Violation(violation) = element else { continue };
        let judged = judge(violation, None, &Noise::default(), Paths::Kept, SystemTime::UNIX_EPOCH);
        let Judged::Sighting(sighting) = judged else { continue };
        let details = Arc::new(sighting.details);
        if let Some(places) = &details.places {
            let urls = [Some(&places.blocked), Some(&places.document), places.source.as_ref()];
            kept.places.push(urls.into_iter().flatten().map(|url| url.text.clone()).collect());
        }
        let record = Record { details, count: 1, first_seen: sighting.at, last_seen: sighting.at };
        kept.records.push(serde_json::to_string(&record).unwrap_or_default());
    }
    Some(kept)
}
