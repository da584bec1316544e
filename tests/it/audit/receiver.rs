//! Somebody who takes batches, or does not.

use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use vestibule_testkit::{Origin, Received, Reply, within};

/// A batch as it came.
#[derive(Clone)]
pub struct Batch {
    pub at: Instant,
    pub events: Vec<Value>,
    pub request: Received,
    /// What it was answered with.
    pub status: u16,
}

impl Batch {
    pub fn ids(&self) -> Vec<String> {
        self.events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
    }
}

/// An http sink that remembers every batch.
pub struct Receiver {
    pub origin: Origin,
    batches: Arc<watch::Sender<Vec<Batch>>>,
}

impl Receiver {
    /// Takes everything.
    pub fn taking() -> Self {
        Self::answering(|_, _| 204)
    }

    /// Answers the nth batch, from 0, with a status.
    pub fn answering(status: impl Fn(usize, &[Value]) -> u16 + Send + Sync + 'static) -> Self {
        Self::replying(move |nth, events| {
            let status = status(nth, events);
            (status, Reply::new(status))
        })
    }

    /// Answers the nth batch, from 0.
    pub fn replying(reply: impl Fn(usize, &[Value]) -> (u16, Reply) + Send + Sync + 'static) -> Self {
        let batches = Arc::new(watch::Sender::new(Vec::<Batch>::new()));
        let seen = Arc::clone(&batches);
        let origin = Origin::replying(move |request| {
            let events: Vec<Value> = serde_json::from_slice(&request.body).expect("an array");
            let at = Instant::now();
            let nth = seen.borrow().len();
            let (status, reply) = reply(nth, &events);
            seen.send_modify(|seen| seen.push(Batch { at, events, request: request.clone(), status }));
            reply
        });
        Self { origin, batches }
    }

    /// `sinks` with this one alone.
    pub fn toml(&self) -> String {
        format!("sinks = [\"{}/in\"]\n", self.origin.url())
    }

    pub fn batches(&self) -> Vec<Batch> {
        self.batches.borrow().clone()
    }

    /// Waits until the batches satisfy `until`.
    pub async fn wait(&self, what: &str, mut until: impl FnMut(&[Batch]) -> bool) -> Vec<Batch> {
        let mut batches = self.batches.subscribe();
        let reached = async { batches.wait_for(|batches| until(batches)).await.expect("a sender of ours").clone() };
        within(what, reached).await
    }

    /// Waits until an event of this type was taken.
    pub async fn wait_for(&self, wanted: &str, count: usize) -> Vec<Batch> {
        self.wait(&format!("{count} {wanted} at the sink"), |batches| {
            taken(batches).iter().filter(|event| super::kind(event) == wanted).count() >= count
        })
        .await
    }
}

/// Events of batches that were acknowledged, each once, in the order of their first arrival.
pub fn taken(batches: &[Batch]) -> Vec<Value> {
    let mut seen = HashSet::new();
    let acknowledged = batches.iter().filter(|batch| batch.status < 300);
    let events = acknowledged.flat_map(|batch| &batch.events);
    events.filter(|event| seen.insert(event["id"].as_str().expect("an id").to_owned())).cloned().collect()
}

/// Ids of those.
pub fn taken_ids(batches: &[Batch]) -> Vec<String> {
    taken(batches).iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}
