//! What the engine's text of a target can and cannot carry. Pure.

use std::borrow::Cow;

/// Longest target the engine's type for it holds.
pub const MAX_TARGET: usize = u16::MAX as usize - 1;

/// The target with the bytes percent-encoded that the engine cannot carry; `None` when there are none. Applications
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

/// What is wrong with a target and the Host fields.
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

/// Checks Host and brings the target into origin-form; borrowed where it stays as it is.
pub fn settle<'t, 'h>(
    method: &[u8],
    target: &'t [u8],
    version: http::Version,
    hosts: impl IntoIterator<Item = &'h [u8]>,
) -> Result<Cow<'t, [u8]>, BadTarget> {
    let mut hosts = hosts.into_iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) if crate::edge::rules::is_host(host) => Some(host),
        (None, None) if version == http::Version::HTTP_10 => None,
        _ => return Err(BadTarget::Host),
    };
    match target {
        [b'/', ..] => return Ok(Cow::Borrowed(target)),
        b"*" if method == b"OPTIONS" => return Ok(Cow::Borrowed(target)),
        b"*" => return Err(BadTarget::Asterisk),
        _ => {}
    }

    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let rest = &target[scheme.ok_or(BadTarget::Form)?.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !crate::edge::rules::is_host(authority) || host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
        return Err(BadTarget::OtherAuthority);
    }
    Ok(match path {
        [b'/', ..] => Cow::Borrowed(path),
        // An empty path is `/` (RFC 9110 section 4.2.3), or with OPTIONS `*` (RFC 9112 section 3.2.4).
        [] if method == b"OPTIONS" => Cow::Borrowed(b"*"),
        path => Cow::Owned([b"/", path].concat()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::uri::PathAndQuery;

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

    #[test]
    fn an_absolute_target_is_brought_into_origin_form() {
        let settled = |method: &str, target: &'static str| {
            settle(method.as_bytes(), target.as_bytes(), http::Version::HTTP_11, [&b"a"[..]])
        };
        for (target, expected) in
            [("http://A/x?y", "/x?y"), ("HTTP://a?x", "/?x"), ("https://a", "/"), ("/http://b", "/http://b")]
        {
            assert_eq!(settled("GET", target).as_deref(), Ok(expected.as_bytes()), "{target}");
        }
        assert_eq!(settled("OPTIONS", "http://a").as_deref(), Ok(&b"*"[..]));
        assert_eq!(settled("GET", "http://b/"), Err(BadTarget::OtherAuthority));
        assert_eq!(settled("GET", "ftp://a/"), Err(BadTarget::Form));
        assert_eq!(settled("GET", "*"), Err(BadTarget::Asterisk));
        assert_eq!(settle(b"GET", b"/", http::Version::HTTP_11, []), Err(BadTarget::Host));
    }
}
