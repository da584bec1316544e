//! The command line: what stops a start, what a command leaves behind.

use std::fs;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::Place;

#[test]
fn a_setting_that_cannot_be_used_stops_the_start_and_is_named() {
    let place = Place::new();
    for (variable, value) in [
        ("LISTEN", "8000"),
        ("INTERNAL_LISTEN", ""),
        ("DATABASE_URL", "postgres://user:hunter2@127.0.0.1/db"),
        ("LOG_FORMAT", "yaml"),
        ("IDEMPOTENCY_TTL", "0s"),
    ] {
        let output = place.command(&["serve"]).env(variable, value).output().expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{variable}: {stderr}");
        assert!(stderr.contains(variable) && !stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn an_address_in_use_stops_the_start_and_its_variable_is_named() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = place.command(&["serve"]).env("LISTEN", address).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("address of LISTEN"));
}

/// UP-25: a database that cannot be read stops the start.
#[test]
fn a_file_that_is_no_database_stops_the_start() {
    let place = Place::new();
    fs::write(place.database(), "not a database ".repeat(100)).expect("a file");
    let output = place.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DATABASE_URL"));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let place = Place::new();
    assert!(place.run(&["migrate"]).status.success());
    assert!(place.run(&["migrate"]).status.success());
    let mut newer = SqliteConnectOptions::new().filename(place.database()).connect().await.expect("a connection");
    sqlx::query("INSERT INTO schema_migrations (version, applied_at) VALUES (99, 0)")
        .execute(&mut newer)
        .await
        .expect("a row");
    newer.close().await.expect("closed");
    let output = place.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("schema 99"));
}

#[tokio::test]
async fn seeding_twice_changes_nothing() {
    let place = Place::new();
    let lists = async || {
        let service = place.serve();
        let mut bodies = Vec::new();
        for page in 1..=3 {
            bodies.push(service.public.get(&format!("/api/v1/projects?page_size=100&page={page}")).await.text());
        }
        bodies
    };
    place.seed();
    let once = lists().await;
    place.seed();
    assert_eq!(lists().await, once);
    assert!(place.run(&["seed", "--scale", "2"]).status.success());
    let doubled = lists().await;
    assert!(doubled[0].ends_with("\"total\":114}"));
    assert!(place.run(&["seed", "--seed", "2"]).status.success());
    assert!(lists().await[0].ends_with("\"total\":171}"));
    assert!(!place.run(&["seed", "--scale", "0"]).status.success());
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let place = Place::new();
    let service = place.serve();
    let mut connection = TcpStream::connect(&service.public.address).await.expect("a connection");
    let body = "{\"name\":\"a\",\"slug\":\"a\"}";
    let head = format!(
        "POST /api/v1/projects HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.expect("sent");
    // The interim answer says that the application waits for the body, so the request is under way.
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let mut received = vec![0; interim.len()];
    connection.read_exact(&mut received).await.expect("an interim answer");
    assert_eq!(received, interim.as_bytes());

    service.terminate();
    connection.write_all(body.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer, then the end");
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    let (status, lines) = service.ended();
    assert!(status.success());
    assert_eq!(lines.last().expect("lines")["msg"], "stopped");
}
