//! Records posted to somebody who collects them.

use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::Client;
use std::fmt;
use std::time::Duration;
use url::Url;

/// How long a connection is kept that nothing is sent on: shorter than the usual patience of servers.
const IDLE: Duration = Duration::from_secs(4);
/// Longest time of one try.
const DEADLINE: Duration = Duration::from_secs(2);
/// Pauses before further tries.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Who collects.
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: Url,
    /// `Bearer …`
    credential: Option<HeaderValue>,
    client: Client,
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && self.credential == other.credential
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.url.origin().ascii_serialization())
    }
}

/// What came of a try.
enum Tried {
    Taken,
    /// Another one may do better.
    Failed(String),
    Refused(String),
}

impl Endpoint {
    /// Reaches out to nobody yet.
    pub(crate) fn new(url: Url, credential: Option<HeaderValue>) -> Result<Self, String> {
        let client = vestibule_outbound::client(None, Some(IDLE))?;
        Ok(Self { url, credential, client })
    }

    /// Scheme, host and port, for people.
    pub(crate) fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Posts an array of records, and tries again where that may do better.
    pub(super) async fn post(&self, records: Vec<u8>) -> Result<(), String> {
        let records = bytes::Bytes::from(records);
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

    async fn try_once(&self, records: bytes::Bytes) -> Tried {
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(records);
        if let Some(credential) = &self.credential {
            request = request.header(AUTHORIZATION, credential.clone());
        }
        match tokio::time::timeout(DEADLINE, request.send()).await {
            Ok(Ok(answer)) if answer.status().is_success() => Tried::Taken,
            Ok(Ok(answer)) => {
                let status = answer.status();
                let why = format!("it answered {}", status.as_u16());
                if status.is_server_error() || status.as_u16() == 429 {
                    Tried::Failed(why)
                } else {
                    Tried::Refused(why)
                }
            }
            Ok(Err(error)) => Tried::Failed(vestibule_outbound::innermost(&error)),
            Err(_elapsed) => Tried::Failed(format!("no answer within {DEADLINE:?}")),
        }
    }
}
