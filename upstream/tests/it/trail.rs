//! The audit trail: events as the proxy sends them, and the two doors they go through.

use axum::body::Body;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::service::{Place, Service};

pub(crate) const BATCH: &str = "application/cloudevents-batch+json";
pub(crate) const INGEST: &str = "Bearer ingest-token";
pub(crate) const ADMIN: &str = "Bearer admin-token";

/// The UUIDv7 that ends with `number`.
pub(crate) fn id(number: u32) -> String {
    format!("01a20000-0000-7000-8000-{number:012x}")
}

/// The time `second` seconds into 2026, as the proxy writes it.
pub(crate) fn time(second: u32) -> String {
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("2026-01-01T{hour:02}:{minute:02}:{second:02}.000Z")
}

/// What the proxy says of a request, by a user, in second `number` of 2026.
pub(crate) fn event(kind: &str, number: u32, request: u32) -> Value {
    let ended = kind != "started";
    json!({
        "specversion": "1.0",
        "id": id(number),
        "source": "urn:vestibule:01a20000-0000-7000-8000-00000000c0de",
        "type": format!("io.vestibule.request.{kind}"),
        "subject": "project:7",
        "time": time(number),
        "datacontenttype": "application/json",
        "data": {
            "schema": 1,
            "request_id": id(request),
            "actor": {"type": "user", "id": "user-1"},
            "action": "project.update",
            "resource": "project:7",
            "route": "projects",
            "outcome": if ended { json!("success") } else { json!(null) },
            "status": if ended { json!(200) } else { json!(null) },
            "client": {"prefix": "203.0.113.0/24", "hash": "0123456789abcdef"},
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "started_at": time(number),
            "duration_us": if ended { json!(1_500) } else { json!(null) },
            "request_bytes": 10,
            "response_bytes": 20,
            "replayed": false,
            "metadata": {"method": "PATCH", "query": {"q": "[redacted]"}}
        }
    })
}

/// A request that is over, with some members of its `data` changed.
pub(crate) fn finished(number: u32, changes: &Value) -> Value {
    let mut event = event("finished", number, 0x1_0000 + number);
    for (name, value) in changes.as_object().expect("an object") {
        event["data"][name] = value.clone();
    }
    event
}

impl Place {
    /// Serves with both doors open.
    pub(crate) fn serve_trail(&self) -> Service {
        let ingest = self.file("ingest-token", "ingest-token\n", 0o600);
        let admin = self.file("admin-token", "admin-token\n", 0o640);
        self.serve_with(&[("AUDIT_INGEST_TOKEN_FILE", &ingest), ("ADMIN_TOKEN_FILE", &admin)])
    }
}

impl Service {
    /// Delivers a batch as the proxy does.
    pub(crate) async fn deliver(&self, events: &[Value]) -> Answer {
        let headers = [("content-type", BATCH), ("authorization", INGEST)];
        self.internal.send("POST", "/internal/audit-events", &headers, json!(events).to_string()).await
    }

    /// Delivers a batch that must be taken.
    pub(crate) async fn take(&self, events: &[Value]) {
        let answer = self.deliver(events).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{answer:?}");
    }

    /// Lists the trail as an admin.
    pub(crate) async fn trail(&self, query: &str) -> Answer {
        let path = format!("/api/v1/admin/audit-logs?{query}");
        self.public.send("GET", &path, &[("authorization", ADMIN)], Body::empty()).await
    }

    /// How many events met a fate, by the metrics.
    pub(crate) async fn met(&self, fate: &str) -> u64 {
        let name = format!("upstream_audit_rows_total{{outcome=\"{fate}\",source=\"proxy\"}} ");
        let text = self.internal.get("/metrics").await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(&name));
        value.expect("a series").parse().expect("a number")
    }
}
