//! The audit trail, as an admin reads it.

use axum::body::Body;
use serde_json::{Value, json};

use crate::service::{Place, Service};
use crate::trail::{ADMIN, finished, id};

/// Six rows in seconds 1, 2, 3, 3, 3 and 4 of 2026.
async fn served(place: &Place) -> Service {
    let service = place.serve_trail();
    let mut events = vec![
        finished(1, &json!({"action": "auth.login", "actor": {"type": "anonymous", "id": null}})),
        finished(2, &json!({"action": "auth.logout", "actor": {"type": "user", "id": "user-2"}})),
        finished(3, &json!({"action": "auth"})),
        finished(4, &json!({"action": "auth/x", "actor": {"type": "api_key", "id": "user-1"}})),
        finished(
            5,
            &json!({"action": "project.*", "actor": {"type": "user", "id": "h:0123456789abcdef0123456789abcdef"}}),
        ),
        finished(6, &json!({})),
    ];
    events[3]["time"] = events[2]["time"].clone();
    events[4]["time"] = events[2]["time"].clone();
    events[5]["time"] = json!("2026-01-01T00:00:04.000Z");
    // The order of arrival is no order of the list.
    events.swap(0, 4);
    events.swap(1, 5);
    service.take(&events).await;
    service
}

fn rows(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| id(*number)).collect()
}

#[tokio::test]
async fn a_row_is_the_event_in_the_shape_of_the_table() {
    let place = Place::new();
    let service = place.serve_trail();
    service.take(&[finished(1, &json!({"metadata": {"body": {"note": "a\u{0}ä"}}}))]).await;
    let answer = service.trail("").await;
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    assert_eq!((answer.header("vary"), answer.header("etag")), ("authorization", ""));
    let expected = json!({
        "items": [{
            "id": id(1),
            "user_id": "user-1",
            "action": "project.update",
            "resource": "project:7",
            "metadata": {
                "body": {"note": "a\u{0}ä"},
                "client": {"prefix": "203.0.113.0/24", "hash": "0123456789abcdef"},
                "duration_us": 1_500,
                "outcome": "success",
                "replayed": false,
                "route": "projects",
                "status": 200,
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            },
            "created_at": "2026-01-01T00:00:01.000000Z",
            "source": "proxy",
            "event_id": id(1),
            "request_id": id(0x1_0001),
        }],
        "page": 1, "page_size": 20, "total": 1,
    });
    assert_eq!(answer.value(), expected);
}

/// UP-20, AUD-24: each filter, alone and together.
#[tokio::test]
async fn filters_hold_together_and_the_newest_come_first() {
    let place = Place::new();
    let service = served(&place).await;
    for (query, expected) in [
        ("", &[6, 5, 4, 3, 2, 1][..]),
        ("user_id=user-1", &[6, 3]),
        ("user_id=h:0123456789abcdef0123456789abcdef", &[5]),
        ("user_id=user", &[]),
        ("action=auth", &[3]),
        ("action=auth*", &[4, 3, 2, 1]),
        ("action=auth.*", &[2, 1]),
        ("action=AUTH*", &[]),
        ("action=project.**", &[5]),
        ("action=project.*", &[6, 5]),
        ("action=*", &[6, 5, 4, 3, 2, 1]),
        ("action=%25*", &[]),
        ("source=proxy", &[6, 5, 4, 3, 2, 1]),
        ("source=app", &[]),
        ("action=auth*&user_id=user-1&source=proxy&to=2026-01-02T00:00:00Z", &[3]),
    ] {
        let answer = service.trail(query).await;
        assert_eq!(answer.ids(), rows(expected), "{query}");
        assert_eq!(answer.value()["total"], expected.len(), "{query}");
    }
}

/// UP-20: the first border of a range is in it, the second is not.
#[tokio::test]
async fn a_range_has_its_first_border_and_not_its_second() {
    let place = Place::new();
    let service = served(&place).await;
    for (query, expected) in [
        ("from=2026-01-01T00:00:03Z", &[6, 5, 4, 3][..]),
        ("from=2026-01-01T00:00:03.000001Z", &[6]),
        ("to=2026-01-01T00:00:03Z", &[2, 1]),
        ("to=2026-01-01T00:00:03.000001Z", &[5, 4, 3, 2, 1]),
        ("from=2026-01-01T00:00:02Z&to=2026-01-01T00:00:03Z", &[2]),
        ("from=2026-01-01T02:00:04%2B02:00&to=2025-12-31T19:00:05-05:00", &[6]),
        ("from=2026-01-01T00:00:03Z&to=2026-01-01T00:00:03Z", &[]),
    ] {
        assert_eq!(service.trail(query).await.ids(), rows(expected), "{query}");
    }
}

/// UP-20, AUD-24: pages neither overlap nor skip, also among rows of one moment.
#[tokio::test]
async fn walking_the_trail_meets_every_row_once() {
    let place = Place::new();
    let service = place.serve_trail();
    let mut events: Vec<_> = (0..57).map(|number| finished(number, &json!({}))).collect();
    for event in &mut events {
        event["time"] = json!("2026-01-01T00:00:00.000Z");
    }
    service.take(&events).await;
    let mut met = Vec::new();
    for (page, items) in [(1, 20), (2, 20), (3, 17), (4, 0), (1_000_000, 0)] {
        let answer = service.trail(&format!("page={page}&page_size=20&action=project*")).await;
        let list = answer.value();
        assert_eq!((&list["page"], &list["page_size"], &list["total"]), (&json!(page), &json!(20), &json!(57)));
        assert_eq!(answer.ids().len(), items, "page {page}");
        met.extend(answer.ids());
    }
    assert_eq!(met, rows(&(0..57).rev().collect::<Vec<_>>()));
}

#[tokio::test]
async fn what_the_trail_does_not_know_is_422_and_named() {
    let place = Place::new();
    let service = place.serve_trail();
    for (query, pointers) in [
        ("page=0", vec!["/page"]),
        ("page_size=101", vec!["/page_size"]),
        ("user_id=", vec!["/user_id"]),
        ("action=", vec!["/action"]),
        ("action=a&action=b", vec!["/action"]),
        ("source=database", vec!["/source"]),
        ("from=2026-01-01T00:00:00", vec!["/from"]),
        ("to=2026-01-01", vec!["/to"]),
        ("from=2026-01-01T00:00:01Z&to=2026-01-01T00:00:00Z", vec!["/from"]),
        ("sort=created_at", vec!["/sort"]),
        ("q=a&source=x", vec!["/source", "/q"]),
    ] {
        assert_eq!(service.trail(query).await.pointers(), pointers, "{query}");
    }
}

/// UP-20, AUD-24: whoever is no admin gets 403, whatever they ask.
#[tokio::test]
async fn only_an_admin_may_read() {
    let place = Place::new();
    let service = served(&place).await;
    for fields in [
        &[][..],
        &[("authorization", "Bearer admin-toke")],
        &[("authorization", "Bearer ingest-token")],
        &[("authorization", "Basic admin-token")],
        &[("authorization", ADMIN), ("authorization", ADMIN)],
        &[("x-auth-roles", "admin"), ("x-auth-subject", "user-1")],
    ] {
        for query in ["", "?page=0"] {
            let path = format!("/api/v1/admin/audit-logs{query}");
            let answer = service.public.send("GET", &path, fields, Body::empty()).await;
            answer.problem(403, "forbidden");
            assert!(!answer.text().contains("user-2"));
        }
    }
    service
        .internal
        .send("GET", "/api/v1/admin/audit-logs", &[("authorization", ADMIN)], Body::empty())
        .await
        .problem(404, "not-found");
}

/// No endpoint changes or deletes a row, and reading adds none.
#[tokio::test]
async fn the_trail_can_only_be_read() {
    let place = Place::new();
    let service = served(&place).await;
    let before = service.trail("").await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let headers = [("authorization", ADMIN)];
        let answer = service.public.send(method, "/api/v1/admin/audit-logs", &headers, Body::empty()).await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), "GET,HEAD");
        let path = format!("/api/v1/admin/audit-logs/{}", id(1));
        service.public.send(method, &path, &headers, Body::empty()).await.problem(404, "not-found");
    }
    assert_eq!(service.trail("").await.body, before.body);
    let rows: Value = before.value();
    assert_eq!(rows["total"], 6);
}
