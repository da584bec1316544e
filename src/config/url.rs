//! The url of an upstream.

use crate::config::nearest::nearest;
use crate::config::settings::{Protocol, Target};
use http::Uri;
use std::path::PathBuf;

/// Why a text is no url of an upstream. Quotes nothing that may be a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadUrl {
    pub(super) message: String,
    pub(super) label: String,
}

const EXPECTED: &str = "expected a url such as \"http://127.0.0.1:8000\", \"https://app.example\", \"h2c://127.0.0.1:8000\" or \"unix:/run/app.sock\"";

fn bad(message: &str, label: &str) -> BadUrl {
    BadUrl { message: message.to_owned(), label: label.to_owned() }
}

/// Where `url` points.
pub(super) fn target(url: &str) -> Result<Target, BadUrl> {
    if let Some(path) = url.strip_prefix("unix:") {
        return match path.starts_with('/') && !path.contains('\0') {
            true => Ok(Target::Unix(PathBuf::from(path))),
            false => Err(bad("a Unix socket needs an absolute path", "expected a url such as \"unix:/run/app.sock\"")),
        };
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(bad("`url` is no url of an upstream", EXPECTED));
    };
    let (protocol, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (Protocol::Http, 80),
        "https" => (Protocol::Https, 443),
        "h2c" => (Protocol::H2c, 80),
        other => {
            let near = nearest(other, ["http", "https", "h2c", "unix"]);
            let near = near.map(|scheme| format!("; did you mean `{scheme}`?")).unwrap_or_default();
            let label = format!("expected http, https, h2c or unix{near}");
            return Err(BadUrl { message: "unknown scheme of an upstream url".to_owned(), label });
        }
    };
    if rest.contains('@') {
        return Err(bad("credentials in an upstream url are not sent", "remove everything before and with the `@`"));
    }
    // `http` wants a lower-case scheme it knows or at least a well-formed one; only the authority is of interest.
    let uri: Uri = format!("http://{rest}").parse().map_err(|_| bad("`url` is no url of an upstream", EXPECTED))?;
    if rest.contains(['?', '#']) || !matches!(uri.path(), "" | "/") {
        let label = "paths are passed on as they come; remove what follows the host and port";
        return Err(bad("an upstream url has no path, query or fragment", label));
    }
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let written = uri.authority().map_or("", |authority| authority.as_str());
    let port = match written.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        None => default_port,
        Some((_, port)) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(bad("the port of `url` is out of range", "expected 1 to 65535")),
        },
    };
    match host {
        "" => Err(bad("`url` names no host", EXPECTED)),
        host => Ok(Target::Tcp { host: host.to_owned(), port, protocol }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16, protocol: Protocol) -> Result<Target, BadUrl> {
        Ok(Target::Tcp { host: host.to_owned(), port, protocol })
    }

    #[test]
    fn urls_of_all_kinds_are_read() {
        assert_eq!(target("http://127.0.0.1:3000"), tcp("127.0.0.1", 3000, Protocol::Http));
        assert_eq!(target("https://app.example/"), tcp("app.example", 443, Protocol::Https));
        assert_eq!(target("HTTPS://app.example"), tcp("app.example", 443, Protocol::Https));
        assert_eq!(target("h2c://[::1]:50051"), tcp("::1", 50051, Protocol::H2c));
        assert_eq!(target("http://[::1]"), tcp("::1", 80, Protocol::Http));
        assert_eq!(target("unix:/run/app.sock"), Ok(Target::Unix("/run/app.sock".into())));
    }

    #[test]
    fn everything_else_is_refused() {
        for url in [
            "",
            "app:80",
            "ftp://h",
            "http://",
            "http://:80",
            "http://h:0",
            "http://h:65536",
            "http://h:x",
            "http://h:",
            "http://u:p@h",
            "http://h/base",
            "http://h?x",
            "http://h#x",
            "unix:app.sock",
            "http://a b",
            "http://[::1",
        ] {
            assert!(target(url).is_err(), "{url}: {:?}", target(url));
        }
    }

    proptest! {
        #[test]
        fn a_target_always_has_a_host_and_a_port(url in "(http|https|h2c|unix)(:|://).{0,20}") {
            if let Ok(Target::Tcp { host, port, .. }) = target(&url) {
                prop_assert!(!host.is_empty() && port > 0 && !host.contains('@'));
            }
        }
    }
}
