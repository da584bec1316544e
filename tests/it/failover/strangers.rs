//! Proxies that cannot share what they store, and those that can, whatever they say to be let in.

use std::time::Duration;
use vestibule_testkit::{Origin, Proxy, Redis, Setup};

fn toml(url: &str, secret: &str) -> String {
    format!("[store]\nurl = \"{url}\"\nsecret = \"{secret}\"\n[idempotency]\nprincipal = [\"authorization\"]\n")
}

async fn start(origin: &Origin, toml: String) -> Proxy {
    Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await
}

async fn wait_strangers(proxy: &Proxy, count: u64) {
    proxy
        .wait_metrics("the strangers", |scrape| {
            scrape.has("vestibule_store_strangers", &[])
                && scrape.value("vestibule_store_strangers", &[]) == count as f64
        })
        .await;
    assert_eq!(proxy.admin("GET", "/status").await.json()["fleet"]["strangers"], count);
}

#[tokio::test]
async fn proxies_with_different_secrets_are_told_on_both_sides() {
    let redis = Redis::start().await;
    let origin = Origin::returning(201, "made");
    let ours = start(&origin, toml(&redis.url(), "one")).await;
    wait_strangers(&ours, 0).await;
    let mut other = start(&origin, toml(&redis.url(), "two")).await;
    for proxy in [&ours, &other] {
        let told = |line: &serde_json::Value| {
            line["level"] == "ERROR" && line["msg"].as_str().is_some_and(|msg| msg.contains("another secret_file"))
        };
        proxy.wait_log("that secrets differ", told).await;
        wait_strangers(proxy, 1).await;
    }
    other.kill().await;
    let again =
        |line: &serde_json::Value| line["msg"].as_str().is_some_and(|msg| msg.contains("one secret_file again"));
    ours.wait_log("that they do no more", again).await;
    wait_strangers(&ours, 0).await;
}

#[tokio::test]
async fn a_rotated_password_frees_no_key_and_warns_of_nothing() {
    let redis = Redis::start().await;
    redis.command(&["ACL", "SETUSER", "app", "on", ">first", ">second", "~*", "+@all"]).await;
    let url = |password: &str| format!("redis://app:{password}@{}/0", redis.address());
    let origin = Origin::returning(201, "made");
    let mut proxy = start(&origin, toml(&url("first"), "one")).await;
    let order = |proxy: &Proxy| {
        proxy.post("/orders").header("authorization", "Bearer a").header("idempotency-key", "\"k\"").body("one").send()
    };
    assert_eq!(order(&proxy).await.status, 201);
    proxy.rewrite(&toml(&url("second"), "one"));
    assert_eq!(proxy.reload().await.status, 200);
    redis.command(&["ACL", "SETUSER", "app", "<first"]).await;
    let answer = order(&proxy).await;
    assert_eq!((answer.status, answer.field("idempotent-replayed")), (201, "true"));
    assert_eq!(origin.hits(), 1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let false_words = |line: &serde_json::Value| line["msg"].as_str().is_some_and(|msg| msg.contains("are free again"));
    assert!(!proxy.logs().iter().any(false_words));
    proxy.kill().await;
}
