//! `multipart/form-data` (RFC 7578, RFC 2046 section 5.1) without its boundary, which every retry draws anew.

use memchr::memmem;

/// A form, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form<'a> {
    /// The media type and its parameters but for the boundary.
    pub(super) content_type: Vec<u8>,
    /// What stands before, between and behind the delimiters.
    pub(super) segments: Vec<&'a [u8]>,
}

/// Most parts of a form; one with more is hashed as it is.
const MAX_SEGMENTS: usize = 10_000;

/// Takes a form apart; `None` when its type names no boundary, or its delimiters do not come to an end.
pub(super) fn split<'a>(content_type: &[u8], body: &'a [u8]) -> Option<Form<'a>> {
    let (content_type, boundary) = without_boundary(content_type)?;
    let delimiter = [b"--", &boundary[..]].concat();
    let mut segments = Vec::new();
    let (mut segment, mut from) = (0, 0);
    loop {
        let found = from + memmem::find(body.get(from..)?, &delimiter)?;
        let behind = found + delimiter.len();
        from = found + 1;
        let begins_a_line = found == 0 || body[..found].ends_with(b"\r\n");
        let Some(end) = end_of_delimiter(&body[behind..]).filter(|_| begins_a_line) else { continue };
        // The line end in front of a delimiter belongs to it.
        segments.push(&body[segment..found.saturating_sub(2).max(segment)]);
        if segments.len() > MAX_SEGMENTS {
            return None;
        }
        match end {
            End::Part(padding) => segment = behind + padding,
            End::Form => {
                segments.push(&body[behind + 2..]);
                return Some(Form { content_type, segments });
            }
        }
        from = segment;
        // The line end that closes one delimiter may open the next.
        from = from.saturating_sub(2).max(found + 1);
    }
}

enum End {
    /// Padding and line end take this many bytes.
    Part(usize),
    /// `--`
    Form,
}

/// How a delimiter ends; `None` when this is none.
fn end_of_delimiter(rest: &[u8]) -> Option<End> {
    if rest.starts_with(b"--") {
        return Some(End::Form);
    }
    let padding = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    rest[padding..].starts_with(b"\r\n").then_some(End::Part(padding + 2))
}

/// The type without its boundary parameter, and the boundary: 1 to 70 bytes.
fn without_boundary(content_type: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut kept, mut boundary) = (Vec::new(), None);
    for (at, piece) in parameters(content_type).into_iter().enumerate() {
        let piece = piece.trim_ascii();
        let value = piece.iter().position(|&byte| byte == b'=').map(|at| (&piece[..at], &piece[at + 1..]));
        match value {
            Some((name, value)) if at > 0 && name.eq_ignore_ascii_case(b"boundary") => {
                if boundary.replace(unquoted(value)).is_some() {
                    return None;
                }
            }
            _ => {
                kept.extend_from_slice(&(piece.len() as u64).to_be_bytes());
                kept.extend_from_slice(piece);
            }
        }
    }
    boundary.filter(|boundary| (1..=70).contains(&boundary.len())).map(|boundary| (kept, boundary))
}

/// What stands between semicolons outside of quotes.
fn parameters(content_type: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in content_type.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                pieces.push(&content_type[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&content_type[begin..]);
    pieces
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut escaped = false;
    let keep = |byte: &&u8| {
        escaped = **byte == b'\\' && !escaped;
        !escaped
    };
    inner.iter().filter(keep).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(boundary: &str, parts: &[&str]) -> Vec<u8> {
        let mut body = String::new();
        for part in parts {
            body += &format!("--{boundary}\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n{part}\r\n");
        }
        (body + &format!("--{boundary}--\r\n")).into_bytes()
    }

    fn segments(boundary: &str, body: &[u8]) -> Option<Vec<String>> {
        let form = split(format!("multipart/form-data; boundary={boundary}").as_bytes(), body)?;
        Some(form.segments.iter().map(|segment| String::from_utf8_lossy(segment).into_owned()).collect())
    }

    #[test]
    fn the_boundary_makes_no_difference() {
        let (a, b) =
            (form("AaB03x", &["1", "two\r\nlines"]), form("----WebKitFormBoundary7MA4", &["1", "two\r\nlines"]));
        assert_eq!(segments("AaB03x", &a), segments("----WebKitFormBoundary7MA4", &b));
        assert_eq!(segments("AaB03x", &a).map(|all| all.len()), Some(4), "before, two parts, behind");
        assert_ne!(segments("AaB03x", &form("AaB03x", &["1", "2"])), segments("AaB03x", &form("AaB03x", &["12"])));
        assert_ne!(segments("AaB03x", &form("AaB03x", &["1", ""])), segments("AaB03x", &form("AaB03x", &["1"])));
    }

    #[test]
    fn text_that_looks_like_a_boundary_is_text() {
        let body = form("x", &["-x", "a --x\r\nb", "--xy\r\n", "--x y"]);
        assert_eq!(segments("x", &body).map(|all| all.len()), Some(6));
        assert_eq!(segments("x", b"--x\r\n--x\r\n--x--").map(|all| all.len()), Some(4), "empty parts");
        assert_eq!(
            segments("x", b"preamble\r\n--x \t\r\npart\r\n--x--epilogue").expect("a form"),
            ["preamble", "part", "epilogue"]
        );
    }

    #[test]
    fn what_does_not_end_is_no_form() {
        for body in [&b""[..], b"--x", b"--x\r\npart", b"--x\r\npart\r\n--x\r\n", b"part", b"--y--"] {
            assert_eq!(segments("x", body), None, "{:?}", String::from_utf8_lossy(body));
        }
        let too_long = "b".repeat(71);
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "boundary=x",
            &format!("m; boundary={too_long}"),
            "m;boundary=x;boundary=y",
        ] {
            assert_eq!(split(content_type.as_bytes(), b"--x--"), None, "{content_type}");
        }
    }

    #[test]
    fn other_parameters_count_and_quotes_do_not() {
        let ours = |content_type: &str, body: &[u8]| split(content_type.as_bytes(), body).map(|form| form.content_type);
        let plain = ours("multipart/form-data; boundary=x", b"--x--");
        assert!(plain.is_some());
        assert_eq!(ours("multipart/form-data;BOUNDARY=\"a;b\\\"c\"", b"--a;b\"c--"), plain);
        assert_ne!(ours("multipart/form-data; charset=utf-8; boundary=x", b"--x--"), plain);
    }

    proptest! {
        #[test]
        fn no_body_panics(body in "[-x\r\n \ta]{0,80}") {
            let _ = segments("x", body.as_bytes());
        }
    }
}
