//! A database that somebody else holds.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::service::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_database_is_503_within_6_s_and_changes_nothing() {
    let place = Place::new();
    let service = place.serve();
    let path = service.public.created("a").await;
    let mut other = SqliteConnectOptions::new().filename(place.database()).connect().await.expect("a connection");
    let held = other.begin_with("BEGIN IMMEDIATE").await.expect("the write lock");

    let begun = Instant::now();
    let calls: Vec<_> = (0..4)
        .map(|number| {
            let (client, path) = (service.public.clone(), path.clone());
            tokio::spawn(async move { client.patch(&path, &[], &json!({"name": format!("n{number}")})).await })
        })
        .collect();
    // Readers go on meanwhile.
    assert_eq!(service.public.get(&path).await.status, 200);
    assert_eq!(service.public.get("/health").await.status, 200);
    for call in calls {
        let answer = call.await.expect("an answer");
        answer.problem(503, "database-unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());

    held.rollback().await.expect("a rollback");
    assert_eq!(service.public.get(&path).await.header("etag"), "\"1.1\"");
    assert_eq!(service.public.patch(&path, &[], &json!({"name": "n"})).await.header("etag"), "\"1.2\"");
}
