//! Who did it, as far as that was verified.

use super::*;
use crate::auth::issuer::{Issuer, Pen, claims};
use serde_json::json;
use vestibule_testkit::{Origin, Setup};

const API_KEY: &str = "key-of-a-robot-0123456789";

async fn wait_for_keys(proxy: &Proxy) {
    proxy.wait_metrics("keys", |scrape| scrape.value("vestibule_auth_jwks_keys", &[]) > 0.0).await;
}

/// AUD-09: a token that nobody verified names nobody.
#[tokio::test]
async fn an_unverified_token_names_nobody() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let proxy = trail.proxy(&origin, "").await;
    let token = Pen::es256("one").token();
    proxy.post("/orders/1").header("authorization", format!("Bearer {token}")).await;
    let log = trail.wait_for("request.finished", 1).await;
    for event in log.events.iter().filter(|event| kind(event).starts_with("request.")) {
        assert_eq!(event["data"]["actor"], json!({ "type": "anonymous", "id": null }));
    }
    assert!(
        !std::fs::read_to_string(trail.dir().join("audit-000000000000.jsonl")).expect("a segment").contains("alice")
    );
}

/// AUD-09
#[tokio::test]
async fn a_verified_subject_and_a_key_are_named() {
    let pen = Pen::es256("one");
    let issuer = Issuer::publishing(&[&pen]);
    let origin = Origin::returning(200, "ok");
    let digest = ring::digest::digest(&ring::digest::SHA256, API_KEY.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut hashed = Vec::new();
    for subject in ["clear", "hash"] {
        let trail = Trail::new();
        let keys = trail.beside("keys.toml");
        std::fs::write(&keys, format!("[[key]]\nid = \"ci\"\nsha256 = \"{hex}\"\n")).expect("a file");
        let auth = format!("{}api_keys_file = \"{}\"\n", issuer.toml(), keys.display());
        let toml =
            trail.toml(&format!("subject = \"{subject}\"\n{auth}[store]\nsecret = \"{}\"\n{ORDERS}", "s".repeat(40)));
        let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await;
        wait_for_keys(&proxy).await;
        let mut actors = Vec::new();
        for (sub, again) in [("alice", false), ("eve@example.com", false), ("alice", true), (&"x".repeat(129), false)] {
            let token = pen.sign(&claims(&json!({ "sub": sub })));
            let answer = proxy.post("/orders/1").header("authorization", format!("Bearer {token}")).await;
            assert_eq!(answer.status, 200, "{sub} {again}");
            let log = trail.wait_for("request.finished", actors.len() + 1).await;
            let [started, finished] =
                ["request.started", "request.finished"].map(|kind| log.of(kind)[actors.len()]["data"]["actor"].clone());
            assert_eq!(started, finished);
            assert_eq!(finished["type"], "user");
            actors.push(finished["id"].as_str().expect("an id").to_owned());
        }
        assert_eq!(proxy.post("/orders/1").header("x-api-key", API_KEY).await.status, 200);
        let log = trail.wait_for("request.finished", actors.len() + 1).await;
        assert_eq!(log.of("request.finished")[actors.len()]["data"]["actor"], json!({ "type": "api_key", "id": "ci" }));
        let is_hash =
            |id: &String| id.len() == 34 && id.starts_with("h:") && id[2..].bytes().all(|c| c.is_ascii_hexdigit());
        assert!(is_hash(&actors[1]) && is_hash(&actors[3]), "{actors:?}");
        assert_eq!(actors[0], actors[2], "equal for equal subjects");
        match subject {
            "clear" => assert_eq!(actors[0], "alice"),
            _ => assert!(is_hash(&actors[0]), "{actors:?}"),
        }
        hashed.push(actors[1].clone());
    }
    assert_eq!(hashed[0], hashed[1], "under one secret a subject has one hash, whatever asked for it");
}
