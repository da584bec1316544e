//! The two listeners, which share no route, and what each says of itself.

use serde_json::json;

use crate::service::Place;

/// UP-22: nothing of one listener is on the other.
#[tokio::test]
async fn the_listeners_share_no_route() {
    let place = Place::new();
    let service = place.serve();
    for path in ["/metrics", "/livez", "/internal/audit-events"] {
        service.public.get(path).await.problem(404, "not-found");
    }
    for path in ["/health", "/api/v1/config", "/api/v1/projects"] {
        service.internal.get(path).await.problem(404, "not-found");
    }
    assert_eq!(service.internal.get("/livez").await.status, 200);
}

#[tokio::test]
async fn clients_are_told_what_they_need_to_know() {
    let place = Place::new();
    let service = place.serve();
    let answer = service.public.get("/api/v1/config").await;
    assert_eq!(answer.header("cache-control"), "public, max-age=60");
    let config = answer.value();
    assert_eq!(config["name"], "vestibule-upstream");
    assert_eq!(config["page_size"], json!({"default": 20, "max": 100}));
    assert_eq!(config["idempotency"], json!({"header": "Idempotency-Key", "ttl_seconds": 86_400}));
}

/// UP-23, the part of the application: the histograms count requests by route template and queries by table.
#[tokio::test]
async fn metrics_count_requests_and_queries() {
    let place = Place::new();
    let service = place.serve();
    let path = service.public.created("a").await;
    service.public.get(&path).await;
    service.public.get("/api/v1/projects").await;
    service.public.get("/nope/secret").await;
    let answer = service.internal.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    let http = "http_server_request_duration_seconds_count";
    let db = "db_client_operation_duration_seconds_count";
    for line in [
        format!(
            "{http}{{http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"/api/v1/projects/{{id}}\"}} 1"
        ),
        format!("{http}{{http_request_method=\"GET\",http_response_status_code=\"404\",http_route=\"unmatched\"}} 1"),
        format!(
            "{db}{{db_collection_name=\"projects\",db_operation_name=\"INSERT\",db_system_name=\"sqlite\",error_type=\"\"}} 1"
        ),
        // Whether the id is taken, the item, the count and the page.
        format!(
            "{db}{{db_collection_name=\"projects\",db_operation_name=\"SELECT\",db_system_name=\"sqlite\",error_type=\"\"}} 4"
        ),
        format!(
            "{db}{{db_collection_name=\"\",db_operation_name=\"COMMIT\",db_system_name=\"sqlite\",error_type=\"\"}} 1"
        ),
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    // Connections come back a moment after their answer; how many are in use just now is open.
    assert!(text.contains("db_client_connection_count{db_client_connection_state=\"used\"}"));
    assert!(!text.contains("secret") && !text.contains(&path));
}
