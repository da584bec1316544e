//! The tokens of the audit trail: what stops a start, and what is closed without one.

use std::path::{Path, PathBuf};

use axum::body::Body;
use serde_json::json;

use crate::service::Place;
use crate::trail::{ADMIN, BATCH, INGEST, finished};

#[test]
fn a_token_file_that_cannot_be_used_stops_the_start_and_its_variable_is_named() {
    let place = Place::new();
    let refused = [
        place.file("others", "hunter2\n", 0o644),
        place.file("empty", "", 0o600),
        place.file("blank", "\n", 0o600),
        place.file("lines", "hunter2\nhunter2\n", 0o600),
        place.database().with_file_name("absent"),
        place.database().with_file_name("."),
    ];
    for variable in ["AUDIT_INGEST_TOKEN_FILE", "ADMIN_TOKEN_FILE"] {
        for path in refused.iter().map(PathBuf::as_path).chain([Path::new("")]) {
            let output = place.command(&["serve"]).env(variable, path).output().expect("the binary runs");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{variable} {path:?}: {stderr}");
            assert!(stderr.contains(variable) && !stderr.contains("hunter2"), "{stderr}");
        }
    }
}

#[tokio::test]
async fn without_a_token_nobody_delivers_and_nobody_is_admin() {
    let place = Place::new();
    let service = place.serve();
    let headers = [("content-type", BATCH), ("authorization", INGEST)];
    let body = json!([finished(1, &json!({}))]).to_string();
    service.internal.send("POST", "/internal/audit-events", &headers, body).await.problem(404, "not-found");
    for authorization in [ADMIN, "Bearer ", ""] {
        let headers = [("authorization", authorization)];
        let answer = service.public.send("GET", "/api/v1/admin/audit-logs", &headers, Body::empty()).await;
        answer.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn no_line_of_the_log_holds_a_token() {
    let place = Place::new();
    let service = place.serve_trail();
    service.take(&[finished(1, &json!({}))]).await;
    assert_eq!(service.trail("").await.status, 200);
    service.terminate();
    let (status, lines) = service.ended();
    assert!(status.success());
    let log = json!(lines).to_string();
    assert!(!log.contains("ingest-token") && !log.contains("admin-token"), "{log}");
}
