//! What happened to each key, as clients and the application saw it.

use parking_lot::Mutex;
use std::collections::HashMap;

/// One key of one caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub caller: String,
    pub text: String,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A whole reply of the application, stored or not.
    Reply { status: u16, body: String, replayed: bool },
    /// A problem of the proxy's.
    Problem { status: u16, slug: String },
    /// The connection ended before an answer did.
    Nothing,
}

#[derive(Default, Debug)]
pub struct Story {
    /// Bodies the application made, one a hit, and whether that reply allows another execution.
    pub hits: Vec<(String, Allows)>,
    pub told: Vec<Told>,
}

/// Whether a reply of the application allows another execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allows {
    Nothing,
    /// It said that nothing was done.
    Another,
}

#[derive(Default)]
pub struct Histories(Mutex<HashMap<Key, Story>>);

impl Histories {
    pub fn hit(&self, key: &Key, body: String, allows: Allows) {
        self.0.lock().entry(key.clone()).or_default().hits.push((body, allows));
    }

    pub fn told(&self, key: &Key, told: Told) {
        self.0.lock().entry(key.clone()).or_default().told.push(told);
    }

    /// Everything that must not have happened, a line each; and what did happen, counted.
    pub fn judge(&self) -> (Vec<String>, Summary) {
        let stories = self.0.lock();
        let mut summary = Summary { keys: stories.len(), ..Summary::default() };
        let mut violations = Vec::new();
        for (key, story) in stories.iter() {
            summary.add(story);
            violations.extend(check(key, story).into_iter().map(|what| format!("{key:?}: {what}\n{story:?}")));
        }
        violations.truncate(10);
        (violations, summary)
    }
}

/// What ran, so that a clean run is not one in which nothing happened.
#[derive(Default, Debug)]
pub struct Summary {
    pub keys: usize,
    pub requests: usize,
    pub hits: usize,
    pub replays: usize,
    pub unknown: usize,
    pub not_stored: usize,
    pub in_progress: usize,
    pub unavailable: usize,
    pub nothing: usize,
}

impl Summary {
    fn add(&mut self, story: &Story) {
        self.requests += story.told.len();
        self.hits += story.hits.len();
        for told in &story.told {
            match told {
                Told::Reply { replayed: true, .. } => self.replays += 1,
                Told::Reply { .. } => {}
                Told::Problem { slug, .. } => match slug.as_str() {
                    "idempotency-outcome-unknown" => self.unknown += 1,
                    "idempotency-response-not-stored" => self.not_stored += 1,
                    "idempotency-in-progress" => self.in_progress += 1,
                    "store-unavailable" => self.unavailable += 1,
                    _ => {}
                },
                Told::Nothing => self.nothing += 1,
            }
        }
    }
}

fn check(key: &Key, story: &Story) -> Vec<String> {
    let mut violations = Vec::new();
    let final_hits = story.hits.iter().filter(|(_, allows)| *allows == Allows::Nothing).count();
    if final_hits > 1 {
        violations.push(format!("executed {final_hits} times"));
    }
    // Once a reply that allows nothing was made, nothing is executed any more.
    if let Some(last) = story.hits.iter().position(|(_, allows)| *allows == Allows::Nothing)
        && last + 1 < story.hits.len()
    {
        violations.push("executed after it was done".to_owned());
    }
    for told in &story.told {
        match told {
            Told::Reply { status, body, replayed } => {
                let made = story.hits.iter().find(|(made, _)| made == body);
                match made {
                    None => violations.push(format!("a reply of {status} that was never made for it")),
                    Some((_, Allows::Another)) if *replayed => {
                        violations.push("a reply was stored that says that nothing was done".to_owned());
                    }
                    Some(_) => {}
                }
                if !body.starts_with(&format!("{} {} ", key.caller, key.text)) {
                    violations.push("somebody else's reply".to_owned());
                }
            }
            Told::Problem { status, slug } => {
                let expected = matches!(
                    (status, slug.as_str()),
                    (
                        409,
                        "idempotency-in-progress" | "idempotency-outcome-unknown" | "idempotency-response-not-stored"
                    ) | (
                        502 | 504,
                        "idempotency-outcome-unknown"
                            | "upstream-unreachable"
                            | "upstream-timeout"
                            | "upstream-invalid"
                    ) | (502, "idempotency-response-not-stored")
                        | (503, "store-unavailable" | "overloaded")
                );
                if !expected {
                    violations.push(format!("an answer {status} {slug}"));
                }
            }
            Told::Nothing => {}
        }
    }
    violations
}
