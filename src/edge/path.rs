//! Which path a request means, read three ways. Pure.
//!
//! A proxy and the application behind it may disagree on dots, slashes and percent signs. So the path is read as sent,
//! normalised, and decoded as far as any application might; only when all readings fall on the same route is the
//! request let through.

use std::borrow::Cow;

/// Most times a path is decoded before it counts as settled.
const MAX_DECODINGS: usize = 3;

/// The readings of one path.
#[derive(Debug, PartialEq, Eq)]
pub struct Readings<'a> {
    /// As sent.
    pub sent: &'a str,
    /// Unreserved characters decoded, hex in upper case, `//` merged, dot segments resolved.
    pub normal: Cow<'a, str>,
    /// Decoded until it no longer changes, `\` as `/`, `;…` cut from each segment, then normalised. Bytes that are
    /// not UTF-8 are shown as the replacement character: no route holds it.
    pub decoded: Cow<'a, str>,
}

/// The path cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A `%` without two hex digits behind it.
    #[error("a `%` in the path is not followed by two hexadecimal digits")]
    BadEscape,
    /// `%00`.
    #[error("the path contains `%00`")]
    Nul,
}

/// Reads `path`, the target before `?`.
pub fn read(path: &str) -> Result<Readings<'_>, Unreadable> {
    if is_plain(path) {
        return Ok(Readings { sent: path, normal: Cow::Borrowed(path), decoded: Cow::Borrowed(path) });
    }
    check_escapes(path)?;
    let normal = normalise(path);
    let decoded = decode_fully(path);
    Ok(Readings { sent: path, normal: Cow::Owned(normal), decoded: Cow::Owned(decoded) })
}

/// The first thing in a path that others read as something else, and where it stands, counted in bytes from 1.
pub fn oddity(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let at = (0..bytes.len()).find(|&at| match &bytes[at..] {
        [b'\\' | b';', ..] | [b'/', b'/', ..] => true,
        [b'/', b'.', rest @ ..] => matches!(rest, [] | [b'.'] | [b'/', ..] | [b'.', b'/', ..]),
        // An escape of what has a meaning in a path, or of what needs none.
        [b'%', high, low, ..] => {
            hex_value(*high, *low).is_some_and(|byte| is_unreserved(byte) || matches!(byte, b'/' | b'\\' | b';' | b'%'))
        }
        _ => false,
    })?;
    let shown = match bytes[at] {
        b'%' => 3,
        b'/' => 2,
        _ => 1,
    };
    Some(format!("`{}` at byte {}", &path[at..at + shown], at + 1))
}

/// The normalised path where it differs from `path`; for the log, so what cannot be read stays as it is.
pub fn normal(path: &str) -> Option<String> {
    if is_plain(path) {
        return None;
    }
    Some(normalise(path)).filter(|normal| normal != path)
}

/// Whether every reading is the path itself: nothing to decode, merge, resolve or cut.
fn is_plain(path: &str) -> bool {
    let mut previous = 0;
    for &byte in path.as_bytes() {
        match byte {
            b'%' | b'\\' | b';' => return false,
            b'/' | b'.' if previous == b'/' => return false,
            // Other bytes read the same everywhere; those from 0x80 were encoded before.
            _ => previous = byte,
        }
    }
    true
}

fn check_escapes(path: &str) -> Result<(), Unreadable> {
    let bytes = path.as_bytes();
    for (at, _) in path.match_indices('%') {
        match bytes.get(at + 1..at + 3) {
            Some(b"00") => return Err(Unreadable::Nul),
            Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(Unreadable::BadEscape),
        }
    }
    Ok(())
}

fn hex_value(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Unreserved characters decoded, other escapes in upper case, then slashes merged and dots resolved.
fn normalise(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut text = String::with_capacity(path.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes.get(at..at + 3) {
            Some(&[b'%', high, low]) if hex_value(high, low).is_some() => {
                match hex_value(high, low) {
                    Some(byte) if is_unreserved(byte) => text.push(char::from(byte)),
                    _ => {
                        text.push('%');
                        text.push(char::from(high.to_ascii_uppercase()));
                        text.push(char::from(low.to_ascii_uppercase()));
                    }
                }
                at += 3;
            }
            _ => {
                let end = (at + 1..=bytes.len()).find(|end| path.is_char_boundary(*end)).unwrap_or(bytes.len());
                text.push_str(&path[at..end]);
                at = end;
            }
        }
    }
    resolve(&text)
}

/// Repeated slashes merged and dot segments removed, never above the root.
fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_open = false;
    for segment in path.split('/').filter(|s| !s.is_empty()) {
        ends_open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in &kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if kept.is_empty() || path.ends_with('/') || ends_open {
        resolved.push('/');
    }
    resolved
}

fn decode_fully(path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..MAX_DECODINGS {
        let decoded = decode_once(&bytes);
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut cut = String::with_capacity(text.len());
    for (n, segment) in text.split('/').enumerate() {
        if n > 0 {
            cut.push('/');
        }
        cut.push_str(segment.split(';').next().unwrap_or(segment));
    }
    normalise(&cut)
}

fn decode_once(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let Some(&[b'%', high, low]) = bytes.get(at..at + 3)
            && let Some(byte) = hex_value(high, low)
        {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn readings(path: &str) -> (String, String) {
        let readings = read(path).expect(path);
        (readings.normal.into_owned(), readings.decoded.into_owned())
    }

    #[test]
    fn ordinary_paths_are_borrowed() {
        for path in ["/", "/api/v1/projects", "/a/b.c/d-e_f~g", "/caf\u{e9}", "/a/"] {
            assert!(matches!(read(path), Ok(Readings { normal: Cow::Borrowed(p), .. }) if p == path), "{path}");
        }
    }

    #[test]
    fn each_spelling_has_its_readings() {
        for (path, normal, decoded) in [
            // What is left of a fourth layer is read as any path is.
            ("/%25252561pi", "/%25252561pi", "/api"),
            ("/x/%2525252e%2525252e/api", "/x/%2525252e%2525252e/api", "/api"),
            ("//api/./login", "/api/login", "/api/login"),
            ("/api/%6cogin", "/api/login", "/api/login"),
            ("/api/x/../login", "/api/login", "/api/login"),
            ("/api%2flogin", "/api%2Flogin", "/api/login"),
            ("/admin;a=b", "/admin;a=b", "/admin"),
            ("/static/..%2fadmin", "/static/..%2Fadmin", "/admin"),
            ("/static/%252e%252e%255cadmin", "/static/%252e%252e%255cadmin", "/admin"),
            ("/../../etc", "/etc", "/etc"),
            ("/a/..", "/", "/"),
            ("/a/b/.", "/a/b/", "/a/b/"),
            ("/a%ff", "/a%FF", "/a\u{fffd}"),
        ] {
            assert_eq!(readings(path), (normal.into(), decoded.into()), "{path}");
        }
    }

    /// An answer names what made a path ambiguous.
    #[test]
    fn what_is_odd_about_a_path_is_found() {
        for (path, odd) in [
            ("/a%20b/..%2fadmin", "`%2f` at byte 10"),
            ("//admin", "`//` at byte 1"),
            ("/x/../admin", "`/.` at byte 3"),
            ("/admin;a=b", "`;` at byte 7"),
            ("/%61dmin", "`%61` at byte 2"),
            ("/a\\b", "`\\` at byte 3"),
            ("/%252e", "`%25` at byte 2"),
            ("/a/.", "`/.` at byte 3"),
        ] {
            assert_eq!(oddity(path).as_deref(), Some(odd), "{path}");
        }
        assert_eq!(oddity("/a%20b/.well-known/x"), None);
    }

    #[test]
    fn escapes_that_are_none_are_refused() {
        assert_eq!(read("/a%"), Err(Unreadable::BadEscape));
        assert_eq!(read("/a%2"), Err(Unreadable::BadEscape));
        assert_eq!(read("/a%zz"), Err(Unreadable::BadEscape));
        assert_eq!(read("/a%00b"), Err(Unreadable::Nul));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "/[a-z%2eEfF./;\\\\]{0,40}") {
            if let Ok(once) = read(&path) {
                let again = read(&once.normal).expect("a normal path is readable");
                prop_assert_eq!(&again.normal, &once.normal);
            }
        }

        #[test]
        fn the_plain_shortcut_agrees_with_the_long_way(path in "/[a-z0-9./_~-]{0,40}") {
            prop_assume!(is_plain(&path));
            prop_assert_eq!(normalise(&path), path.clone());
            prop_assert_eq!(decode_fully(&path), path);
        }
    }
}
