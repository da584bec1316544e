//! Authorities: the host and port that a request is for (RFC 3986 section 3.2, RFC 9110 section 4.2).
//!
//! One type for all comparisons, so that two spellings of one authority are never two routes, locks or fingerprints:
//! letters are folded, an empty port and the scheme's default port are no port.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// Longest name of a host (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

/// A host and, unless it is the scheme's own, a port. Equal when both are, whatever their spelling was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority<'a> {
    /// In lower case; an IPv6 address in brackets, as RFC 5952 writes it.
    host: Cow<'a, str>,
    port: Option<u16>,
}

/// Why a text is not an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthority {
    /// Nothing before the port, or nothing at all.
    #[error("it names no host")]
    NoHost,
    /// A name with a byte that none has, user information, or brackets around something else than an IPv6 address.
    #[error("it is neither a name nor an address")]
    BadHost,
    /// Not a number of 16 bits.
    #[error("its port is not a number up to 65535")]
    BadPort,
}

impl<'a> Authority<'a> {
    /// Reads `name[:port]`, `v4[:port]` or `[v6][:port]`; the port may be empty. `scheme` is `http` or `https`.
    ///
    /// # Errors
    ///
    /// On anything else: user information, white space, a list, a path.
    pub fn parse(text: &'a [u8], scheme: &str) -> Result<Self, BadAuthority> {
        let (host, port) = match text.strip_prefix(b"[") {
            Some(rest) => {
                let end = rest.iter().position(|byte| *byte == b']').ok_or(BadAuthority::BadHost)?;
                (v6(&rest[..end])?, &rest[end + 1..])
            }
            None => {
                let (name, port) = text.split_at(text.iter().position(|byte| *byte == b':').unwrap_or(text.len()));
                (folded(name)?, port)
            }
        };

        let default = if scheme == "https" { 443 } else { 80 };
        let port = match port {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(number(digits)?).filter(|port| *port != default),
            _ => return Err(BadAuthority::BadPort),
        };
        Ok(Self { host, port })
    }

    /// The host in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, unless it is the default of the scheme.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same, independent of the text it was read from.
    pub fn into_owned(self) -> Authority<'static> {
        Authority { host: Cow::Owned(self.host.into_owned()), port: self.port }
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Whether `text` is an authority, whatever the scheme.
pub fn is_authority(text: &[u8]) -> bool {
    Authority::parse(text, "http").is_ok()
}

/// Bytes of a name: RFC 3986 section 3.2.2 without escapes, which would be a second spelling of a name, and without most
/// sub-delims: `,` begins another member where fields are joined, `;` and `=` mean something in Forwarded, and no name has them.
static IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'!');
        byte += 1;
    }
    table
};

fn folded(name: &[u8]) -> Result<Cow<'_, str>, BadAuthority> {
    if name.is_empty() {
        return Err(BadAuthority::NoHost);
    }
    if name.len() > MAX_NAME {
        return Err(BadAuthority::BadHost);
    }

    let (mut begins_label, mut has_capital) = (true, false);
    for &byte in name {
        // An empty label has no name (RFC 1034 section 3.1), and servers differ on whether they take one. A dot at the end
        // is the root's.
        if !IN_NAME[usize::from(byte)] || begins_label && byte == b'.' {
            return Err(BadAuthority::BadHost);
        }
        begins_label = byte == b'.';
        has_capital |= byte.is_ascii_uppercase();
    }

    let text = std::str::from_utf8(name).map_err(|_| BadAuthority::BadHost)?;
    Ok(if has_capital { text.to_ascii_lowercase().into() } else { text.into() })
}

fn v6(inside: &[u8]) -> Result<Cow<'static, str>, BadAuthority> {
    let text = std::str::from_utf8(inside).map_err(|_| BadAuthority::BadHost)?;
    let address: Ipv6Addr = text.parse().map_err(|_| BadAuthority::BadHost)?;
    Ok(Cow::Owned(format!("[{address}]")))
}

fn number(digits: &[u8]) -> Result<u16, BadAuthority> {
    // `parse` would take a sign.
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or(BadAuthority::BadPort)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str, scheme: &str) -> Result<String, BadAuthority> {
        Authority::parse(text.as_bytes(), scheme).map(|authority| authority.to_string())
    }

    /// DI-18: spellings of one authority are one.
    #[test]
    fn letters_default_ports_and_empty_ports_make_no_difference() {
        for (text, scheme, expected) in [
            ("A.Test", "http", "a.test"),
            ("a.test:", "http", "a.test"),
            ("a.test:80", "http", "a.test"),
            ("a.test:0080", "http", "a.test"),
            ("a.test:443", "http", "a.test:443"),
            ("a.test:443", "https", "a.test"),
            ("a.test:80", "https", "a.test:80"),
            ("127.0.0.1:8080", "http", "127.0.0.1:8080"),
            ("[::1]:80", "http", "[::1]"),
            ("[0:0::0001]", "http", "[::1]"),
            ("[2001:DB8::1]:8080", "http", "[2001:db8::1]:8080"),
            ("a_b.example.", "http", "a_b.example."),
        ] {
            assert_eq!(canonical(text, scheme).as_deref(), Ok(expected), "{text} {scheme}");
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        for (text, why) in [
            ("", BadAuthority::NoHost),
            (":80", BadAuthority::NoHost),
            ("a@b", BadAuthority::BadHost),
            ("a b", BadAuthority::BadHost),
            ("a,b", BadAuthority::BadHost),
            ("a..b", BadAuthority::BadHost),
            (".a", BadAuthority::BadHost),
            (".", BadAuthority::BadHost),
            ("a..:80", BadAuthority::BadHost),
            ("a/b", BadAuthority::BadHost),
            ("a\\b", BadAuthority::BadHost),
            ("%", BadAuthority::BadHost),
            ("a%zz", BadAuthority::BadHost),
            ("%61.test", BadAuthority::BadHost),
            ("[::1", BadAuthority::BadHost),
            ("[x]", BadAuthority::BadHost),
            ("[fe80::1%25eth0]", BadAuthority::BadHost),
            ("::1", BadAuthority::NoHost),
            ("a:b", BadAuthority::BadPort),
            ("a:+80", BadAuthority::BadPort),
            ("a:65536", BadAuthority::BadPort),
            ("a:1:2", BadAuthority::BadPort),
            ("[::1]80", BadAuthority::BadPort),
        ] {
            assert_eq!(canonical(text, "http"), Err(why), "{text}");
        }
        assert!(!is_authority(&[b'a'; MAX_NAME + 1]));
        assert!(!is_authority(b"caf\xe9"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_the_canonical_form_is_stable(text in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(authority) = Authority::parse(&text, "http") {
                let once = authority.to_string();
                prop_assert_eq!(canonical(&once, "http"), Ok(once.clone()));
            }
        }

        #[test]
        fn likely_texts_are_stable(text in "[\\[]?[a-fA-F0-9:.]{0,12}[\\]]?:?[0-9]{0,6}", secure in any::<bool>()) {
            let scheme = if secure { "https" } else { "http" };
            if let Ok(once) = canonical(&text, scheme) {
                prop_assert_eq!(canonical(&once, scheme), Ok(once.clone()));
                prop_assert_eq!(canonical(&text.to_ascii_uppercase(), scheme), Ok(once));
            }
        }
    }
}
