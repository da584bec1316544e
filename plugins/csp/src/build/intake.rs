//! What reports are taken by, checked.

use crate::clean::Paths;
use crate::config::Config;
use crate::intake::Terms;
use crate::noise::{Noise, Pattern};
use std::time::Duration;
use url::{Origin, Url};
use vestibule_plugin::units::Size;
use vestibule_plugin::{BuildErrors, KeyPath};

/// Range of `max_body`: a report is some hundred bytes, and a batch has no use for a megabyte.
const MAX_BODY: (Size, Size) = (Size(1 << 10), Size(1 << 20));
/// Most bytes of `report_path`; it stands in every page's head.
const MAX_PATH: usize = 256;

/// What reports are taken by; all of it is checked, also when none are.
pub(crate) fn terms(config: &Config, errors: &mut BuildErrors) -> Terms {
    if let Err(label) = check_path(&config.report_path) {
        errors.error(
            KeyPath::table(["report_path"]),
            format!("`{}` is no path for reports", config.report_path.escape_debug()),
            label,
        );
    }
    if !(0.0..=1.0).contains(&config.sample) {
        errors.error(KeyPath::table(["sample"]), format!("`sample` cannot be {}", config.sample), "expected 0 to 1");
    }
    let (least, most) = MAX_BODY;
    if config.max_body < least || config.max_body > most {
        let label = format!("expected {least} to {most}");
        errors.error(KeyPath::table(["max_body"]), format!("`max_body` cannot be {}", config.max_body), label);
    }
    if config.rate.quota == 0 || config.rate.window < Duration::from_secs(1) {
        let label = "expected at least one report, in a window of at least 1s; to collect none, write reports = false";
        errors.error(KeyPath::table(["rate"]), format!("`rate` cannot be {}", config.rate), label);
    }
    Terms {
        max_body: config.max_body,
        sample: config.sample,
        noise: Noise { ignore: patterns(config, errors), origins: origins(config, errors) },
        paths: if config.keep_paths { Paths::Kept } else { Paths::Dropped },
    }
}

/// A path that is one for routes, for a policy and for a structured field alike.
fn check_path(path: &str) -> Result<(), String> {
    // `//host/path` would be somebody else's.
    if !path.starts_with('/') || path.starts_with("//") {
        return Err("expected a path of this site, which starts with one `/`".to_owned());
    }
    if path.len() > MAX_PATH {
        return Err(format!("expected at most {MAX_PATH} bytes"));
    }
    let stands = |c: &char| c.is_ascii_alphanumeric() || "-._~!$&'()*+=:@/".contains(*c);
    if let Some(other) = path.chars().find(|c| !stands(c)) {
        return Err(format!("`{}` cannot stand in it", other.escape_default()));
    }
    let normal = path.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."));
    if normal { Ok(()) } else { Err("expected no empty segment, no `.` and no `..`".to_owned()) }
}

fn patterns(config: &Config, errors: &mut BuildErrors) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for (at, text) in config.ignore.iter().enumerate() {
        match Pattern::parse(text) {
            Some(pattern) => patterns.push(pattern),
            None => errors.error(
                KeyPath::table(["ignore", &at.to_string()]),
                format!("`{}` is no pattern", text.escape_debug()),
                "expected `scheme:` or `[scheme://]host[:port]`; the host may start with `*.`",
            ),
        }
    }
    patterns
}

fn origins(config: &Config, errors: &mut BuildErrors) -> Vec<Origin> {
    let mut origins = Vec::new();
    for (at, text) in config.origins.iter().enumerate() {
        match origin(text) {
            Some(origin) => origins.push(origin),
            None => errors.error(
                KeyPath::table(["origins", &at.to_string()]),
                format!("`{}` is no origin", text.escape_debug()),
                "expected scheme, host and port alone, e.g. \"https://app.example.com\"",
            ),
        }
    }
    origins
}

fn origin(text: &str) -> Option<Origin> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    (matches!(url.scheme(), "http" | "https") && bare && anonymous).then(|| url.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_for_reports_is_plain() {
        for path in ["/r", "/_vestibule/reports", "/a/b-c.d~e"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in [
            "", "r", "/", "//a/b", "/a//b", "/a/", "/a/../b", "/a?b", "/a#b", "/{a}", "/a;b", "/a,b", "/a b", "/ä",
            "/a%20", "/a\"b",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn an_origin_is_that_and_no_more() {
        for text in ["https://a.example", "http://a.example:8080/", "https://A.EXAMPLE:443"] {
            assert!(origin(text).is_some(), "{text}");
        }
        for text in ["a.example", "https://a.example/x", "https://u@a.example", "https://a.example?x", "data:x", ""] {
            assert_eq!(origin(text), None, "{text}");
        }
    }
}
