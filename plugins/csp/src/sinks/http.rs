//! Records posted to somebody who collects them.

use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use vestibule_outbound::Receiver;

/// Longest time of one try.
const DEADLINE: Duration = Duration::from_secs(2);
/// Pauses before further tries.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Who collects.
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: String,
    token: Option<Token>,
    receiver: Arc<Receiver>,
}

/// A bearer token. It is shown to nobody but the collector.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) String);

/// What came of a try.
enum Tried {
    Taken,
    /// Another one may do better.
    Failed(String),
    Refused(String),
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && self.token == other.token
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.shown())
    }
}

impl Endpoint {
    /// Reaches out to nobody yet.
    pub(crate) fn new(url: &str, token: Option<&Token>) -> Result<Self, String> {
        let receiver = Receiver::new(url, token.map(|token| token.0.as_str()))?;
        Ok(Self { url: url.to_owned(), token: token.cloned(), receiver: Arc::new(receiver) })
    }

    /// Scheme, host and port, for people.
    pub(crate) fn shown(&self) -> String {
        Url::parse(&self.url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    }

    /// Posts an array of records, and tries again where that may do better.
    pub(super) async fn post(&self, records: Vec<u8>) -> Result<(), String> {
        let records = Bytes::from(records);
        let mut pauses = PAUSES.iter();
        loop {
            match self.try_once(records.clone()).await {
                Tried::Taken => return Ok(()),
                Tried::Refused(why) => return Err(why),
                Tried::Failed(why) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => return Err(why),
                },
            }
        }
    }

    async fn try_once(&self, records: Bytes) -> Tried {
        match self.receiver.post("application/json", records, DEADLINE).await {
            Ok(answer) => match answer.status {
                200..=299 => Tried::Taken,
                status @ (429 | 500..=599) => Tried::Failed(format!("it answered {status}")),
                status => Tried::Refused(format!("it answered {status}")),
            },
            Err(why) => Tried::Failed(why),
        }
    }
}
