//! Request fields in which load balancers say where a request came from: which of them may pass, and from whom. Pure.
//!
//! Applications and their frameworks believe many spellings, and refuse or obey a request when two of them differ, so
//! a client's copy of any of them must not arrive beside what the proxy says.

use super::forwarded::address_of;
use std::net::IpAddr;

/// What a field says about a request's way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Always written anew.
    Rebuilt,
    /// The client's address.
    Address,
    /// The scheme that the client used.
    Scheme,
    /// Something that only the trusted peer knows.
    Other,
}

impl Forwarding {
    /// Of the field `name`, in lower case.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "forwarded" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-real-ip" => Self::Rebuilt,
            "client-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "fastly-client-ip"
            | "true-client-ip"
            | "cf-connecting-ip"
            | "x-original-for"
            | "x-original-forwarded-for" => Self::Address,
            "front-end-https"
            | "x-url-scheme"
            | "x-forwarded-ssl"
            | "x-forwarded-scheme"
            | "x-forwarded-protocol"
            | "x-original-proto"
            | "x-original-forwarded-proto" => Self::Scheme,
            "x-original-url" | "x-original-uri" | "x-original-host" | "x-original-method" | "x-rewrite-url" => {
                Self::Other
            }
            _ if name.starts_with("x-forwarded-") || name.starts_with("x-original-forwarded-") => Self::Other,
            _ => return None,
        })
    }

    /// Whether a name that begins with this byte may be one.
    pub fn may_begin_with(byte: u8) -> bool {
        matches!(byte, b'c' | b'f' | b't' | b'x')
    }

    /// Whether a line that a trusted peer sent agrees with what was found out about the request.
    pub fn agrees(self, value: &[u8], client: IpAddr, scheme: &str) -> bool {
        match self {
            Self::Rebuilt => false,
            Self::Address => std::str::from_utf8(value).ok().and_then(|text| address_of(text.trim())) == Some(client),
            Self::Scheme => scheme_of(value) == Some(scheme),
            Self::Other => true,
        }
    }
}

/// The scheme that a value of one of the scheme fields means.
fn scheme_of(value: &[u8]) -> Option<&'static str> {
    let is = |known: &[&str]| known.iter().any(|known| value.trim_ascii().eq_ignore_ascii_case(known.as_bytes()));
    if is(&["https", "on", "ssl", "1", "true"]) {
        Some("https")
    } else if is(&["http", "off", "0", "false"]) {
        Some("http")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_known_and_begins_with_a_known_letter() {
        for name in [
            "x-forwarded-for",
            "x-forwarded-ssl",
            "x-forwarded-user",
            "x-url-scheme",
            "front-end-https",
            "client-ip",
            "x-client-ip",
            "x-cluster-client-ip",
            "fastly-client-ip",
            "x-original-url",
            "x-original-uri",
            "x-original-host",
            "x-original-method",
            "x-original-for",
            "x-original-proto",
            "x-original-forwarded-host",
            "x-rewrite-url",
            "true-client-ip",
            "cf-connecting-ip",
            "x-real-ip",
            "forwarded",
        ] {
            assert!(Forwarding::of(name).is_some() && Forwarding::may_begin_with(name.as_bytes()[0]), "{name}");
        }
        for name in ["x-forwarded", "x-request-id", "x-original", "from", "x-real-ips", "te", "cookie"] {
            assert_eq!(Forwarding::of(name), None, "{name}");
        }
    }

    #[test]
    fn an_alias_passes_when_it_says_the_same() {
        let agrees = |name: &str, value: &str| {
            let client = "203.0.113.7".parse().expect("an address");
            Forwarding::of(name).expect(name).agrees(value.as_bytes(), client, "https")
        };
        for (name, value) in [
            ("true-client-ip", "203.0.113.7"),
            ("client-ip", "::ffff:203.0.113.7"),
            ("x-original-for", "203.0.113.7:4711"),
            ("front-end-https", "On"),
            ("x-url-scheme", "https"),
            ("x-forwarded-protocol", "ssl"),
            ("x-forwarded-port", "anything"),
            ("x-original-url", "/x"),
        ] {
            assert!(agrees(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("true-client-ip", "203.0.113.8"),
            ("true-client-ip", "203.0.113.7, 203.0.113.7"),
            ("client-ip", ""),
            ("front-end-https", "off"),
            ("x-url-scheme", "http"),
            ("x-url-scheme", "https, http"),
            ("x-real-ip", "203.0.113.7"),
        ] {
            assert!(!agrees(name, value), "{name}: {value}");
        }
    }
}
