//! Streams in Redis: one script appends a call's entries, so that half of them never are.

use super::{Entry, Stream, Streams};
use crate::records::Outage;
use crate::redis::buckets::Buckets;
use crate::redis::{Asks, Failure, Question, Settings};
use crate::timings::{Came, Operation, Timings};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use vestibule_plugin::meter::Registry;
use vestibule_plugin::{Clock, Soon};

/// Redirects that are followed; one more and the stream is on the move.
const REDIRECTS: usize = 2;

/// Streams in the store that all proxies of a fleet share.
pub struct RedisStreams {
    servers: Buckets,
    namespace: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    timings: Timings,
    up: Mutex<Option<bool>>,
}

impl RedisStreams {
    /// Connects to nothing yet. Fails when an authority is not a certificate.
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>, meter: &Registry) -> Result<Self, rustls::Error> {
        Ok(Self {
            servers: Buckets::new(settings)?,
            namespace: settings.namespace.clone(),
            timeout: settings.timeout,
            clock,
            timings: Timings::new(meter),
            up: Mutex::default(),
        })
    }

    async fn try_append(&self, key: &[u8], question: impl Fn() -> Question) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut reached = self.servers.reach(key, deadline).await?;
        for _ in 0..REDIRECTS {
            let asked = self.servers.ask(&reached, question(), deadline, drop).await;
            let Err(failure) = asked else { return Ok(()) };
            reached = match self.servers.follow(key, &reached, &failure, deadline).await {
                Some(other) => other?,
                None => return Err(failure),
            };
        }
        self.servers.ask(&reached, question(), deadline, drop).await.map(drop)
    }
}

impl Streams for RedisStreams {
    fn append<'a>(&'a self, to: Stream<'a>, entries: &'a [Entry]) -> Soon<'a, Result<(), Outage>> {
        if entries.is_empty() {
            return Soon::Now(Ok(()));
        }
        let key = format!("{}:{}", self.namespace, to.suffix).into_bytes();
        let question = move |key: &[u8]| Question::new(Asks::Append, vec![key.to_vec()], words(to.keeps, entries));
        Soon::later(async move {
            let started = self.clock.now();
            let appended = self.try_append(&key, || question(&key)).await.map_err(|failure| match failure {
                Failure::Unreadable(_) => Outage::Unavailable("what lies under the key is no stream".to_owned()),
                failure => failure.into_outage(),
            });
            let came = match &appended {
                Ok(()) => Came::Ok,
                Err(Outage::Timeout) => Came::Timeout,
                Err(_) => Came::Error,
            };
            self.timings.observe(Operation::Append, came, self.clock.now() - started);
            *self.up.lock() = Some(matches!(appended, Ok(()) | Err(Outage::Full(_))));
            appended
        })
    }

    fn is_up(&self) -> Option<bool> {
        *self.up.lock()
    }
}

/// What the script is told: how many entries are kept, and each entry behind the number of its words.
fn words(keeps: u64, entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut words = vec![keeps.to_string().into_bytes()];
    for entry in entries {
        words.push((2 * entry.len()).to_string().into_bytes());
        for (field, value) in entry {
            words.extend([field.as_bytes().to_vec(), value.clone()]);
        }
    }
    words
}

#[cfg(test)]
mod tests;
