//! `on_error = "closed"`: nothing reaches the application that is not on disk.

use super::*;
use serde_json::json;
use std::sync::{Arc, Mutex};
use vestibule_testkit::{Certs, H2Client, H2Request, Origin, Reply};

const CLOSED: &str = "on_error = \"closed\"\n";

/// Notes for each request that arrives whether the log knew of it by then.
fn watching(trail: &Trail, reply: fn() -> Reply) -> (Origin, Arc<Mutex<Vec<bool>>>) {
    let known = Arc::new(Mutex::new(Vec::new()));
    let (note, dir) = (Arc::clone(&known), trail.dir());
    let origin = Origin::at_head(move |request| {
        let resource = format!("order:{}", request.target.trim_start_matches("/orders/"));
        let log = Log::read(&dir);
        let is_known = log.of("request.started").iter().any(|event| event["subject"] == resource);
        note.lock().expect("no test panics with it").push(is_known);
        reply()
    });
    (origin, known)
}

#[tokio::test]
async fn the_application_hears_of_nothing_that_is_not_on_disk() {
    for lane in LANES {
        let trail = Trail::new();
        let (origin, known) = watching(&trail, || Reply::new(201).body("made"));
        let proxy = trail.proxy(&origin, &format!("{CLOSED}{lane}")).await;
        for number in 0..20 {
            assert_eq!(order(&proxy, number).await.status, 201);
        }
        for number in 20..25 {
            assert_eq!(proxy.get(&format!("/orders/{number}")).await.status, 201);
        }
        assert_eq!(*known.lock().expect("no panic"), vec![true; 25], "{lane:?}");
        let log = trail.wait_for("request.finished", 25).await;
        assert!(log.by_request().values().all(|phases| *phases == ["started", "finished"]));
    }
}

#[tokio::test]
async fn over_http2_and_for_upgrades_alike() {
    let trail = Trail::new();
    let certs = Certs::new();
    let (origin, known) = watching(&trail, || Reply::new(201).body("made"));
    let proxy = trail.proxy(&origin, &format!("{CLOSED}[server]\ntls = {}\n", certs.tls_toml())).await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    let send = |number: usize| client.send(H2Request::new("POST", &format!("/orders/{number}")).body("one"));
    let answers = futures::future::join_all((0..20).map(send)).await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(*known.lock().expect("no panic"), vec![true; 20]);

    let trail = Trail::new();
    let (origin, known) = watching(&trail, || Reply::switching("websocket"));
    let lines = format!(
        "{CLOSED}[[routes]]\nname = \"chat\"\npath = \"/orders/chat\"\nupgrade = true\naudit = {{ resource = \"order:chat\" }}\n"
    );
    let proxy = trail.proxy(&origin, &lines).await;
    let (_raw, answer) = crate::limits::upgrade(&proxy, "/orders/chat").await;
    assert_eq!((answer.status, known.lock().expect("no panic").clone()), (101, vec![true]));
}

/// What is refused or answered here does not wait for a disk and is told once.
#[tokio::test]
async fn what_is_refused_is_told_once() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let lines = format!(
        "{CLOSED}{HELD}[[routes]]\nname = \"keyed\"\npath = \"/keyed\"\nidempotency = \"required\"\naudit = {{}}\n"
    );
    let proxy = trail.proxy(&origin, &lines).await;
    assert_eq!(proxy.post("/keyed").await.status, 400);
    let log = trail.wait_for("request.finished", 1).await;
    assert_eq!(log.of_requests(), ["finished"]);
    assert_eq!(log.the("request.finished")["data"]["outcome"], json!("denied"));
}
