//! Request bodies: what is refused, and that everything wrong is told at once.

use serde_json::json;

use crate::service::Place;

#[tokio::test]
async fn every_error_of_a_body_is_told_at_once() {
    let place = Place::new();
    let service = place.serve();
    let body = json!({"id": "x", "name": "", "slug": "A", "description": 1, "status": null, "version": 1, "extra": 1});
    let expected = ["/id", "/name", "/slug", "/description", "/status", "/extra", "/version"];
    assert_eq!(service.public.create(&body).await.pointers(), expected);
    let path = service.public.created("a").await;
    let put = service.public.json("PUT", &path, &[], &json!({"name": "a"})).await;
    assert_eq!(put.pointers(), ["/slug", "/description", "/status"]);
    let patch = service.public.patch(&path, &[], &json!({"name": null, "owner_id": "x"})).await;
    assert_eq!(patch.pointers(), ["/name", "/owner_id"]);
    assert_eq!(service.public.patch(&path, &[], &json!([])).await.pointers(), [""]);
}

#[tokio::test]
async fn u_0000_is_422_in_any_string() {
    let place = Place::new();
    let service = place.serve();
    let answer = service.public.create(&json!({"name": "a\u{0}b", "slug": "a", "description": "\u{0}"})).await;
    assert_eq!(answer.pointers(), ["/name", "/description"]);
}

#[tokio::test]
async fn lengths_count_characters() {
    let place = Place::new();
    let service = place.serve();
    let longest = json!({"name": "😀".repeat(120), "slug": "z".repeat(64), "description": "😀".repeat(10_000)});
    assert_eq!(service.public.create(&longest).await.status, 201);
    let longer = json!({"name": "😀".repeat(121), "slug": "z".repeat(65), "description": "😀".repeat(10_001)});
    assert_eq!(service.public.create(&longer).await.pointers(), ["/name", "/slug", "/description"]);
}

#[tokio::test]
async fn malformed_json_is_400() {
    let place = Place::new();
    let service = place.serve();
    let deep = "[".repeat(1_000);
    for body in ["", "{", "{\"name\":}", "{} {}", "\u{feff}{}", "{\"a\":\"\\ud800\"}", "nul", deep.as_str()] {
        let headers = [("content-type", "application/json; charset=utf-8")];
        let answer = service.public.send("POST", "/api/v1/projects", &headers, body.to_owned()).await;
        answer.problem(400, "malformed-body");
    }
    let answer = service
        .public
        .send("POST", "/api/v1/projects", &[("content-type", "application/json")], &b"{\"name\":\"\xff\"}"[..])
        .await;
    answer.problem(400, "malformed-body");
}

#[tokio::test]
async fn other_content_types_are_415() {
    let place = Place::new();
    let service = place.serve();
    let path = service.public.created("a").await;
    let send = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        service.public.send(method, path, headers, "{}").await
    };
    send("POST", "/api/v1/projects", &[]).await.problem(415, "unsupported-media-type");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/merge-patch+json"]
    {
        send("POST", "/api/v1/projects", &[("content-type", kind)]).await.problem(415, "unsupported-media-type");
        send("PUT", &path, &[("content-type", kind)]).await.problem(415, "unsupported-media-type");
    }
    let patch = send("PATCH", &path, &[("content-type", "application/merge-patch+json")]).await;
    assert_eq!(patch.status, 200);
}

#[tokio::test]
async fn a_body_beyond_1_mib_is_413() {
    let place = Place::new();
    let service = place.serve();
    let headers = [("content-type", "application/json")];
    let within = format!("{{}}{}", " ".repeat(1024 * 1024 - 2));
    let answer = service.public.send("POST", "/api/v1/projects", &headers, within.clone()).await;
    assert_eq!(answer.pointers(), ["/name", "/slug"]);
    let answer = service.public.send("POST", "/api/v1/projects", &headers, format!("{within} ")).await;
    answer.problem(413, "body-too-large");
}
