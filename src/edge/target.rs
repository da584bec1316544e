//! Which authority a request line and its Host fields name, and the target in origin-form (RFC 9112 section 3.2). Pure.
//!
//! The engine compares an absolute-form authority with Host byte by byte and refuses spellings of it, so this is asked
//! before the engine sees a head.

use super::path;
use http::{Method, Version};
use std::borrow::Cow;
use vestibule_plugin::Authority;

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
/// the engine refuses those that are not UTF-8; borrowed where it stays as it is. `tls` is that of the connection.
///
/// # Errors
///
/// Host first, as in the order of the rules. CONNECT is not looked at: its method is refused.
pub fn settle<'t, 'h>(
    method: &[u8],
    target: &'t [u8],
    version: Version,
    tls: bool,
    hosts: impl IntoIterator<Item = &'h [u8]>,
) -> Result<Cow<'t, [u8]>, BadTarget> {
    if method == Method::CONNECT.as_str().as_bytes() {
        return Ok(Cow::Borrowed(target));
    }
    let own = if tls { "https" } else { "http" };
    let mut hosts = hosts.into_iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(Authority::parse(host, own).map_err(|_| BadTarget::Host).map(|_| host)?),
        (None, None) if version == Version::HTTP_10 => None,
        _ => return Err(BadTarget::Host),
    };

    match target {
        [b'/', ..] => return Ok(path::encoded(target).map_or(Cow::Borrowed(target), Cow::Owned)),
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
        [b'/', ..] => path::encoded(local).map_or(Cow::Borrowed(local), Cow::Owned),
        // OPTIONS for the server as a whole has no path (RFC 9112 section 3.2.4).
        [] if method == Method::OPTIONS.as_str().as_bytes() => Cow::Borrowed(b"*"),
        // An empty path is `/` (RFC 9110 section 4.2.3).
        local => Cow::Owned([b"/", path::encoded(local).as_deref().unwrap_or(local)].concat()),
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

/// Brings the target at the start of `head`, a whole head of HTTP/1, into origin-form where it stands; the bytes that
/// are left. A request line that is none is left to the parser.
///
/// # Errors
///
/// As [`settle`], but for faults of Host with a target that needs no change.
pub fn settle_in_place(head: &mut [u8], tls: bool) -> Result<usize, BadTarget> {
    let length = head.len();
    let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(length);
    let line_end = start + memchr::memchr(b'\r', &head[start..]).unwrap_or(length - start);
    let mut words = head[start..line_end].split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Ok(length);
    };
    if target.is_empty() || matches!(target[0], b'/' | b'*') {
        return Ok(length);
    }
    let version = if version == b"HTTP/1.0" { Version::HTTP_10 } else { Version::HTTP_11 };

    let fields = head[line_end..].split(|byte| *byte == b'\n').filter_map(|line| {
        let (name, value) = line.split_at_checked(5)?;
        name.eq_ignore_ascii_case(b"host:").then(|| value.trim_ascii())
    });
    let settled = settle(method, target, version, tls, fields)?.into_owned();
    let (from, size) = (start + method.len() + 1, target.len());
    if settled.len() > size {
        // With many bytes to encode there is no room for it here.
        return Ok(length);
    }
    head[from..from + settled.len()].copy_from_slice(&settled);
    head.copy_within(from + size.., from + settled.len());
    Ok(length - (size - settled.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_head_is_changed_where_it_stands() {
        let settled = |head: &str| {
            let mut bytes = head.as_bytes().to_vec();
            let length = settle_in_place(&mut bytes, false)?;
            bytes.truncate(length);
            Ok::<_, BadTarget>(String::from_utf8(bytes).expect("text"))
        };
        assert_eq!(
            settled("\r\nGET http://A:80/x HTTP/1.1\r\nx: y\r\nHost: a\r\n\r\n").as_deref(),
            Ok("\r\nGET /x HTTP/1.1\r\nx: y\r\nHost: a\r\n\r\n")
        );
        for same in
            ["GET / HTTP/1.1\r\n\r\n", "GET\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n", ""]
        {
            assert_eq!(settled(same).as_deref(), Ok(same));
        }
        assert_eq!(settled("GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n"), Err(BadTarget::OtherAuthority));
        assert_eq!(settled("GET http://a/ HTTP/1.1\r\n\r\n"), Err(BadTarget::Host));
        assert_eq!(settled("GET http://a HTTP/1.0\r\n\r\n").as_deref(), Ok("GET / HTTP/1.0\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn no_head_panics_or_grows(head in "(GET|OPTIONS) [!-~]{0,20}( HTTP/1.[01])?\r\n(host: [!-~]{0,9}\r\n){0,2}\r\n", tls in any::<bool>()) {
            let mut bytes = head.into_bytes();
            let length = bytes.len();
            if let Ok(left) = settle_in_place(&mut bytes, tls) {
                prop_assert!(left <= length);
            }
        }

        #[test]
        fn an_origin_form_is_left_as_it_is(target in "/[!-~]{0,20}") {
            prop_assert_eq!(settled("GET", &target, &["a"]), Ok(target));
        }
    }
}
