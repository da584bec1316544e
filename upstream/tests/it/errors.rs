//! Problem documents and the access line that belongs to each request.

use axum::body::Body;
use serde_json::json;

use crate::service::Place;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn unknown_paths_and_ids_are_404() {
    let place = Place::new();
    let service = place.serve();
    for path in [
        "/",
        "/nope",
        "/api/v1/projects/",
        "/api/v1/projects/1",
        "/api/v1/projects/%ff",
        "/api/v1/projects/01900000-0000-7000-8000-000000000009",
    ] {
        service.public.get(path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_method_a_path_does_not_have_is_405_and_allow_names_the_others() {
    let place = Place::new();
    let service = place.serve();
    for (method, path, allow) in [
        ("DELETE", "/health", "GET,HEAD"),
        ("PUT", "/api/v1/projects", "GET,HEAD,POST"),
        ("POST", "/api/v1/projects/x", "GET,HEAD,PUT,PATCH,DELETE"),
    ] {
        let answer = service.public.send(method, path, &[], Body::empty()).await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), allow);
    }
}

#[tokio::test]
async fn a_problem_names_the_trace_of_the_caller() {
    let place = Place::new();
    let service = place.serve();
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let continued = service.public.send("GET", "/nope", &[("traceparent", &traceparent)], Body::empty()).await;
    assert_eq!(continued.problem(404, "not-found")["instance"], format!("urn:trace:{TRACE}"));
    let twice = [("traceparent", traceparent.as_str()), ("traceparent", traceparent.as_str())];
    let restarted = service.public.send("GET", "/nope", &twice, Body::empty()).await;
    assert_ne!(restarted.problem(404, "not-found")["instance"], format!("urn:trace:{TRACE}"));
}

#[tokio::test]
async fn each_request_has_one_access_line_without_its_query() {
    let place = Place::new();
    let service = place.serve();
    let path = service.public.created("a").await;
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    service.public.send("GET", &format!("{path}?secret=1"), &[("traceparent", &traceparent)], Body::empty()).await;
    service.public.patch(&path, &[("if-match", "\"0.0\"")], &json!({})).await;
    service.public.get("/nope").await;
    service.terminate();
    let (status, lines) = service.ended();
    assert!(status.success());
    let requests: Vec<_> = lines.iter().filter(|line| line["msg"] == "request").collect();
    let seen: Vec<_> = requests
        .iter()
        .map(|line| {
            (line["method"].as_str(), line["route"].as_str(), line["status"].as_u64(), line["problem"].as_str())
        })
        .collect();
    let (list, item) = (Some("/api/v1/projects"), Some("/api/v1/projects/{id}"));
    assert_eq!(
        seen,
        [
            (Some("POST"), list, Some(201), None),
            (Some("GET"), item, Some(200), None),
            (Some("PATCH"), item, Some(412), Some("version-conflict")),
            (Some("GET"), Some("unmatched"), Some(404), Some("not-found")),
        ]
    );
    assert_eq!(requests[1]["trace_id"], TRACE);
    assert_eq!(requests[1]["path"], path);
    assert_eq!(requests[1]["level"], "info");
    assert!(requests[1]["duration_ms"].as_f64().is_some_and(|took| took > 0.0));
    assert!(requests[1]["ts"].as_str().is_some_and(|ts| ts.len() == 27 && ts.ends_with('Z')));
}
