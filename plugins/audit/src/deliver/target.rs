//! Where events go, and how each kind of place takes them.

use super::otlp::Collector;
use super::reader::Item;
use super::spec::SinkSpec;
use super::syslog::Syslog;
use bytes::{Bytes, BytesMut};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use vestibule_outbound::Receiver;
use vestibule_plugin::Telemetry;
use vestibule_store::Streams;
use vestibule_store::streams::Stream;

/// The longest that one batch takes.
const DEADLINE: Duration = Duration::from_secs(5);
/// Where events go in the store, and about how many stay.
const STREAM: Stream<'static> = Stream { suffix: "audit", keeps: 1_000_000 };
const BATCH: &str = "application/cloudevents-batch+json";

/// A place.
pub(crate) enum Target {
    Stdout,
    Http(Receiver),
    Store(Arc<dyn Streams>),
    Syslog(Syslog),
    Otlp(Collector),
}

/// What sinks may need beside their own entry.
pub(crate) struct Means<'a> {
    /// Bearer token for http and https sinks.
    pub(crate) token: Option<&'a str>,
    /// Streams of the store, where there are any.
    pub(crate) streams: Option<&'a Arc<dyn Streams>>,
    /// What this proxy is called.
    pub(crate) source: &'a str,
    /// Where telemetry goes.
    pub(crate) telemetry: &'a Telemetry,
}

/// Why a batch was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It may be taken another time, not before this long.
    Later(Option<Duration>, String),
    /// It will never be taken as it is: this status was the answer.
    Never(u16),
}

impl Target {
    /// Of this sink.
    pub(crate) fn new(spec: &SinkSpec, means: &Means<'_>) -> Result<Self, String> {
        Ok(match spec {
            SinkSpec::Stdout => Self::Stdout,
            SinkSpec::Http(url) => Self::Http(Receiver::new(url, means.token)?),
            SinkSpec::Store => Self::Store(Arc::clone(means.streams.ok_or("a stream needs a Redis: set [store] url")?)),
            SinkSpec::Syslog(host, port) => Self::Syslog(Syslog::new(host, *port, means.source)),
            SinkSpec::Otlp => Self::Otlp(Collector::new(means.telemetry)?),
        })
    }

    /// Whether a batch costs so much more than an event that it pays to wait for more.
    pub(crate) fn gathers(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Otlp(_))
    }

    /// Gives it these events, in order; once they are acknowledged it has them.
    pub(crate) async fn deliver(&mut self, items: &[Item]) -> Result<(), Refusal> {
        let later = |why: String| Refusal::Later(None, why);
        match self {
            Self::Stdout => {
                let lines = lines(items);
                // A reader that is slow holds up this sink alone.
                let written = tokio::task::spawn_blocking(move || {
                    let mut out = std::io::stdout().lock();
                    out.write_all(&lines).and_then(|()| out.flush())
                });
                match written.await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(later(error.to_string())),
                    Err(error) => Err(later(error.to_string())),
                }
            }
            Self::Http(receiver) => match receiver.post(BATCH, array(items), DEADLINE).await {
                Ok(answer) => verdict(answer.status, answer.retry_after),
                Err(why) => Err(later(why)),
            },
            Self::Store(streams) => {
                let entries: Vec<_> = items.iter().map(|item| vec![("event", item.event.to_vec())]).collect();
                streams.append(STREAM, &entries).get().await.map_err(|outage| later(outage.to_string()))
            }
            Self::Otlp(collector) => collector.send(items).await,
            Self::Syslog(syslog) => match tokio::time::timeout(DEADLINE, syslog.send(items)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(later(error.to_string())),
                Err(_elapsed) => {
                    syslog.hang_up();
                    Err(later(format!("not written within {DEADLINE:?}")))
                }
            },
        }
    }
}

/// What an HTTP status means for a batch.
pub(super) fn verdict(status: u16, retry_after: Option<Duration>) -> Result<(), Refusal> {
    /// The longest pause that a receiver may ask for.
    const LONGEST: Duration = Duration::from_secs(300);
    match status {
        200..300 => Ok(()),
        400 | 413 | 422 => Err(Refusal::Never(status)),
        _ => Err(Refusal::Later(retry_after.map(|wait| wait.min(LONGEST)), format!("answered {status}"))),
    }
}

fn lines(items: &[Item]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(items.iter().map(|item| item.event.len() + 1).sum());
    for item in items {
        lines.extend_from_slice(&item.event);
        lines.push(b'\n');
    }
    lines
}

fn array(items: &[Item]) -> Bytes {
    let mut array = BytesMut::with_capacity(items.iter().map(|item| item.event.len() + 1).sum::<usize>() + 2);
    for (at, item) in items.iter().enumerate() {
        array.extend_from_slice(if at == 0 { b"[" } else { b"," });
        array.extend_from_slice(&item.event);
    }
    array.extend_from_slice(b"]");
    array.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_an_array() {
        let item = |text: &'static str| Item { event: Bytes::from_static(text.as_bytes()) };
        assert_eq!(array(&[item("{}"), item("{\"a\":1}")]), "[{},{\"a\":1}]");
        assert_eq!(lines(&[item("{}"), item("{}")]), b"{}\n{}\n");
    }

    /// AUD-11: what a status says about the batch.
    #[test]
    fn only_three_statuses_say_that_a_batch_is_bad() {
        assert_eq!(verdict(204, None), Ok(()));
        for never in [400, 413, 422] {
            assert_eq!(verdict(never, None), Err(Refusal::Never(never)));
        }
        for later in [301, 401, 403, 404, 408, 409, 425, 429, 500, 503, 599] {
            let hour = Some(Duration::from_secs(3600));
            let pause = Some(Duration::from_secs(300));
            assert!(matches!(verdict(later, hour), Err(Refusal::Later(wait, _)) if wait == pause), "{later}");
        }
    }
}
