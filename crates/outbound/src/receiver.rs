//! Somebody who takes what the proxy reports, at one address.

use crate::{client, innermost};
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};
use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// How long an idle connection is kept: shorter than the usual patience of servers, so that few writes meet a dead one.
const IDLE: Duration = Duration::from_secs(4);

/// An address that is posted to.
pub struct Receiver {
    client: Client,
    url: Url,
    fields: HeaderMap,
}

/// What it answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Receiver {
    /// At this http or https address, with a bearer token or without. What is wrong quotes neither.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("expected http://… or https://…".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("expected a URL without credentials and fragment".to_owned());
        }
        let mut receiver = Self { client: client(None, Some(IDLE))?, url, fields: HeaderMap::new() };
        if let Some(token) = token {
            receiver.add_field("authorization", &Zeroizing::new(format!("Bearer {token}")))?;
        }
        Ok(receiver)
    }

    /// Sends a field with every request. What is wrong does not quote the value.
    pub fn add_field(&mut self, name: &str, value: &str) -> Result<(), String> {
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no name of a field"))?;
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of `{name}` holds bytes that cannot be sent"))?;
        value.set_sensitive(true);
        self.fields.append(known, value);
        Ok(())
    }

    /// Trusts these authorities instead of those of the web.
    pub fn trust(&mut self, own: &[CertificateDer<'static>]) -> Result<(), String> {
        self.client = client(Some(own), Some(IDLE))?;
        Ok(())
    }

    /// Posts `body`; all of it, the head of the answer included, takes at most `within`. The answer's body is not read.
    pub async fn post(&self, content_type: &'static str, body: Bytes, within: Duration) -> Result<Answer, String> {
        Ok(self.ask(content_type, body, within, 0).await?.0)
    }

    /// As [`Receiver::post`], with at most the first `most` bytes of the answer's body.
    pub async fn ask(
        &self,
        content_type: &'static str,
        body: Bytes,
        within: Duration,
        most: usize,
    ) -> Result<(Answer, Vec<u8>), String> {
        let request = self.client.post(self.url.clone()).headers(self.fields.clone());
        let request = request.header(CONTENT_TYPE, content_type).body(body);
        let asked = async {
            let mut response = request.send().await?;
            let retry_after = response.headers().get(RETRY_AFTER).and_then(pause);
            let answer = Answer { status: response.status().as_u16(), retry_after };
            let mut said = Vec::new();
            while said.len() < most
                && let Some(chunk) = response.chunk().await?
            {
                said.extend_from_slice(&chunk);
            }
            said.truncate(most);
            Ok((answer, said))
        };
        match tokio::time::timeout(within, asked).await {
            Ok(answered) => answered.map_err(|error: reqwest::Error| innermost(&error)),
            Err(_elapsed) => Err(format!("no answer within {within:?}")),
        }
    }
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
fn pause(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_holds_no_credential() {
        for good in ["http://127.0.0.1:1/x", "https://audit.example.com/ingest?a=b"] {
            assert!(Receiver::new(good, Some("t")).is_ok(), "{good}");
        }
        for bad in ["ftp://h/", "http://u:p@h/", "http://h/#f", "h", "http://"] {
            assert!(Receiver::new(bad, None).is_err(), "{bad}");
        }
        assert!(Receiver::new("http://h/", Some("a\nb")).is_err());
    }

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let of = |text: &str| pause(&HeaderValue::from_str(text).expect("a value"));
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(of(&later).is_some_and(|wait| wait > Duration::from_secs(90)));
        assert_eq!(of("soon"), None);
        assert_eq!(of("Thu, 01 Jan 1970 00:00:00 GMT"), None);
    }
}
