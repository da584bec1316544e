//! Which authority a request line and its Host fields name, and the target in origin-form (RFC 9112 section 3.2). Pure.
//!
//! Spellings of one authority are one: an absolute-form target goes with any of them in Host.

use http::{Method, Version};
use std::borrow::Cow;
use vestibule_plugin::Authority;

/// Longest target that `http::Uri` holds, which HTTP/2 needs.
pub const MAX_TARGET: usize = u16::MAX as usize - 1;

/// The target with the bytes percent-encoded that HTTP/2 cannot carry; `None` when there are none. Applications
/// decode them, and encoded is how browsers send most of them.
pub fn encoded(target: &[u8]) -> Option<Vec<u8>> {
    // No early exit, so that it runs sixteen bytes at a time.
    if !target.iter().fold(false, |found, byte| found | needs_encoding(*byte)) {
        return None;
    }
    let mut encoded = Vec::with_capacity(target.len() + 16);
    for &byte in target {
        if needs_encoding(byte) {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            encoded.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 0xf)]);
        } else {
            encoded.push(byte);
        }
    }
    Some(encoded)
}

fn needs_encoding(byte: u8) -> bool {
    (byte == b'"') | (byte == b'<') | (byte == b'>') | (byte == b'`') | (byte >= 0x80)
}

/// What is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// No Host, two, or one that is not an authority.
    #[error("send exactly one Host field, a name or an address")]
    Host,
    /// The target names another authority than Host.
    #[error("the target names another authority than Host")]
    OtherAuthority,
    /// Not a path, nor an `http` or `https` URL.
    #[error("the target is neither a path nor an http or https URL")]
    Form,
    /// `*` with a method that has no use for it.
    #[error("`*` is a target for OPTIONS only")]
    Asterisk,
}

/// Checks the Host fields of a head of HTTP/1 and brings its target into origin-form, bytes from 0x80 percent-encoded, since
/// HTTP/2 cannot carry those that are not UTF-8; borrowed where it stays as it is. `tls` is that of the connection.
///
/// # Errors
///
/// Host first, as in the order of the rules. The target of CONNECT is not looked at: its method is refused.
pub fn settle<'t, 'h>(
    method: &[u8],
    target: &'t [u8],
    version: Version,
    tls: bool,
    hosts: impl IntoIterator<Item = &'h [u8]>,
) -> Result<Cow<'t, [u8]>, BadTarget> {
    let own = if tls { "https" } else { "http" };
    let mut hosts = hosts.into_iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(Authority::parse(host, own).map_err(|_| BadTarget::Host).map(|_| host)?),
        (None, None) if version == Version::HTTP_10 => None,
        _ => return Err(BadTarget::Host),
    };
    if method == Method::CONNECT.as_str().as_bytes() {
        return Ok(Cow::Borrowed(target));
    }

    match target {
        [b'/', ..] => return Ok(encoded(target).map_or(Cow::Borrowed(target), Cow::Owned)),
        b"*" if method == Method::OPTIONS.as_str().as_bytes() => return Ok(Cow::Borrowed(target)),
        b"*" => return Err(BadTarget::Asterisk),
        _ => {}
    }

    let (scheme, rest) = split_scheme(target).ok_or(BadTarget::Form)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, local) = rest.split_at(end);
    let named = Authority::parse(authority, scheme).map_err(|_| BadTarget::OtherAuthority)?;
    // A Host without a port has that of the target's scheme, as the target itself has.
    if host.is_some_and(|host| Authority::parse(host, scheme).as_ref() != Ok(&named)) {
        return Err(BadTarget::OtherAuthority);
    }

    Ok(match local {
        [b'/', ..] => encoded(local).map_or(Cow::Borrowed(local), Cow::Owned),
        // OPTIONS for the server as a whole has no path (RFC 9112 section 3.2.4).
        [] if method == Method::OPTIONS.as_str().as_bytes() => Cow::Borrowed(b"*"),
        // An empty path is `/` (RFC 9110 section 4.2.3).
        local => Cow::Owned([b"/", encoded(local).as_deref().unwrap_or(local)].concat()),
    })
}

/// The same for HTTP/2 (RFC 9113 section 8.3.1): `pseudo` is `:authority`, `hosts` are lines of Host.
///
/// # Errors
///
/// On an authority that is none, on two that differ, and on a target that is neither a path nor `*` with OPTIONS.
pub fn settle_http2<'h>(
    method: &Method,
    target: &str,
    scheme: &str,
    pseudo: Option<&[u8]>,
    hosts: impl IntoIterator<Item = &'h [u8]>,
) -> Result<(), BadTarget> {
    if *method == Method::CONNECT {
        return Ok(());
    }
    let mut hosts = hosts.into_iter();
    let authority = match (pseudo, hosts.next(), hosts.next()) {
        (Some(one), None, _) | (None, Some(one), None) => Authority::parse(one, scheme),
        (Some(one), Some(other), None) => match (Authority::parse(one, scheme), Authority::parse(other, scheme)) {
            (Ok(one), Ok(other)) if one != other => return Err(BadTarget::Host),
            (Ok(one), Ok(_)) => Ok(one),
            (Err(bad), _) | (_, Err(bad)) => Err(bad),
        },
        _ => return Err(BadTarget::Host),
    };
    authority.map_err(|_| BadTarget::Host)?;

    match target.as_bytes() {
        [b'/', ..] => Ok(()),
        b"*" if *method == Method::OPTIONS => Ok(()),
        b"*" => Err(BadTarget::Asterisk),
        _ => Err(BadTarget::Form),
    }
}

/// `http` or `https`, whatever its case, and what stands behind `://`.
fn split_scheme(target: &[u8]) -> Option<(&'static str, &[u8])> {
    let scheme = |name: &'static str| {
        let (start, rest) = target.split_at_checked(name.len())?;
        let rest = rest.strip_prefix(b"://")?;
        start.eq_ignore_ascii_case(name.as_bytes()).then_some((name, rest))
    };
    scheme("http").or_else(|| scheme("https"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::uri::PathAndQuery;
    use proptest::prelude::*;

    fn settled(method: &str, target: &str, hosts: &[&str]) -> Result<String, BadTarget> {
        let hosts = hosts.iter().map(|host| host.as_bytes());
        let settled = settle(method.as_bytes(), target.as_bytes(), Version::HTTP_11, false, hosts)?;
        Ok(String::from_utf8(settled.into_owned()).expect("text"))
    }

    /// DI-18, SEC-01: an absolute target names the Host in any spelling.
    #[test]
    fn an_absolute_target_is_brought_into_origin_form() {
        for (target, host, expected) in [
            ("http://A.test:80/", "a.test", "/"),
            ("HTTP://a.test/x?y", "A.TEST:80", "/x?y"),
            ("http://a.test?x=1", "a.test:", "/?x=1"),
            ("http://a.test", "a.test", "/"),
            ("https://a.test/", "a.test:443", "/"),
            ("http://[::1]/x", "[0:0:0:0:0:0:0:1]:80", "/x"),
            ("/http://b/", "a.test", "/http://b/"),
            ("/é?ü", "a.test", "/%C3%A9?%C3%BC"),
            ("http://a.test/é", "a.test", "/%C3%A9"),
            ("http://a.test?é", "a.test", "/?%C3%A9"),
        ] {
            assert_eq!(settled("GET", target, &[host]).as_deref(), Ok(expected), "{target} {host}");
        }
        assert_eq!(settled("OPTIONS", "http://a", &["a"]).as_deref(), Ok("*"));
        assert_eq!(settled("OPTIONS", "*", &["a"]).as_deref(), Ok("*"));
        assert_eq!(settled("CONNECT", "b:80", &["a"]).as_deref(), Ok("b:80"));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for (target, hosts, why) in [
            ("/", &[][..], BadTarget::Host),
            ("/", &["a", "a"], BadTarget::Host),
            ("/", &[""], BadTarget::Host),
            ("/", &["a@b"], BadTarget::Host),
            ("ftp://a/", &["a b"], BadTarget::Host),
            ("http://b/", &["a"], BadTarget::OtherAuthority),
            ("http://a:8080/", &["a"], BadTarget::OtherAuthority),
            ("https://a:80/", &["a"], BadTarget::OtherAuthority),
            ("http://u@a/", &["a"], BadTarget::OtherAuthority),
            ("http:///x", &["a"], BadTarget::OtherAuthority),
            ("http://a\\b/", &["a"], BadTarget::OtherAuthority),
            ("ftp://a/", &["a"], BadTarget::Form),
            ("http:/a", &["a"], BadTarget::Form),
            ("http:a", &["a"], BadTarget::Form),
            ("x", &["a"], BadTarget::Form),
            ("", &["a"], BadTarget::Form),
            ("*", &["a"], BadTarget::Asterisk),
        ] {
            assert_eq!(settled("GET", target, hosts), Err(why), "{target} {hosts:?}");
        }
    }

    #[test]
    fn every_byte_that_may_stand_in_a_target_is_carried_as_it_is_or_encoded() {
        for byte in (0x21..=0xff).filter(|byte| !matches!(byte, b'#' | 0x7f)) {
            for place in ["/a", "/a?b"] {
                let target = [place.as_bytes(), &[byte], b"c"].concat();
                let carried = encoded(&target).unwrap_or_else(|| target.clone());
                let parsed = PathAndQuery::from_maybe_shared(carried.clone()).expect("a target");
                assert_eq!(parsed.as_str().as_bytes(), carried, "{byte:#x}");
                assert!(carried == target || carried == format!("{place}%{byte:02X}c").as_bytes());
            }
        }
    }

    proptest! {
        #[test]
        fn an_origin_form_is_left_as_it_is(target in "/[!#-;=?-_a-~]{0,20}") {
            prop_assert_eq!(settled("GET", &target, &["a"]), Ok(target));
        }
    }
}
