//! One fetch of a key set: from the address in the file, as it is, within its time.

use crate::jwk::{self, ReadSet};
use reqwest::{Client, StatusCode};
use std::time::Duration;
use vestibule_outbound::innermost;

/// Most bytes of a key set.
const MAX_BYTES: usize = 1 << 20;

/// Why there is no new set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    /// Nothing came, or not in time, or not with 200.
    Error(String),
    /// What came is no set that can be used.
    Invalid(String),
}

impl Failed {
    /// As a person reads it.
    pub(crate) fn why(&self) -> &str {
        match self {
            Self::Error(why) | Self::Invalid(why) => why,
        }
    }
}

/// What came of a fetch.
pub(crate) type Fetched = Result<(ReadSet, Option<Duration>), Failed>;

/// Fetches the set; all of it takes at most `within`.
pub(crate) async fn fetch(client: &Client, url: &str, within: Duration) -> Fetched {
    match tokio::time::timeout(within, fetch_all(client, url)).await {
        Ok(fetched) => fetched,
        Err(_elapsed) => Err(Failed::Error(format!("no whole answer within {within:?}"))),
    }
}

async fn fetch_all(client: &Client, url: &str) -> Fetched {
    let request = client.get(url).header("accept", "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(|error| Failed::Error(innermost(&error)))?;
    if response.status() != StatusCode::OK {
        return Err(Failed::Error(format!("the endpoint answered {}", response.status().as_u16())));
    }
    let field = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    if field("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Failed::Invalid("a content coding, which was not asked for".to_owned()));
    }
    let max_age = field("cache-control").and_then(max_age);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Failed::Error(innermost(&error)))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(Failed::Invalid("over 1 MiB".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    let read = jwk::read_set(&body).map_err(Failed::Invalid)?;
    Ok((read, max_age))
}

/// `max-age` of Cache-Control (RFC 9111 section 5.2.2.1).
fn max_age(directives: &str) -> Option<Duration> {
    let value = directives.split(',').find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then_some(value)
    })?;
    value.trim_matches('"').parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_found_among_other_directives() {
        assert_eq!(max_age("public, Max-Age=300, must-revalidate"), Some(Duration::from_secs(300)));
        assert_eq!(max_age("max-age=\"60\""), Some(Duration::from_secs(60)));
        assert_eq!(max_age("s-maxage=60"), None);
        assert_eq!(max_age("max-age=soon"), None);
    }
}
