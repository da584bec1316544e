//! Records posted to somebody who collects them.

use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, redirect};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

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
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            // The environment does not choose where records go.
            .no_proxy()
            .http1_only()
            .timeout(DEADLINE)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("vestibule/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
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
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Tried::Taken,
            Ok(answer) => {
                let status = answer.status();
                let why = format!("it answered {}", status.as_u16());
                if status.is_server_error() || status.as_u16() == 429 {
                    Tried::Failed(why)
                } else {
                    Tried::Refused(why)
                }
            }
            Err(error) => Tried::Failed(innermost(&error)),
        }
    }
}

/// What is behind an error; what stands in front of it repeats the address.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {DEADLINE:?}");
    }
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
