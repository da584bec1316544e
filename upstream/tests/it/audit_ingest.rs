//! The audit trail of the proxy, as it arrives.

use std::time::{Duration, Instant};

use axum::body::Body;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::service::Place;
use crate::trail::{BATCH, INGEST, event, finished, id};

/// Fifty requests: a start each, and an end for most.
fn batch() -> Vec<Value> {
    let starts = (0..50).map(|number| event("started", number, 1_000 + number));
    let ends = (0..45).map(|number| event("finished", 100 + number, 1_000 + number));
    starts.chain(ends).collect()
}

/// UP-18, AUD-24: a batch that comes again, also after a kill, adds nothing.
#[tokio::test]
async fn a_batch_delivered_three_times_makes_its_rows_once() {
    let place = Place::new();
    let mut service = place.serve_trail();
    service.take(&batch()).await;
    let rows = service.trail("page_size=100").await;
    assert_eq!(rows.ids().len(), 50);
    service.take(&batch()).await;
    assert_eq!(service.trail("page_size=100").await.body, rows.body);
    assert_eq!((service.met("stored").await, service.met("replaced").await, service.met("known").await), (50, 45, 95));

    service.kill();
    let service = place.serve_trail();
    service.take(&batch()).await;
    assert_eq!(service.trail("page_size=100").await.body, rows.body);
    assert_eq!((service.met("stored").await, service.met("replaced").await, service.met("known").await), (0, 0, 95));
}

/// UP-18: three deliveries at once are as good as one.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_delivered_three_times_at_once_makes_its_rows_once() {
    let place = Place::new();
    let service = place.serve_trail();
    let events = batch();
    tokio::join!(service.take(&events), service.take(&events), service.take(&events));
    assert_eq!(service.trail("").await.value()["total"], 50);
    assert_eq!((service.met("stored").await, service.met("known").await), (50, 190));
}

/// UP-18: one bad event, and nothing of its batch is kept; without it all of the rest is.
#[tokio::test]
async fn a_batch_with_a_bad_event_is_refused_whole() {
    let place = Place::new();
    let service = place.serve_trail();
    let mut events = batch();
    events[1]["data"]["request_id"] = json!("1");
    events[7]["time"] = json!("yesterday");
    events[9] = json!(null);
    assert_eq!(service.deliver(&events).await.pointers(), ["/1/data/request_id", "/7/time", "/9"]);
    assert_eq!(service.trail("").await.value()["total"], 0);
    assert_eq!((service.met("refused").await, service.met("stored").await), (3, 0));
    for bad in [9, 7, 1] {
        events.remove(bad);
    }
    service.take(&events).await;
    assert_eq!(service.trail("").await.value()["total"], 50);
}

/// AUD-24: whatever the order and the batches, a request is one row, and that of its end once it came.
#[tokio::test]
async fn an_end_takes_the_place_of_its_start_in_every_order() {
    let (s, f, i) = (event("started", 1, 9), event("finished", 2, 9), event("interrupted", 3, 9));
    let orders: [&[&[&Value]]; 9] = [
        &[&[&f]],
        &[&[&s], &[&f]],
        &[&[&s, &f]],
        &[&[&f], &[&s]],
        &[&[&f, &s]],
        &[&[&s, &f], &[&s], &[&s, &f]],
        &[&[&f, &s, &f, &s]],
        // An end that comes after another changes nothing: there is one a request.
        &[&[&s], &[&f], &[&i]],
        &[&[&f, &i], &[&i]],
    ];
    let mut seen = Vec::new();
    for order in orders {
        let place = Place::new();
        let service = place.serve_trail();
        for batch in order {
            let events: Vec<_> = batch.iter().map(|event| (*event).clone()).collect();
            service.take(&events).await;
        }
        let rows = service.trail("").await;
        assert_eq!(rows.ids(), [id(2)], "{order:?}");
        seen.push(rows.body);
    }
    assert!(seen.iter().all(|body| *body == seen[0]));
}

/// AUD-24: a start waits for its end through a kill, and its id stays known when it has no row any more.
#[tokio::test]
async fn a_start_waits_for_its_end_across_a_restart() {
    for end in ["finished", "interrupted"] {
        let place = Place::new();
        let started = event("started", 1, 9);
        let mut service = place.serve_trail();
        service.take(std::slice::from_ref(&started)).await;
        let row = service.trail("").await.value()["items"][0].clone();
        assert_eq!((&row["id"], &row["metadata"]["status"]), (&json!(id(1)), &Value::Null));
        service.kill();

        let mut service = place.serve_trail();
        service.take(&[event(end, 2, 9)]).await;
        service.kill();

        let service = place.serve_trail();
        service.take(std::slice::from_ref(&started)).await;
        let rows = service.trail("").await;
        assert_eq!(rows.ids(), [id(2)]);
        let row = &rows.value()["items"][0];
        assert_eq!((&row["event_id"], &row["request_id"]), (&json!(id(2)), &json!(id(9))));
        assert_eq!(row["created_at"], "2026-01-01T00:00:02.000000Z");
        assert_eq!(service.met("known").await, 1);
    }
}

#[tokio::test]
async fn events_of_other_types_are_taken_and_dropped() {
    let place = Place::new();
    let service = place.serve_trail();
    let kinds =
        ["security.auth_denied", "admin.action", "config.reloaded", "process.started", "audit.gap", "new.thing"];
    let mut events: Vec<_> = kinds
        .iter()
        .map(|kind| json!({"specversion": "1.0", "type": format!("io.vestibule.{kind}"), "data": "any"}))
        .collect();
    service.take(&events).await;
    events.insert(3, finished(1, &json!({})));
    service.take(&events).await;
    service.take(&[]).await;
    assert_eq!(service.trail("").await.ids(), [id(1)]);
    assert_eq!((service.met("dropped").await, service.met("stored").await), (12, 1));
}

#[tokio::test]
async fn a_batch_has_at_most_500_events_and_1_mib() {
    let place = Place::new();
    let service = place.serve_trail();
    let events: Vec<_> = (0..501).map(|number| finished(number, &json!({}))).collect();
    service.deliver(&events).await.problem(413, "body-too-large");
    service.take(&events[1..]).await;
    assert_eq!(service.trail("page_size=1").await.value()["total"], 500);

    let headers = [("content-type", BATCH), ("authorization", INGEST)];
    let send = async |body: String| service.internal.send("POST", "/internal/audit-events", &headers, body).await;
    let within = format!("[]{}", " ".repeat(1024 * 1024 - 2));
    assert_eq!(send(within.clone()).await.status, 204);
    send(format!("{within} ")).await.problem(413, "body-too-large");
}

#[tokio::test]
async fn a_body_that_is_no_batch_is_refused() {
    let place = Place::new();
    let service = place.serve_trail();
    let send = async |kind: &str, body: &str| {
        let headers = [("content-type", kind), ("authorization", INGEST)];
        service.internal.send("POST", "/internal/audit-events", &headers, body.to_owned()).await
    };
    for kind in ["application/json", "application/cloudevents+json", "application/cloudevents-batch", "text/plain"] {
        send(kind, "[]").await.problem(415, "unsupported-media-type");
    }
    for body in ["", "[", "[{]", "[] []", "{\"a\":}"] {
        send(BATCH, body).await.problem(400, "malformed-body");
    }
    for body in ["{}", "null", "\"\"", "1"] {
        assert_eq!(send(BATCH, body).await.pointers(), [""]);
    }
    assert_eq!(send("Application/CloudEvents-Batch+JSON; charset=utf-8", "[]").await.status, 204);
}

#[tokio::test]
async fn only_a_holder_of_the_token_may_deliver() {
    let place = Place::new();
    let service = place.serve_trail();
    let body = json!([finished(1, &json!({}))]).to_string();
    let send = async |fields: &[(&str, &str)]| {
        let headers = [&[("content-type", BATCH)], fields].concat();
        service.internal.send("POST", "/internal/audit-events", &headers, body.clone()).await
    };
    for fields in [
        &[][..],
        &[("authorization", "")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer ingest-toke")],
        &[("authorization", "Bearer ingest-token2")],
        &[("authorization", "Bearer admin-token")],
        &[("authorization", "Basic ingest-token")],
        &[("authorization", INGEST), ("authorization", INGEST)],
    ] {
        let answer = send(fields).await;
        answer.problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{fields:?}");
    }
    // The token comes first: nobody else learns what is wrong with a body.
    service.internal.send("POST", "/internal/audit-events", &[], "x").await.problem(401, "unauthenticated");
    assert_eq!(service.trail("").await.value()["total"], 0);
    assert_eq!(send(&[("authorization", "bearer ingest-token")]).await.status, 204);

    service.internal.send("GET", "/internal/audit-events", &[], Body::empty()).await.problem(405, "method-not-allowed");
    service
        .public
        .send("POST", "/internal/audit-events", &[("authorization", INGEST)], body.clone())
        .await
        .problem(404, "not-found");
}

/// Nothing of a batch is kept when the database is busy, and it can be sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_database_is_503_and_keeps_nothing() {
    let place = Place::new();
    let service = place.serve_trail();
    let mut other = SqliteConnectOptions::new().filename(place.database()).connect().await.expect("a connection");
    let held = other.begin_with("BEGIN IMMEDIATE").await.expect("the write lock");
    let begun = Instant::now();
    let answer = service.deliver(&batch()).await;
    answer.problem(503, "database-unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    held.rollback().await.expect("a rollback");
    assert_eq!(service.trail("").await.value()["total"], 0);
    assert_eq!(service.met("stored").await, 0);
    service.take(&batch()).await;
    assert_eq!(service.trail("").await.value()["total"], 50);
}
