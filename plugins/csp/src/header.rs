//! The policy field of one response: whether it is added, and what it says of reports.

use crate::config::Mode;
use crate::policy;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use sfv::{Dictionary, Parser};
use vestibule_plugin::{Fields, media};

/// The endpoint that reports go to, among those of a page.
pub(crate) const ENDPOINT: &str = "vestibule-csp";
/// Where a page names its endpoints (Reporting API).
pub(crate) const REPORTING_ENDPOINTS: HeaderName = HeaderName::from_static("reporting-endpoints");

/// How a client sees the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// Of a request.
    pub(crate) fn of(scheme: &str) -> Self {
        if scheme == "https" { Self::Https } else { Self::Http }
    }
}

/// Which ways of reporting a policy names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reporting {
    /// None of the proxy's.
    Untold,
    /// `report-uri`, which every browser knows.
    Uri,
    /// `report-to` as well, and the field that declares its endpoint. A browser that knows it ignores `report-uri`, also
    /// when it cannot use the endpoint.
    UriAndTo,
}

/// The policy of a route, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Policy {
    enforced: bool,
    /// Without the proxy's own reporting.
    plain: Said,
    /// With it, when reports are collected and the policy does not report elsewhere.
    reporting: Option<Reported>,
}

/// A field value, and the digest of it that reports carry.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    value: HeaderValue,
    digest: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Reported {
    by_uri: Said,
    by_both: Said,
    endpoints: HeaderValue,
}

impl Said {
    /// `None` when it cannot be a field value, which judging rules out.
    fn new(text: &str) -> Option<Self> {
        let value = HeaderValue::from_str(text).ok()?;
        Some(Self { value, digest: policy::digest(text.as_bytes()) })
    }
}

impl Policy {
    /// Of a policy in one line that was judged; `reports_to` is the path of reports when they are collected. `None`: nothing is
    /// ever added.
    pub(crate) fn new(policy: &str, mode: Mode, reports_to: Option<&str>) -> Option<Self> {
        if policy.is_empty() || mode == Mode::Off {
            return None;
        }
        let reporting = reports_to.filter(|_| !policy::reports_elsewhere(policy)).and_then(|path| {
            Some(Reported {
                by_uri: Said::new(&format!("{policy}; report-uri {path}"))?,
                by_both: Said::new(&format!("{policy}; report-uri {path}; report-to {ENDPOINT}"))?,
                endpoints: HeaderValue::from_str(&format!("{ENDPOINT}=\"{path}\"")).ok()?,
            })
        });
        Some(Self { enforced: mode == Mode::Enforce, plain: Said::new(policy)?, reporting })
    }

    /// The name of its field.
    pub(crate) fn field(&self) -> HeaderName {
        if self.enforced { CONTENT_SECURITY_POLICY } else { CONTENT_SECURITY_POLICY_REPORT_ONLY }
    }

    /// How it reports to a client of this scheme, where the application names no endpoints of its own.
    pub(crate) fn reporting(&self, scheme: Scheme) -> Reporting {
        match (&self.reporting, scheme) {
            (None, _) => Reporting::Untold,
            (Some(_), Scheme::Http) => Reporting::Uri,
            (Some(_), Scheme::Https) => Reporting::UriAndTo,
        }
    }

    fn said(&self, reporting: Reporting) -> &Said {
        match (&self.reporting, reporting) {
            (None, _) | (_, Reporting::Untold) => &self.plain,
            (Some(reported), Reporting::Uri) => &reported.by_uri,
            (Some(reported), Reporting::UriAndTo) => &reported.by_both,
        }
    }

    /// What reports of it carry.
    pub(crate) fn digest(&self, reporting: Reporting) -> u64 {
        self.said(reporting).digest
    }

    /// Adds it to a response, if it is one that gets it.
    pub(crate) fn add(&self, status: StatusCode, fields: &mut Fields, scheme: Scheme) {
        if !is_page(status, fields) || !self.is_missing(fields) {
            return;
        }
        let reporting = match self.reporting(scheme) {
            Reporting::UriAndTo if !takes_endpoint(fields) => Reporting::Uri,
            reporting => reporting,
        };
        fields.append(self.field(), &self.said(reporting).value);
        if let (Reporting::UriAndTo, Some(reported)) = (reporting, &self.reporting) {
            fields.append(REPORTING_ENDPOINTS, &reported.endpoints);
        }
    }

    /// Whether the application left room for it: it never gets beside a policy of the same kind or a stricter one.
    fn is_missing(&self, fields: &Fields) -> bool {
        let enforces = fields.has(&CONTENT_SECURITY_POLICY);
        let reports = fields.has(&CONTENT_SECURITY_POLICY_REPORT_ONLY);
        !enforces && (self.enforced || !reports)
    }
}

fn is_page(status: StatusCode, fields: &Fields) -> bool {
    !status.is_informational() && status != StatusCode::NOT_MODIFIED && fields.lines(&CONTENT_TYPE).any(is_html)
}

/// `text/html` or `application/xhtml+xml`, whatever their parameters.
fn is_html(media_type: &[u8]) -> bool {
    media::is(media_type, "text/html") || media::is(media_type, "application/xhtml+xml")
}

/// Whether one more endpoint can be declared: one bad line would void all of them, and a second one of a name replaces the
/// first.
fn takes_endpoint(fields: &Fields) -> bool {
    let Some(lines) = fields.joined(&REPORTING_ENDPOINTS) else { return true };
    let endpoints = Parser::new(&lines).parse::<Dictionary>();
    endpoints.is_ok_and(|endpoints| !endpoints.contains_key(ENDPOINT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_plugin::Fields;

    const PATH: &str = "/_vestibule/reports";

    fn page(fields: &[(&'static str, &str)]) -> Fields {
        let mut map = Fields::new();
        map.set(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        map
    }

    fn added(mode: Mode, reports: bool, scheme: Scheme, mut fields: Fields) -> Fields {
        let policy = Policy::new("img-src 'self'", mode, reports.then_some(PATH)).expect("a policy");
        policy.add(StatusCode::OK, &mut fields, scheme);
        fields
    }

    fn lines(fields: &Fields, name: &str) -> Vec<String> {
        fields.lines(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// CSP-03, the table.
    #[test]
    fn what_the_application_sent_stays_and_stays_alone() {
        let (csp, only) = ("content-security-policy", "content-security-policy-report-only");
        for (sent, report_only, enforce) in [
            (&[][..], Some(only), Some(csp)),
            (&[csp], None, None),
            (&[only], None, Some(csp)),
            (&[csp, only], None, None),
        ] {
            for (mode, expected) in [(Mode::ReportOnly, report_only), (Mode::Enforce, enforce)] {
                // An empty value counts as sent.
                for value in ["default-src 'none'", ""] {
                    let before = page(&sent.iter().map(|name| (*name, value)).collect::<Vec<_>>());
                    let mut after = added(mode, false, Scheme::Http, before.clone());
                    if let Some(name) = expected {
                        assert_eq!(lines(&after, name), ["img-src 'self'"], "{sent:?} {mode:?}");
                        after.remove(name);
                    }
                    assert_eq!(after, before, "{sent:?} {mode:?}");
                }
            }
        }
    }

    /// CSP-02
    #[test]
    fn only_pages_get_it() {
        let gets = |status: u16, media_type: Option<&str>| {
            let policy = Policy::new("img-src *", Mode::Enforce, None).expect("a policy");
            let mut fields = Fields::new();
            if let Some(media_type) = media_type {
                fields.set(CONTENT_TYPE, HeaderValue::from_str(media_type).expect("a value"));
            }
            policy.add(StatusCode::from_u16(status).expect("a status"), &mut fields, Scheme::Http);
            fields.has(CONTENT_SECURITY_POLICY)
        };
        for media_type in ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml", " text/html ;x"] {
            assert!(gets(200, Some(media_type)), "{media_type}");
        }
        for media_type in ["application/json", "text/htmlx", "image/svg+xml", "text/plain; text/html", ""] {
            assert!(!gets(200, Some(media_type)), "{media_type}");
        }
        assert!(!gets(200, None));
        assert!(gets(404, Some("text/html")) && gets(500, Some("text/html")) && gets(204, Some("text/html")));
        assert!(!gets(304, Some("text/html")) && !gets(101, Some("text/html")));
    }

    /// CSP-05, the fields.
    #[test]
    fn reports_go_where_a_browser_can_send_them() {
        let csp = "content-security-policy";
        let https = added(Mode::Enforce, true, Scheme::Https, page(&[]));
        assert_eq!(lines(&https, csp), [format!("img-src 'self'; report-uri {PATH}; report-to vestibule-csp")]);
        assert_eq!(lines(&https, "reporting-endpoints"), [format!("vestibule-csp=\"{PATH}\"")]);
        let http = added(Mode::Enforce, true, Scheme::Http, page(&[]));
        assert_eq!(lines(&http, csp), [format!("img-src 'self'; report-uri {PATH}")]);
        assert!(!http.has(REPORTING_ENDPOINTS));
        let none = added(Mode::Enforce, false, Scheme::Https, page(&[]));
        assert_eq!(lines(&none, csp), ["img-src 'self'"]);
        assert!(!none.has(REPORTING_ENDPOINTS));
    }

    #[test]
    fn endpoints_of_the_application_are_not_put_at_risk() {
        for (lines_sent, joins) in [
            (&["default=\"/r\""][..], true),
            (&["a=\"/r\"", "b=\"/s\";x=1"], true),
            (&[""], true),
            (&["vestibule-csp=\"/other\""], false),
            (&["a=\"/r\"", "vestibule-csp=\"/other\""], false),
            (&["a=\"/r\"", "not a dictionary"], false),
            (&["a=/r"], false),
            (&["é=\"/r\""], false),
        ] {
            let before = page(&lines_sent.iter().map(|line| ("reporting-endpoints", *line)).collect::<Vec<_>>());
            let after = added(Mode::ReportOnly, true, Scheme::Https, before.clone());
            let said = lines(&after, "content-security-policy-report-only");
            let suffix = if joins { "; report-to vestibule-csp" } else { "" };
            assert_eq!(said, [format!("img-src 'self'; report-uri {PATH}{suffix}")], "{lines_sent:?}");
            let endpoints = lines(&after, "reporting-endpoints");
            assert_eq!(endpoints[..lines_sent.len()], lines(&before, "reporting-endpoints"));
            assert_eq!(endpoints.len() - lines_sent.len(), usize::from(joins), "{lines_sent:?}");
        }
    }

    #[test]
    fn a_policy_that_reports_elsewhere_is_left_alone() {
        let policy = Policy::new("img-src *; report-uri /own", Mode::Enforce, Some(PATH)).expect("a policy");
        assert_eq!(policy.reporting(Scheme::Https), Reporting::Untold);
        let mut fields = page(&[]);
        policy.add(StatusCode::OK, &mut fields, Scheme::Https);
        assert_eq!(lines(&fields, "content-security-policy"), ["img-src *; report-uri /own"]);
    }

    #[test]
    fn without_a_policy_or_a_mode_nothing_is_added() {
        assert_eq!(Policy::new("", Mode::Enforce, Some(PATH)), None);
        assert_eq!(Policy::new("img-src *", Mode::Off, Some(PATH)), None);
    }
}
