//! A URL without what could tell who somebody is: no credentials, no query, no fragment, and marks in place of what looks
//! like an identifier. What a mark stands for cannot be told from it.

use std::net::IpAddr;
use url::{Host, Url};

/// Most bytes of a cleaned URL.
const MAX_BYTES: usize = 256;
/// Most segments of a path that are kept.
const MAX_SEGMENTS: usize = 8;
/// A longer word is an identifier, whatever it is made of.
const MAX_WORD: usize = 32;
/// This many hexadecimal digits in a row, one of 0 to 9 among them, are a hash or an id.
const HEX_RUN: usize = 8;

/// Stands for a word that looks like an identifier.
const ID: &str = "{id}";
/// Stands for an address of a machine.
const IP: &str = "{ip}";
/// Stands for the rest of a long path.
const REST: &str = "/{rest}";

/// Stands for what is on no list: it could be anything, also somebody's name.
pub(crate) const OTHER: &str = "other";

/// Schemes that are kept. Whatever stands in front of a `:` is one to a parser of URLs, `alice:secret@host` included.
const SCHEMES: [&str; 17] = [
    "data",
    "blob",
    "filesystem",
    "file",
    "ftp",
    "javascript",
    "mediastream",
    "mailto",
    "tel",
    "sms",
    "http",
    "https",
    "ws",
    "wss",
    "urn",
    "intent",
    "android-app",
];

/// The scheme of this name, in whatever case, if it is one that is kept.
pub(crate) fn scheme(name: &str) -> Option<&'static str> {
    SCHEMES.iter().find(|scheme| scheme.eq_ignore_ascii_case(name)).copied()
}

/// How much of a path is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Paths {
    /// All of it, cleaned.
    Kept,
    /// Nothing.
    Dropped,
}

/// A cleaned URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cleaned {
    pub(crate) text: String,
    /// Bytes of `text` that are its origin; all of it when it is a word alone.
    origin: usize,
}

impl Cleaned {
    /// A word alone, of a closed list: a keyword or a scheme.
    pub(crate) fn word(word: &'static str) -> Self {
        Self { text: word.to_owned(), origin: word.len() }
    }

    /// Scheme, host and port; or the word, where there is no more.
    pub(crate) fn origin(&self) -> &str {
        &self.text[..self.origin]
    }

    /// Whether it is more than a word.
    pub(crate) fn is_url(&self) -> bool {
        self.origin().contains("://")
    }
}

/// Cleans a URL.
pub(crate) fn clean(url: &Url, paths: Paths) -> Cleaned {
    let scheme = scheme(url.scheme()).unwrap_or(OTHER);
    let (Some(host), "http" | "https" | "ws" | "wss") = (url.host(), scheme) else { return Cleaned::word(scheme) };
    let mut text = format!("{scheme}://");
    push_host(&mut text, &host);
    if let Some(port) = url.port() {
        text.push(':');
        text.push_str(&port.to_string());
    }
    text.truncate(MAX_BYTES);
    let origin = text.len();
    if paths == Paths::Kept {
        push_path(&mut text, url.path());
        text.truncate(MAX_BYTES);
    }
    Cleaned { text, origin }
}

fn push_host(text: &mut String, host: &Host<&str>) {
    let ip = match host {
        Host::Ipv4(ip) => IpAddr::V4(*ip),
        Host::Ipv6(ip) => IpAddr::V6(*ip),
        Host::Domain(name) => {
            for (nth, label) in name.split('.').enumerate() {
                if nth > 0 {
                    text.push('.');
                }
                text.push_str(if looks_like_id(label) { ID } else { label });
            }
            return;
        }
    };
    match ip.is_loopback() {
        true => text.push_str(&host.to_string()),
        false => text.push_str(IP),
    }
}

/// Of a host label.
fn looks_like_id(label: &str) -> bool {
    let digits = label.bytes().filter(u8::is_ascii_digit).count();
    digits == label.len() && digits > 0 || label.len() > MAX_WORD || digits > 0 && hex_runs(label).any(|_| true)
}

/// Runs of at least [`HEX_RUN`] hexadecimal digits.
fn hex_runs(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.len() >= HEX_RUN)
}

fn push_path(text: &mut String, path: &str) {
    for (nth, segment) in path.strip_prefix('/').unwrap_or(path).split('/').enumerate() {
        if nth == MAX_SEGMENTS {
            text.push_str(REST);
            return;
        }
        text.push('/');
        push_segment(text, segment);
    }
}

fn push_segment(text: &mut String, segment: &str) {
    // Of a mail address also the end says something.
    let named = segment.contains('@') || segment.to_ascii_lowercase().contains("%40");
    let (stem, extension) = if named { (segment, None) } else { split_extension(segment) };
    if !is_identifier(stem) {
        return text.push_str(segment);
    }
    text.push_str(ID);
    if let Some(letters) = extension.filter(|extension| extension.bytes().all(|byte| byte.is_ascii_alphabetic())) {
        text.push('.');
        text.push_str(letters);
    }
}

/// A segment and its extension: a letter and up to four letters or digits behind the last dot.
fn split_extension(segment: &str) -> (&str, Option<&str>) {
    match segment.rsplit_once('.') {
        Some((stem, extension))
            if (1..=5).contains(&extension.len())
                && extension.starts_with(|c: char| c.is_ascii_alphabetic())
                && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
        {
            (stem, Some(extension))
        }
        _ => (segment, None),
    }
}

/// Of a segment of a path.
fn is_identifier(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits == word.len() && digits > 0
        || is_uuid(word)
        || hex_runs(word).any(|run| run.bytes().any(|byte| byte.is_ascii_digit()))
        || word.len() >= 8 && digits >= 3
        || word.len() > MAX_WORD
        || !word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
}

/// Also one without a digit, which no other rule sees.
fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cleaned(url: &str) -> String {
        clean(&Url::parse(url).expect(url), Paths::Kept).text
    }

    #[test]
    fn the_example_of_the_contract() {
        let url = "https://eve:pw@app.example.com/users/42/inv-2024-11831.pdf?t=S#x";
        assert_eq!(cleaned(url), "https://app.example.com/users/{id}/{id}.pdf");
    }

    /// CSP-13, the cleaning.
    #[test]
    fn what_looks_like_an_identifier_is_a_mark() {
        for (path, kept) in [
            ("/", "/"),
            ("/users/42", "/users/{id}"),
            ("/users/42/", "/users/{id}/"),
            ("/0f8fad5b-d9cb-469f-a165-70867728950e", "/{id}"),
            ("/abcdefab-abcd-abcd-abcd-abcdefabcdef", "/{id}"),
            ("/a@b.c", "/{id}"),
            ("/a%40b.com", "/{id}"),
            ("/app.3f9a2b1c9d.js", "/{id}.js"),
            ("/v1/orders", "/v1/orders"),
            ("/deadbeef", "/deadbeef"),
            ("/deadbee1", "/{id}"),
            ("/track-0123-x.mp3", "/{id}"),
            ("/song.mp3", "/song.mp3"),
            ("/order123", "/{id}"),
            ("/orders12", "/orders12"),
            ("/.env", "/.env"),
            ("/a.12345678", "/{id}"),
            ("/%C3%BC.png", "/{id}.png"),
            ("/k=v", "/{id}"),
            ("/a,b", "/{id}"),
            ("/abcdefghijklmnopqrstuvwxyzabcdef", "/abcdefghijklmnopqrstuvwxyzabcdef"),
            ("/abcdefghijklmnopqrstuvwxyzabcdefg.html", "/{id}.html"),
            ("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/g/h"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/{rest}"),
        ] {
            assert_eq!(cleaned(&format!("https://a.example{path}")), format!("https://a.example{kept}"), "{path}");
        }
    }

    #[test]
    fn a_host_tells_no_customer_and_no_machine() {
        for (url, kept) in [
            ("HTTPS://User@WWW.Example.COM:443/", "https://www.example.com/"),
            ("http://example.com:8080/", "http://example.com:8080/"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://42.example.com/", "https://{id}.example.com/"),
            ("https://d3adb33fcafe.cdn.example/", "https://{id}.cdn.example/"),
            ("https://deadbeef-1.cdn.example/", "https://{id}.cdn.example/"),
            ("https://deadbeefdeadbeef.cdn.example/", "https://deadbeefdeadbeef.cdn.example/"),
            ("https://abcdefghijklmnopqrstuvwxyzabcdefg.example/", "https://{id}.example/"),
            ("https://203.0.113.7/", "https://{ip}/"),
            ("https://[2001:db8::1]:8443/", "https://{ip}:8443/"),
            ("http://127.0.0.1:3000/", "http://127.0.0.1:3000/"),
            ("http://[::1]/", "http://[::1]/"),
            ("wss://a.example/live", "wss://a.example/live"),
            ("data:text/html,secret", "data"),
            ("blob:https://a.example/0f8fad5b", "blob"),
            ("javascript:alert(1)", "javascript"),
            ("ftp://a.example/x", "ftp"),
            ("fb1234567890://x", "other"),
        ] {
            assert_eq!(cleaned(url), kept, "{url}");
        }
    }

    #[test]
    fn what_stands_in_front_of_a_colon_is_kept_only_from_the_list() {
        for url in ["alice.smith:hunter@intranet/", "alice:hunter@intranet", "alice.smith://intranet/x", "x-alice:"] {
            assert_eq!(cleaned(url), OTHER, "{url}");
        }
        for scheme in SCHEMES {
            assert!(cleaned(&format!("{scheme}://a.example/")).starts_with(scheme), "{scheme}");
        }
    }

    #[test]
    fn without_paths_the_origin_is_left() {
        let url = Url::parse("https://a.example:8443/secret?x").expect("a URL");
        let origin = clean(&url, Paths::Dropped);
        assert_eq!((origin.text.as_str(), origin.origin()), ("https://a.example:8443", "https://a.example:8443"));
        let whole = clean(&url, Paths::Kept);
        assert_eq!((whole.text.as_str(), whole.origin()), ("https://a.example:8443/secret", "https://a.example:8443"));
        assert!(whole.is_url() && !Cleaned::word("data").is_url());
    }

    proptest! {
        #[test]
        fn nothing_but_plain_words_and_marks_is_left(path in "/[!-~é]{0,300}", host in "[a-z0-9.-]{1,40}") {
            if let Ok(url) = Url::parse(&format!("https://u:p@{host}{path}?q=secret#f")) {
                let Cleaned { text, origin } = clean(&url, Paths::Kept);
                prop_assert!(text.len() <= MAX_BYTES && origin <= text.len());
                prop_assert!(text.is_ascii() && !text.contains(['@', '?', '#', '%', '=', ' ', '"']), "{}", text);
                let behind = text.strip_prefix("https://").expect("its scheme");
                for word in behind.split(['/', '.']).filter(|word| !word.starts_with('{')) {
                    prop_assert!(word.len() <= MAX_WORD + 1 + 5, "{}", word);
                }
            }
        }

        #[test]
        fn nothing_is_kept_of_an_unknown_scheme(name in "[a-z][a-z0-9.+-]{0,40}", rest in "[!-~]{0,40}") {
            if let (None, Ok(url)) = (scheme(&name), Url::parse(&format!("{name}:{rest}"))) {
                prop_assert_eq!(clean(&url, Paths::Kept).text, OTHER);
            }
        }

        #[test]
        fn a_number_never_survives_as_a_segment(number in "[0-9]{1,20}") {
            let url = Url::parse(&format!("https://a.example/x/{number}/y")).expect("a URL");
            prop_assert_eq!(clean(&url, Paths::Kept).text, "https://a.example/x/{id}/y");
        }
    }
}
