//! What would be done with a request.

use crate::header::{Policy, Reporting, Scheme};
use crate::sinks::Sink;
use http::Method;
use vestibule_plugin::units::{Rate, Size};

/// Of a page.
pub(crate) fn page(policy: Option<&Policy>, route: &str, scheme: Scheme, path: &str) -> String {
    let Some(policy) = policy else { return "adds no header".to_owned() };
    let reporting = policy.reporting(scheme);
    let by = match reporting {
        Reporting::Untold => String::new(),
        Reporting::Uri => format!("; reports to {path} by report-uri"),
        Reporting::UriAndTo => format!("; reports to {path} by report-uri, report-to"),
    };
    let (field, digest) = (policy.field(), policy.digest(reporting));
    format!("would add {field} (route {route}, policy {digest:016x}) to HTML without a policy{by}")
}

/// Of a request to the path of reports.
pub(crate) fn reports(method: &Method, rate: Rate, max_body: Size, sample: f64, sinks: &[Sink]) -> String {
    match *method {
        Method::POST => {
            let names: Vec<String> = sinks.iter().map(shown).collect();
            let sinks = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!(
                "taken here: {rate} per client, at most {max_body} and {} reports, sample {sample:?}, sinks {sinks}",
                crate::report::MAX_ELEMENTS
            )
        }
        Method::OPTIONS => "answered here: 204, pages of every origin may send reports".to_owned(),
        _ => "answered here: 405, reports are sent with POST".to_owned(),
    }
}

fn shown(sink: &Sink) -> String {
    match sink {
        Sink::Log => "log".to_owned(),
        Sink::File(path) => format!("file:{}", path.display()),
        Sink::Http(endpoint) => endpoint.shown(),
        Sink::Store(_) => "store".to_owned(),
    }
}
