//! Who may talk to the admin listener. Pure.

use super::pages::Page;
use crate::config::settings::SecretText;
use crate::downstream::Head;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;
use vestibule_plugin::{Authority, Fields};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The rules of the admin listener.
pub struct Gate {
    address: SocketAddr,
    /// The token it started with.
    first: Option<SecretText>,
}

impl Gate {
    /// For a listener on `address` that starts with this token.
    pub fn new(address: SocketAddr, first: Option<SecretText>) -> Self {
        Self { address, first }
    }

    /// Refuses a request, or lets it through with `None`. `token` is that of the configuration that serves.
    pub fn judge(&self, path: &str, head: &Head, token: Option<&SecretText>) -> Option<Page> {
        if comes_from_a_page(&head.fields) && !matches!(head.method, Method::GET | Method::HEAD) {
            return Some(Page::refusal(StatusCode::FORBIDDEN, "a web page may not do this"));
        }
        // The address changes at a restart only: a configuration with another one and without a token must not open
        // a listener that others can reach.
        let must_have = if self.address.ip().is_loopback() { None } else { self.first.as_ref() };
        match token.or(must_have) {
            // Whoever asks by the address of the machine, as a probe does, asks a listener that has a token.
            Some(_) if matches!(path, "/livez" | "/readyz") => None,
            Some(token) if !carries(&head.fields, token) => {
                tracing::warn!(target: "admin", "a request without the admin token was refused");
                let refusal = Page::refusal(StatusCode::UNAUTHORIZED, "send `authorization: Bearer <admin token>`");
                Some(
                    refusal
                        .field(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"vestibule-admin\"")),
                )
            }
            // Without a token, a page that points its own name at a loopback address must not get in.
            None if !self.is_own_name(&head.fields) => {
                Some(Page::refusal(StatusCode::FORBIDDEN, "address this listener as localhost or by its address"))
            }
            _ => None,
        }
    }

    fn is_own_name(&self, fields: &Fields) -> bool {
        let mut lines = fields.lines(header::HOST);
        let (Some(host), None) = (lines.next(), lines.next()) else { return false };
        let Ok(sent) = Authority::parse(host, "http") else { return false };
        let own = self.address.to_string();
        if Authority::parse(own.as_bytes(), "http").as_ref() == Ok(&sent) {
            return true;
        }
        let name = sent.host();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        name == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

fn comes_from_a_page(fields: &Fields) -> bool {
    fields.has(header::ORIGIN) || fields.lines(SEC_FETCH_SITE).any(|site| !matches!(site, b"none" | b"same-origin"))
}

fn carries(fields: &Fields, token: &SecretText) -> bool {
    let sent = fields.get(header::AUTHORIZATION).unwrap_or_default();
    let sent = match sent.split_at_checked(7) {
        Some((scheme, sent)) if scheme.eq_ignore_ascii_case(b"Bearer ") => sent,
        _ => b"",
    };
    // The length of the token is not secret; its bytes are.
    sent.ct_eq(token.0.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(token: Option<&str>, method: &str, path: &str, fields: &[(&'static str, &str)]) -> Option<u16> {
        let mut head = Head::new(method.parse().expect("a method"), path.to_owned());
        for (name, value) in fields {
            head.fields.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        let token = token.map(|t| SecretText(t.to_owned()));
        let gate = Gate::new("127.0.0.1:9901".parse().expect("address"), None);
        gate.judge(path, &head, token.as_ref()).map(|page| page.status.as_u16())
    }

    #[test]
    fn a_listener_that_others_reach_never_goes_without_a_token() {
        let head = Head::new(Method::GET, "/status");
        let judge = |address: &str, first: Option<&str>| {
            let first = first.map(|t| SecretText(t.to_owned()));
            Gate::new(address.parse().expect("address"), first).judge("/status", &head, None).map(|p| p.status.as_u16())
        };
        assert_eq!(judge("192.0.2.1:9901", Some("s3cret")), Some(401));
        assert_eq!(judge("127.0.0.1:9901", Some("s3cret")), Some(403), "without a Host of its own");
    }

    /// SEC-20: neither a rebound name nor a page gets in.
    #[test]
    fn names_and_pages_are_checked() {
        assert_eq!(judge(None, "GET", "/status", &[("host", "evil.test")]), Some(403));
        for host in ["localhost:9901", "127.0.0.1:9901", "[::1]:9901", "LOCALHOST", "localhost:", "[0:0::1]"] {
            assert_eq!(judge(None, "GET", "/status", &[("host", host)]), None, "{host}");
        }
        assert_eq!(judge(None, "POST", "/reload", &[("host", "localhost"), ("origin", "http://localhost")]), Some(403));
        assert_eq!(
            judge(None, "POST", "/reload", &[("host", "localhost"), ("sec-fetch-site", "cross-site")]),
            Some(403)
        );
        assert_eq!(judge(None, "POST", "/reload", &[("host", "localhost"), ("sec-fetch-site", "none")]), None);
        let sites = [("host", "localhost"), ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
        assert_eq!(judge(None, "POST", "/reload", &sites), Some(403));
        for host in ["localhost:evil", "localhost:1:2", "[::1]evil", "[::1]:x", "[::1", "localhost.evil.test"] {
            assert_eq!(judge(None, "GET", "/status", &[("host", host)]), Some(403), "{host}");
        }
        assert_eq!(judge(None, "GET", "/status", &[("host", "localhost"), ("host", "evil.test")]), Some(403));
        for probe in ["/livez", "/readyz"] {
            assert_eq!(judge(None, "GET", probe, &[("host", "evil.test")]), Some(403), "{probe}");
            assert_eq!(judge(Some("s3cret"), "GET", probe, &[("host", "10.0.0.7:9901")]), None, "{probe}");
        }
    }

    #[test]
    fn a_token_is_needed_when_there_is_one() {
        let with = |value| judge(Some("s3cret"), "GET", "/status", &[("host", "any"), ("authorization", value)]);
        assert_eq!(with("Bearer s3cret"), None);
        assert_eq!(with("bearer s3cret"), None);
        for wrong in ["Bearer s3cre", "Bearer s3cret ", "Basic s3cret", "s3cret", ""] {
            assert_eq!(with(wrong), Some(401), "{wrong}");
        }
        assert_eq!(judge(Some("s3cret"), "GET", "/readyz", &[]), None);
    }
}
