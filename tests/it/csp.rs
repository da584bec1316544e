//! Content Security Policy through the whole program: the header pages get, and what becomes of what browsers report.

mod bounds;
mod browser;
mod configuration;
mod folding;
mod header;
mod intake;
mod looking;
mod privacy;
mod sinks;

use serde_json::{Value, json};
use vestibule_testkit::{Answer, Origin, Proxy, Request, Setup};

/// Where reports go unless the file says otherwise.
const PATH: &str = "/_vestibule/reports";
/// Each report once.
const REPORTS: &str = "vestibule_csp_reports_total";

/// An application, and a proxy that collects reports.
struct Stage {
    origin: Origin,
    proxy: Proxy,
}

impl Stage {
    /// `lines` are further ones of `[csp]` and tables behind it; the rate is out of the way unless they say it.
    async fn collecting(lines: &str) -> Self {
        let rate = if lines.contains("rate =") { "" } else { "rate = \"1000000/min\"\n" };
        let origin = Origin::returning(200, "ok");
        let proxy = before(&origin, &format!("[csp]\nreports = true\n{rate}{lines}")).await;
        Self { origin, proxy }
    }

    /// Sends a body as reports of the Reporting API.
    fn send(&self, body: &Value) -> Request {
        self.raw("application/reports+json", body.to_string())
    }

    fn raw(&self, media_type: &str, body: impl Into<bytes::Bytes>) -> Request {
        self.proxy.post(PATH).header("content-type", media_type).body(body)
    }

    /// Sends a body and asserts that it is taken.
    async fn takes(&self, body: &Value) {
        let answer = self.send(body).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// `GET /csp` with this query.
    async fn listed(&self, query: &str) -> Value {
        let answer = self.proxy.admin("GET", &format!("/csp{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// How many reports had this outcome, whatever their directive.
    async fn counted(&self, outcome: &str) -> u64 {
        let scrape = self.proxy.metrics().await;
        scrape.matching(REPORTS, &[("outcome", outcome)]).map(|sample| sample.value as u64).sum()
    }
}

async fn before(origin: &Origin, toml: &str) -> Proxy {
    Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await
}

/// A report of the Reporting API.
fn report(directive: &str, blocked: &str, document: &str) -> Value {
    json!({
        "type": "csp-violation", "age": 10, "url": document, "user_agent": "browser/1",
        "body": {
            "documentURL": document, "effectiveDirective": directive, "blockedURL": blocked, "disposition": "report",
            "originalPolicy": "default-src 'self'", "statusCode": 200, "lineNumber": 3, "columnNumber": 5
        }
    })
}

/// One about an image, for a page of this path.
fn image(path: &str) -> Value {
    report("img-src", "https://cdn.example.net/a.png", &format!("https://app.example.com{path}"))
}

/// The same as browsers without the Reporting API send it.
fn old_image(path: &str) -> Value {
    json!({"csp-report": {
        "document-uri": format!("https://app.example.com{path}"), "effective-directive": "img-src",
        "violated-directive": "img-src", "blocked-uri": "https://cdn.example.net/a.png", "disposition": "report"
    }})
}

/// A path of letters alone, so that no part of it is taken for an identifier.
fn lettered(number: usize) -> String {
    format!("/{}", format!("{number:05}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect::<String>())
}

fn counts(listed: &Value) -> Vec<u64> {
    let violations = listed["violations"].as_array().expect("violations");
    violations.iter().map(|violation| violation["count"].as_u64().expect("a count")).collect()
}

fn values<'a>(answer: &'a Answer, name: &'a str) -> Vec<&'a str> {
    answer.fields.all(name).collect()
}
