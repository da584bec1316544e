//! A second reading of requests, by the rules of Python's `h11` as it writes them down in `_abnf.py` and `_headers.py`: more
//! lenient than ours, and made otherwise. What ours takes must mean the same to it.

/// A request as it is read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) length: Length,
    /// Bytes of the head.
    pub(crate) size: usize,
}

/// How its body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Fixed(u64),
    Chunked,
}

/// `tchar`
const TOKEN: &[u8] = b"-!#$%&'*+.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The request at the start; `None` when it is none, or not whole. `h11` takes no byte from 0x80 in a target; here it does,
/// since that is no question of framing.
pub(crate) fn request(bytes: &[u8]) -> Option<Request> {
    // `_receivebuffer.py`: an empty line in front is skipped, and a head ends with `\n\r?\n`.
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let text = &bytes[skipped..];
    let end = (0..text.len()).find_map(|at| match &text[at..] {
        [b'\n', b'\n', ..] => Some(at + 2),
        [b'\n', b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })?;
    let mut lines = text[..end].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));

    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let visible = |byte: &u8| matches!(byte, 0x21..=0x7e | 0x80..);
    let sound = words.next().is_none()
        && is_token(method)
        && !target.is_empty()
        && target.iter().all(visible)
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']);
    if !sound {
        return None;
    }

    let mut fields = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        // `field_vchar` is all but NUL, white space and DEL; between them are blanks and tabs.
        let sound = |byte: &u8| !matches!(byte, 0 | b'\n' | b'\r' | 0x0b | 0x0c | 0x7f);
        if !is_token(name) || !value.iter().all(sound) {
            return None;
        }
        fields.push((name.to_ascii_lowercase(), value.to_vec()));
    }
    let length = length(&fields)?;
    Some(Request { method: method.to_vec(), target: target.to_vec(), fields, length, size: skipped + end })
}

/// `normalize_and_validate` and `framing`: equal lengths are one, `chunked` alone is a coding, and it wins.
fn length(fields: &[(Vec<u8>, Vec<u8>)]) -> Option<Length> {
    let (mut fixed, mut chunked) = (None, false);
    for (name, value) in fields {
        match &name[..] {
            b"content-length" => {
                for one in value.split(|byte| *byte == b',').map(trim) {
                    let digits =
                        std::str::from_utf8(one).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
                    let number = digits.parse().ok()?;
                    if fixed.replace(number).is_some_and(|before| before != number) {
                        return None;
                    }
                }
            }
            b"transfer-encoding" => {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return None;
                }
                chunked = true;
            }
            _ => {}
        }
    }
    Some(if chunked { Length::Chunked } else { Length::Fixed(fixed.unwrap_or(0)) })
}

/// A chunked body and how long it is on the wire; `None` when it is none, or not whole. The size line is
/// `[0-9A-Fa-f]{1,20}` with anything behind a `;`.
pub(crate) fn chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (all, mut body) = (bytes.len(), Vec::new());
    loop {
        let line = line(&mut bytes)?;
        let size = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
        let size = std::str::from_utf8(size).ok().filter(|text| (1..=20).contains(&text.len()))?;
        let size = u64::from_str_radix(size, 16).ok().and_then(|size| usize::try_from(size).ok())?;
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size..)?.strip_prefix(b"\r\n")?;
    }
    while !line(&mut bytes)?.is_empty() {}
    Some((body, all - bytes.len()))
}

/// Up to CRLF, which is taken off.
fn line<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &bytes[..end];
    *bytes = &bytes[end + 2..];
    Some(line)
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN.contains(byte))
}

fn trim(text: &[u8]) -> &[u8] {
    let white = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !white(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !white(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_is_held_against() {
        let text = b"\r\nPOST /a HTTP/1.1\r\nHost: a\r\ncontent-length:  5 , 5\r\n\r\nhello";
        let read = request(text).expect("a request");
        assert_eq!((&read.method[..], &read.target[..], read.length), (&b"POST"[..], &b"/a"[..], Length::Fixed(5)));
        assert_eq!(read.size, text.len() - 5);
        assert!(request(b"GET /a HTTP/1.1\r\nHost: a\r\n").is_none(), "not whole");
        assert!(request(b"GET /a HTTP/1.1\r\nx : a\r\n\r\n").is_none());
        assert!(request(b"GET /a HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n").is_none());
        assert_eq!(chunks(b"5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\nrest"), Some((b"hello".to_vec(), 25)));
        assert_eq!(chunks(b"5\r\nhello\r\n0\r\n"), None);
    }
}
