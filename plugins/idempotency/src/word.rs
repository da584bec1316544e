//! The application's word on its own reply, in a field that never leaves the proxy.

use http::HeaderName;
use std::time::Duration;
use vestibule_plugin::{Fields, Repeated};

/// The field.
pub(crate) const FIELD: HeaderName = HeaderName::from_static("vestibule-idempotency");

/// Most seconds it may ask for: 30 days.
const MAX_TTL_S: u32 = 2_592_000;

/// What it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// Nothing.
    None,
    /// `no-store`: as if this request had not come.
    NoStore,
    /// `ttl=N`: how long this reply is kept.
    Ttl(Duration),
    /// Something else, which counts as nothing.
    Malformed,
}

impl Word {
    /// Reads it off a reply.
    pub(crate) fn read(fields: &Fields) -> Self {
        match fields.only(&FIELD) {
            Ok(None) => Self::None,
            Ok(Some(line)) => Self::parse(line.trim_ascii()).unwrap_or(Self::Malformed),
            Err(Repeated) => Self::Malformed,
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        if word == b"no-store" {
            return Some(Self::NoStore);
        }
        let digits = word.strip_prefix(b"ttl=")?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let seconds: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (1..=MAX_TTL_S).contains(&seconds).then(|| Self::Ttl(Duration::from_secs(seconds.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_plugin::Fields;

    fn word(lines: &[&str]) -> Word {
        let mut fields = Fields::new();
        for line in lines {
            fields.append(FIELD, http::HeaderValue::from_str(line).expect("a value"));
        }
        Word::read(&fields)
    }

    #[test]
    fn it_says_one_of_two_things() {
        assert_eq!(word(&[]), Word::None);
        assert_eq!(word(&["no-store"]), Word::NoStore);
        assert_eq!(word(&["ttl=1"]), Word::Ttl(Duration::from_secs(1)));
        assert_eq!(word(&["ttl=2592000"]), Word::Ttl(Duration::from_secs(2_592_000)));
    }

    #[test]
    fn anything_else_counts_as_nothing() {
        for line in ["", "ttl=", "ttl=0", "ttl=2592001", "ttl=-1", "ttl=+1", "ttl=1s", "NO-STORE", "no-store, ttl=1"] {
            assert_eq!(word(&[line]), Word::Malformed, "{line}");
        }
        assert_eq!(word(&["no-store", "no-store"]), Word::Malformed);
    }
}
