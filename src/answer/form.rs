//! The form an error takes: problem+json, a small page for browsers, trailers for gRPC. Pure.

use crate::downstream::Head;
use crate::exchange::Request;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use serde::ser::{Serialize, SerializeMap, Serializer};
use vestibule_plugin::{Fields, FullResponse, Problem};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a client can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 9457.
    Json,
    /// A browser in front of a person.
    Html,
    /// gRPC: HTTP 200 with the status in one header block.
    Grpc,
}

impl Form {
    /// What this request's sender can read.
    pub fn of(request: &Request, head: &Head) -> Self {
        if request.is_grpc {
            return Self::Grpc;
        }
        let accept = head.fields.text(header::ACCEPT).unwrap_or("");
        if accept.contains("text/html") && !accept.contains("json") { Self::Html } else { Self::Json }
    }

    /// The complete response.
    pub fn render(self, problem: &Problem, trace_id: u128) -> FullResponse {
        let mut fields = Fields::with_capacity(problem.fields.len() + 3);
        fields.set(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

        match self {
            Self::Json => {
                // Nothing in it can fail to be written.
                let body = serde_json::to_vec(&Json { problem, trace_id }).unwrap_or_default();
                fields.set(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
                extend(&mut fields, problem);
                FullResponse { status: problem.status, fields, body: Bytes::from(body) }
            }
            Self::Html => {
                let body = html(problem, trace_id);
                fields.set(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
                extend(&mut fields, problem);
                FullResponse { status: problem.status, fields, body: Bytes::from(body) }
            }
            Self::Grpc => {
                fields.set(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                fields.set(GRPC_STATUS, HeaderValue::from(problem.grpc as u16));
                let message = if problem.detail.is_empty() { problem.title } else { &problem.detail };
                if let Ok(message) = HeaderValue::from_str(&grpc_message(message)) {
                    fields.set(GRPC_MESSAGE, message);
                }
                extend(&mut fields, problem);
                FullResponse { status: StatusCode::OK, fields, body: Bytes::new() }
            }
        }
    }
}

fn extend(fields: &mut Fields, problem: &Problem) {
    for (name, value) in &problem.fields {
        fields.append(name, value);
    }
}

/// A problem as RFC 9457 section 3 writes it. Refusals are what an attack is answered with, so no tree is built.
struct Json<'a> {
    problem: &'a Problem,
    trace_id: u128,
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { problem, trace_id } = self;
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("type", &problem.type_uri())?;
        members.serialize_entry("title", problem.title)?;
        members.serialize_entry("status", &problem.status.as_u16())?;
        if !problem.detail.is_empty() {
            members.serialize_entry("detail", &problem.detail)?;
        }
        members.serialize_entry("instance", &format_args!("urn:trace:{trace_id:032x}"))?;
        for (name, value) in &problem.members {
            members.serialize_entry(name, value)?;
        }
        members.end()
    }
}

fn html(problem: &Problem, trace_id: u128) -> String {
    let status = problem.status.as_u16();
    let title = escape(problem.title);
    let detail = escape(&problem.detail);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{status} {title}</title></head>\n\
         <body><h1>{title}</h1><p>{detail}</p><p><small>{status} &middot; {trace_id:032x}</small></p></body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Percent-encoding of gRPC's `Status-Message`: everything outside 0x20–0x7E, and `%`.
fn grpc_message(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x20..=0x7e).contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::time::Duration;

    fn problem() -> Problem {
        Problem::new("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Overloaded")
            .detail("100 % <busy>")
            .retry_after(Duration::from_millis(10))
            .member("limit", 7)
    }

    #[test]
    fn a_problem_has_its_members_in_order() {
        let full = Form::Json.render(&problem(), 0xabc);
        let text = String::from_utf8(full.body.to_vec()).expect("text");
        let value: Value = serde_json::from_str(&text).expect("json");
        assert_eq!(value["type"], "urn:vestibule:problem:overloaded");
        assert_eq!(value["instance"], "urn:trace:00000000000000000000000000000abc");
        assert_eq!(value["limit"], 7);
        assert_eq!(full.fields.text("retry-after"), Some("1"));
        assert_eq!(full.fields.text("cache-control"), Some("no-store"));
    }

    #[test]
    fn a_page_is_escaped_and_a_grpc_answer_has_no_body() {
        let page = Form::Html.render(&problem(), 1);
        assert!(String::from_utf8(page.body.to_vec()).expect("text").contains("&lt;busy&gt;"));
        let grpc = Form::Grpc.render(&problem(), 1);
        assert_eq!((grpc.status, grpc.body.len()), (StatusCode::OK, 0));
        assert_eq!(grpc.fields.text("grpc-status"), Some("14"));
        assert_eq!(grpc.fields.text("grpc-message"), Some("100 %25 <busy>"));
    }
}
