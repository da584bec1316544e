//! Reports of what nobody can fix in the application: browser extensions, the browser's own pages, somebody's machine.

use url::{Host, Url};

/// Schemes of browsers and of what is added to them, bare or in front of a `:`.
pub(crate) const SCHEMES: [&str; 20] = [
    "chrome",
    "chrome-extension",
    "chrome-search",
    "chromeinvoke",
    "chromeinvokeimmediate",
    "chromenull",
    "moz-extension",
    "safari-extension",
    "safari-web-extension",
    "ms-browser-extension",
    "edge",
    "resource",
    "jar",
    "about",
    "mxaddon-pkg",
    "webviewprogressproxy",
    "tmtbff",
    "mbinit",
    "symres",
    "gsa",
];

/// What Chromium shows in place of a page that could not be loaded.
const ERROR_PAGE: &str = "data:text/html,chromewebdata";

/// What an operator does not want to hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Pattern {
    /// `scheme:`
    Scheme(String),
    /// `[scheme://]host[:port]`
    Host { scheme: Option<String>, host: String, subdomains: bool, port: Option<u16> },
}

impl Pattern {
    /// Of its text; `None` when it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        if let Some(scheme) = text.strip_suffix(':') {
            return is_scheme(scheme).then(|| Self::Scheme(scheme.to_ascii_lowercase()));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme.to_ascii_lowercase()), rest),
            Some(_) => return None,
            None => (None, text),
        };
        let (subdomains, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        if rest.contains(['/', '?', '#', '@', '*', '\\']) || rest.is_empty() {
            return None;
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !rest.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (rest, None),
        };
        // As it stands in URLs: lower case, punycode.
        let host = Url::parse(&format!("https://{host}/")).ok()?.host_str()?.to_owned();
        Some(Self::Host { scheme, host, subdomains, port })
    }

    fn matches(&self, text: &str, url: Option<&Url>) -> bool {
        match self {
            Self::Scheme(scheme) => has_scheme(text, scheme),
            Self::Host { scheme, host, subdomains, port } => url.is_some_and(|url| {
                let named = url.host_str().is_some_and(|named| match subdomains {
                    true => named.strip_suffix(host.as_str()).is_some_and(|start| start.ends_with('.')),
                    false => named == host,
                });
                let scheme_matches = scheme.as_ref().is_none_or(|scheme| url.scheme() == scheme);
                named && scheme_matches && port.is_none_or(|port| url.port_or_known_default() == Some(port))
            }),
        }
    }
}

/// A field of a report that names a place, as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) text: &'a str,
    /// The text, if it is a URL.
    pub(crate) url: Option<&'a Url>,
}

/// The places of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    pub(crate) blocked: Place<'a>,
    pub(crate) source: Place<'a>,
    pub(crate) document: Place<'a>,
}

/// What counts as noise here.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Noise {
    /// Beside the built-in schemes.
    pub(crate) ignore: Vec<Pattern>,
    /// Origins of documents that are listened to; empty: all.
    pub(crate) origins: Vec<url::Origin>,
}

impl Noise {
    /// Whether a report is dropped.
    pub(crate) fn covers(&self, places: &Places<'_>) -> bool {
        let Places { blocked, source, document } = places;
        let all = [blocked, source, document];
        let is_of_browser = |text: &str| scheme_of(text).is_some_and(known);
        all.iter().any(|place| is_of_browser(place.text))
            || document.text.eq_ignore_ascii_case(ERROR_PAGE)
            || is_loopback(blocked.url) && !is_loopback(document.url)
            || self.ignore.iter().any(|pattern| all.iter().any(|place| pattern.matches(place.text, place.url)))
            || !self.origins.is_empty() && document.url.is_some_and(|url| !self.origins.contains(&url.origin()))
    }
}

fn known(scheme: &str) -> bool {
    SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme))
}

/// What stands in front of the first `:`; all of it where there is none.
fn scheme_of(text: &str) -> Option<&str> {
    text.trim_start().split(':').next()
}

fn has_scheme(text: &str, scheme: &str) -> bool {
    scheme_of(text).is_some_and(|found| found.eq_ignore_ascii_case(scheme))
}

fn is_loopback(url: Option<&Url>) -> bool {
    match url.and_then(Url::host) {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(noise: &Noise, [blocked, source, document]: [&str; 3]) -> bool {
        let urls = [blocked, source, document].map(|text| Url::parse(text).ok());
        let place = |text, at: usize| Place { text, url: urls[at].as_ref() };
        let places = Places { blocked: place(blocked, 0), source: place(source, 1), document: place(document, 2) };
        noise.covers(&places)
    }

    const SOUND: [&str; 3] =
        ["https://cdn.example.net/a.js", "https://app.example.com/a.js", "https://app.example.com/"];

    /// CSP-14, the judging.
    #[test]
    fn every_scheme_is_noise_alone_bare_or_in_full_in_each_field() {
        let noise = Noise::default();
        assert!(!covers(&noise, SOUND));
        for scheme in SCHEMES {
            for text in [scheme.to_owned(), format!("{scheme}:"), format!("{scheme}://x/y"), scheme.to_uppercase()] {
                for field in 0..3 {
                    let mut places = SOUND;
                    places[field] = &text;
                    assert!(covers(&noise, places), "{text} in {field}");
                }
            }
        }
        for text in ["https", "data", "chromed:", "x-chrome:", "inline", "eval", ""] {
            assert!(!covers(&noise, [text, SOUND[1], SOUND[2]]), "{text}");
        }
        assert!(covers(&noise, [SOUND[0], SOUND[1], ERROR_PAGE]));
        assert!(!covers(&noise, [SOUND[0], SOUND[1], "data:text/html,x"]));
    }

    #[test]
    fn somebodys_own_machine_is_noise_except_at_home() {
        let noise = Noise::default();
        for blocked in
            ["http://127.0.0.1:8/", "http://127.9.9.9/", "http://localhost:3/", "http://[::1]/", "ws://a.localhost/"]
        {
            assert!(covers(&noise, [blocked, "", SOUND[2]]), "{blocked}");
            assert!(!covers(&noise, [blocked, "", "http://localhost:3000/"]), "{blocked}");
        }
        assert!(!covers(&noise, ["http://127.0.0.1.example.com/", "", SOUND[2]]));
    }

    #[test]
    fn patterns_match_schemes_hosts_and_ports() {
        for (pattern, matched, spared) in [
            ("mailto:", &["mailto", "mailto:a@b.c"][..], &["https://mailto.example/"][..]),
            (
                "ads.example",
                &["https://ads.example/x", "http://ads.example:8/"],
                &["https://x.ads.example/", "ads.example"],
            ),
            ("*.ads.example", &["https://x.ads.example/"], &["https://ads.example/", "https://xads.example/"]),
            ("http://ads.example", &["http://ads.example/"], &["https://ads.example/"]),
            ("ads.example:443", &["https://ads.example/"], &["http://ads.example/", "https://ads.example:8443/"]),
            ("[2001:db8::1]", &["https://[2001:db8::1]/"], &["https://[2001:db8::2]/"]),
            ("Bücher.example", &["https://xn--bcher-kva.example/"], &[]),
        ] {
            let noise = Noise { ignore: vec![Pattern::parse(pattern).expect(pattern)], ..Noise::default() };
            for text in matched {
                assert!(covers(&noise, [text, SOUND[1], SOUND[2]]), "{pattern} {text}");
                assert!(covers(&noise, [SOUND[0], text, SOUND[2]]), "{pattern} {text}");
            }
            for text in spared {
                assert!(!covers(&noise, [text, SOUND[1], SOUND[2]]), "{pattern} {text}");
            }
        }
        for text in ["", ":", "*.", "a/b", "https://", "https://a/b", "9:", "a:x", "a:99999", "a*b", "u@h"] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_origins_of_the_list_are_listened_to() {
        let origin = |text| Url::parse(text).expect("a URL").origin();
        let noise = Noise { origins: vec![origin("https://app.example.com")], ..Noise::default() };
        assert!(!covers(&noise, SOUND));
        assert!(!covers(&noise, [SOUND[0], SOUND[1], "https://app.example.com:443/x"]));
        for document in ["http://app.example.com/", "https://app.example.com:8443/", "https://other.example/", "data:x"]
        {
            assert!(covers(&noise, [SOUND[0], SOUND[1], document]), "{document}");
        }
    }
}
