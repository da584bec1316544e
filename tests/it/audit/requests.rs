//! Requests of audited routes: what is said of each, when, and how often.

use super::*;
use crate::limits::upgrade;
use serde_json::json;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vestibule_testkit::origin::{Cut, Then};
use vestibule_testkit::{Certs, Gate, H2Client, H2Request, Origin, Reply};

fn millis_now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()).expect("not yet")
}

/// AUD-01
#[tokio::test]
async fn a_write_is_told_before_the_application_hears_of_it_and_once_it_is_over() {
    for lane in LANES {
        let trail = Trail::new();
        let heard = Arc::new(Mutex::new(String::new()));
        let note = Arc::clone(&heard);
        let origin = Origin::at_head(move |_| {
            *note.lock().expect("no test panics with it") = vestibule_chain::rfc3339(millis_now());
            Reply::new(201).body("made")
        });
        let proxy = trail.proxy(&origin, lane).await;
        let asked = order(&proxy, 7).header("accept", "application/json").header("user-agent", "secret/1.0").await;
        assert_eq!(asked.status, 201);
        let log = trail.wait_for("request.finished", 1).await;
        let (started, finished) = (log.the("request.started"), log.the("request.finished"));
        let line = &proxy.wait_access(1).await[0];
        let (before, after) = (&started["data"], &finished["data"]);
        for (event, data) in [(started, before), (finished, after)] {
            assert_eq!(event["subject"], "order:7");
            assert_eq!(data["schema"], 1);
            assert_eq!(data["actor"], json!({ "type": "anonymous", "id": null }));
            assert_eq!((&data["action"], &data["resource"]), (&json!("orders.post"), &json!("order:7")));
            assert_eq!(data["route"], "orders");
            assert_eq!(data["client"], json!({ "prefix": "127.0.0.0/24", "hash": line["client"] }));
            assert_eq!(data["trace_id"], line["trace_id"]);
            assert_eq!((&data["replayed"], &data["started_at"]), (&json!(false), &before["started_at"]));
            assert_eq!(data["metadata"]["method"], "POST");
            assert_eq!(data["metadata"]["headers"], json!({ "accept": "application/json" }));
        }
        assert_eq!(before["request_id"], after["request_id"]);
        assert_eq!((&before["outcome"], &before["status"]), (&json!("unknown"), &json!(null)));
        assert_eq!((&after["outcome"], &after["status"]), (&json!("success"), &json!(201)));
        assert_eq!(
            (&after["attempts"], &after["request_bytes"], &after["response_bytes"]),
            (&json!(1), &json!(3), &json!(4))
        );
        assert!(after["duration_us"].as_u64().is_some_and(|took| (1..10_000_000).contains(&took)), "{after}");
        for only_finished in ["duration_us", "attempts", "request_bytes", "response_bytes"] {
            assert!(before.get(only_finished).is_none(), "{only_finished}: {before}");
        }
        let heard = heard.lock().expect("no test panics with it").clone();
        assert!(started["time"].as_str().expect("a time") <= heard.as_str(), "{started} before {heard}");
        assert!(finished["time"].as_str() >= started["time"].as_str());
    }
}

/// AUD-02
#[tokio::test]
async fn reads_are_told_once_and_with_closed_twice_and_other_routes_never() {
    for (mode, phases) in [("open", &["finished"][..]), ("closed", &["started", "finished"])] {
        let trail = Trail::new();
        let origin = Origin::returning(200, "ok");
        let proxy = trail.proxy(&origin, &format!("on_error = \"{mode}\"\n")).await;
        assert_eq!(proxy.get("/other").await.status, 200);
        assert_eq!(proxy.post("/other").await.status, 200);
        for (at, method) in ["GET", "HEAD", "OPTIONS"].into_iter().enumerate() {
            assert_eq!(proxy.request(method, "/orders/1").await.status, 200);
            let log = trail.wait_for("request.finished", at + 1).await;
            assert_eq!(log.of_requests(), phases.repeat(at + 1), "{mode} {method}");
        }
    }
}

/// A stage that refuses, replays and validates.
async fn answering_here(trail: &Trail, origin: &Origin) -> Proxy {
    let keys = trail.beside("keys.toml");
    std::fs::write(
        &keys,
        "[[key]]\nid = \"ci\"\nsha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\n",
    )
    .expect("a file");
    let toml = trail.toml(&format!(
        "{HELD}[etag]\n[auth]\nmode = \"off\"\napi_keys_file = \"{}\"\n{ORDERS}\
         [[routes]]\nname = \"private\"\npath = \"/private\"\nauth = \"required\"\naudit = {{}}\n",
        keys.display()
    ));
    vestibule_testkit::Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await
}

/// AUD-03
#[tokio::test]
async fn what_is_answered_here_is_told_once() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let proxy = answering_here(&trail, &origin).await;
    let keyed = |body: &'static str| proxy.post("/orders/1").header("idempotency-key", "k").body(body);
    let mut seen = 0;
    let mut next = async |what: &str, status: u16, answer: vestibule_testkit::Answer, phases: usize| {
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let before = seen;
        seen += phases;
        let log = trail.wait(what, |log| log.of_requests().len() == seen).await;
        let new: Vec<Value> =
            log.events.iter().filter(|event| kind(event).starts_with("request.")).skip(before).cloned().collect();
        let last = new.last().expect("a record").clone();
        assert_eq!((new.len(), kind(&last)), (phases, "request.finished"), "{what}");
        assert_eq!(last["data"]["status"], status, "{what}");
        last
    };
    let refused = next("401", 401, proxy.post("/private").await, 1).await;
    assert_eq!((&refused["data"]["outcome"], told(&refused, "denied_by")), (&json!("denied"), &json!("auth")));
    assert_eq!(
        (&refused["data"]["action"], &refused["data"]["resource"]),
        (&json!("private.post"), &json!("route:private"))
    );
    let first = next("the first of a key", 200, keyed("a").await, 2).await;
    assert_eq!((&first["data"]["replayed"], told(&first, "idempotency")), (&json!(false), &json!("executed")));
    let replay = next("a replay", 200, keyed("a").await, 1).await;
    assert_eq!((&replay["data"]["outcome"], &replay["data"]["replayed"]), (&json!("success"), &json!(true)));
    assert_eq!((told(&replay, "idempotency"), &replay["data"]["attempts"]), (&json!("replayed"), &json!(0)));
    let other = next("another body under the key", 422, keyed("b").await, 1).await;
    assert_eq!((&other["data"]["outcome"], told(&other, "denied_by")), (&json!("denied"), &json!("idempotency")));
    let fresh = proxy.get("/orders/2").await;
    let tag = fresh.field("etag").to_owned();
    next("a read", 200, fresh, 1).await;
    let known = next("304", 304, proxy.get("/orders/2").header("if-none-match", tag).await, 1).await;
    assert_eq!(known["data"]["outcome"], "success");
    assert_eq!(origin.hits(), 3, "a write, and two reads of which one was 304");
    assert_eq!(trail.log().count("security.auth_denied"), 0, "its own record says so");
}

/// AUD-07: valid CloudEvents all of them, whatever they tell; ids are UUIDv7, unique, and rise.
#[tokio::test]
async fn every_event_is_a_cloud_event() {
    let trail = Trail::new();
    let receiver = Receiver::taking();
    let origin = Origin::returning(200, "ok");
    let lines = format!("checkpoint = \"1s\"\n{}", receiver.toml());
    let mut proxy = trail.proxy(&origin, &lines).await;
    for number in 0..20 {
        order(&proxy, number).await;
        proxy.get("/orders/1?a=1").await;
    }
    let _ = proxy.connect().await.try_write("GET / HTTP/1.1\nbad\r\n\r\n").await;
    assert_eq!(proxy.reload().await.status, 200);
    trail.wait_for("security.threat_blocked", 1).await;
    trail.wait_for("audit.checkpoint", 1).await;
    proxy.sigterm();
    proxy.wait_exit().await;
    let log = trail.log();
    for event in &log.events {
        assert_cloud_event(event, &log);
    }
    let ids = log.ids();
    assert!(ids.is_sorted() && ids.iter().collect::<HashSet<_>>().len() == ids.len());
    let kinds: HashSet<&str> = log.kinds().into_iter().collect();
    for wanted in ["audit.segment", "process.started", "request.started", "admin.action", "config.reloaded"] {
        assert!(kinds.contains(wanted), "{kinds:?}");
    }
    // What a receiver gets is what the log has, byte for byte: the members are those of the record.
    let batches = receiver.batches();
    assert_eq!(receiver::taken(&batches), log.events);
    for batch in &batches {
        assert_eq!(batch.request.field("content-type"), "application/cloudevents-batch+json");
        assert_eq!((batch.request.method.as_str(), batch.request.target.as_str()), ("POST", "/in"));
        assert!(batch.events.len() <= 500);
    }
}

fn assert_cloud_event(event: &Value, log: &Log) {
    let members: Vec<&String> = event.as_object().expect("an object").keys().collect();
    let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("{name}: {event}"));
    assert_eq!(members, ["data", "datacontenttype", "id", "source", "specversion", "subject", "time", "type"]);
    assert_eq!((text("specversion"), text("datacontenttype")), ("1.0", "application/json"));
    assert_eq!(text("source"), format!("urn:vestibule:{}", log.chain.expect("a chain")));
    assert!(text("type").starts_with("io.vestibule.") && !text("subject").is_empty());
    let (id, time) = (text("id").as_bytes(), text("time"));
    assert_eq!((id.len(), id[14]), (36, b'7'), "{event}");
    assert!(matches!(id[19], b'8' | b'9' | b'a' | b'b'), "{event}");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    let data = &event["data"];
    assert_eq!((&data["schema"], &data["resource"]), (&json!(1), &event["subject"]));
    for name in ["action", "outcome"] {
        assert!(data[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {event}");
    }
    for name in ["actor", "metadata"] {
        assert!(data[name].is_object(), "{name}: {event}");
    }
    let outcomes = ["success", "failure", "denied", "error", "aborted", "unknown"];
    assert!(outcomes.contains(&data["outcome"].as_str().expect("text")), "{event}");
    if !kind(event).starts_with("request.") && !kind(event).starts_with("security.") {
        let types = ["system", "admin"];
        assert!(types.contains(&data["actor"]["type"].as_str().expect("a type")), "{event}");
    }
    if kind(event).starts_with("security.") || kind(event).starts_with("admin.") || kind(event).starts_with("process.")
    {
        assert_eq!(data["action"], kind(event));
    }
}

/// AUD-25: a client that leaves inside the response.
#[tokio::test]
async fn a_client_that_leaves_aborts() {
    let trail = Trail::new();
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |request| match request.target.as_str() {
        "/orders/late" => Reply::ok("late").once(&held),
        _ => Reply::events(Duration::from_millis(10), &held),
    });
    let proxy = trail.proxy(&origin, "").await;
    let mut raw = proxy.connect().await;
    raw.write(proxy.post("/orders/1").encoded()).await;
    raw.until("data: 3").await;
    raw.reset();
    let log = trail.wait_for("request.finished", 1).await;
    let data = &log.the("request.finished")["data"];
    assert_eq!((&data["outcome"], &data["status"]), (&json!("aborted"), &json!(200)));
    assert!(data["response_bytes"].as_u64().is_some_and(|bytes| bytes > 0));

    // Before the head, in the lane where the call ends with its client.
    let mut raw = proxy.connect().await;
    raw.write(proxy.post("/orders/late").encoded()).await;
    origin.wait_hits(2).await;
    raw.reset();
    let log = trail.wait_for("request.finished", 2).await;
    let data = &log.of("request.finished")[1]["data"];
    assert_eq!((&data["outcome"], &data["status"]), (&json!("aborted"), &json!(null)));
}

/// AUD-25: no usable answer is an error, whatever the client is told.
#[tokio::test]
async fn an_application_that_cannot_answer_is_an_error() {
    for lane in LANES {
        let trail = Trail::new();
        let origin = Origin::replying(|request| match request.target.as_str() {
            "/orders/1" => Reply::dying(),
            "/orders/2" => Reply::ok("cut short").cut(Cut::Body(3)).then(Then::Reset),
            "/orders/3" => Reply::never(),
            _ => Reply::new(500),
        });
        let proxy = trail.proxy(&origin, &format!("[upstream]\nread_timeout = \"300ms\"\n{lane}")).await;
        let mut finished = Vec::new();
        for number in 1..=4 {
            let _ = order(&proxy, number).try_send().await;
            let log = trail.wait_for("request.finished", number).await;
            let data = &log.of("request.finished")[number - 1]["data"];
            finished.push((data["outcome"].as_str().expect("text").to_owned(), data["status"].clone()));
        }
        assert_eq!(finished[0], ("error".to_owned(), json!(502)), "{lane:?} dies");
        assert_eq!(finished[1].0, "error", "{lane:?} cut: {finished:?}");
        assert_eq!(finished[2], ("error".to_owned(), json!(504)), "{lane:?} silent");
        assert_eq!(finished[3], ("failure".to_owned(), json!(500)), "{lane:?} its own");
    }
    // Nobody listens there.
    let trail = Trail::new();
    let proxy = vestibule_testkit::Setup::new(crate::bin())
        .upstream("http://127.0.0.1:1")
        .toml(trail.toml(ORDERS))
        .start()
        .await;
    assert_eq!(proxy.post("/orders/1").await.status, 502);
    let log = trail.wait_for("request.finished", 1).await;
    assert_eq!(
        (log.of_requests(), log.the("request.finished")["data"]["outcome"].clone()),
        (vec!["started", "finished"], json!("error"))
    );
}

/// AUD-25: an execution that outlives its client is told with what the application said.
#[tokio::test]
async fn an_execution_that_outlives_its_client_is_told_when_it_ended() {
    let trail = Trail::new();
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |_| Reply::new(201).body("made").once(&held));
    let proxy = trail.proxy(&origin, HELD).await;
    let mut raw = proxy.connect().await;
    raw.write(order(&proxy, 1).encoded()).await;
    origin.wait_hits(1).await;
    raw.reset();
    let log = trail.wait_for("request.started", 1).await;
    assert_eq!(log.of_requests(), ["started"]);
    gate.open();
    let log = trail.wait_for("request.finished", 1).await;
    let data = &log.the("request.finished")["data"];
    assert_eq!((&data["outcome"], &data["status"]), (&json!("success"), &json!(201)));
}

/// A body that turns out malformed after the head went upstream.
#[tokio::test]
async fn a_body_that_turns_out_malformed_is_told_as_such() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let proxy = trail.proxy(&origin, "").await;
    let mut raw = proxy.connect().await;
    raw.write("POST /orders/1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    origin.wait_hits(1).await;
    raw.write("zz\r\n").await;
    assert_eq!(raw.answer().await.status, 400);
    let log = trail.wait_for("request.finished", 1).await;
    assert_eq!(log.of_requests(), ["started", "finished"]);
    assert_eq!(log.the("request.finished")["data"]["status"], 400);
    let log = trail.wait_for("security.threat_blocked", 1).await;
    let blocked = log.the("security.threat_blocked");
    assert_eq!((told(blocked, "kind"), &blocked["data"]["resource"]), (&json!("framing"), &json!("route:orders")));
}

/// A handshake is announced although it is a GET, and its end is that of the tunnel.
#[tokio::test]
async fn an_upgrade_is_announced() {
    let trail = Trail::new();
    let origin = Origin::replying(|_| Reply::switching("websocket"));
    let proxy =
        trail.proxy(&origin, "[[routes]]\nname = \"chat\"\npath = \"/chat\"\nupgrade = true\naudit = {}\n").await;
    let (mut raw, answer) = upgrade(&proxy, "/chat").await;
    assert_eq!(answer.status, 101);
    let log = trail.wait_for("request.started", 1).await;
    assert_eq!(log.of_requests(), ["started"]);
    raw.write("hello").await;
    raw.until("hello").await;
    drop(raw);
    let log = trail.wait_for("request.finished", 1).await;
    let data = &log.the("request.finished")["data"];
    assert_eq!((&data["status"], &data["action"]), (&json!(101), &json!("chat.get")));
    assert_eq!(log.by_request().len(), 1);
}

#[tokio::test]
async fn requests_over_http2_are_told_alike() {
    for lane in LANES {
        let trail = Trail::new();
        let certs = Certs::new();
        let origin = Origin::returning(201, "made");
        let lines = format!("[server]\ntls = {}\n{lane}", certs.tls_toml());
        let proxy = trail.proxy(&origin, &lines).await;
        let client = H2Client::connect_tls(proxy.address(), &certs).await;
        let request = |number: usize| {
            H2Request::new("POST", &format!("/orders/{number}"))
                .header("idempotency-key", &format!("k{number}"))
                .body("one")
        };
        let answers = futures::future::join_all((0..10).map(|number| client.send(request(number)))).await;
        assert!(answers.iter().all(|answer| answer.status == 201));
        let log = trail.wait_for("request.finished", 10).await;
        assert!(log.by_request().values().all(|phases| *phases == ["started", "finished"]), "{lane:?}");
        let bytes: Vec<_> =
            log.of("request.finished").iter().map(|event| event["data"]["request_bytes"].clone()).collect();
        assert_eq!(bytes, vec![json!(3); 10]);
    }
}

/// AUD-06: templates are filled from the path that the route saw.
#[tokio::test]
async fn templates_are_filled() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let proxy = trail.proxy(&origin, "").await;
    let long = "x".repeat(300);
    let (long_path, long_resource) = (format!("/orders/{long}"), format!("order:{}", &long[..128]));
    let named: [(&str, &str); 5] = [
        ("/orders/7/items/9?x=1", "order:7/items/9"),
        ("/orders/a%20b%E9", "order:a b\u{fffd}"),
        ("/orders/eve%40example.com", "order:[email]"),
        ("/orders/a%0d%0ab", "order:ab"),
        (&long_path, &long_resource),
    ];
    for (before, (sent, resource)) in named.into_iter().enumerate() {
        assert_eq!(proxy.get(sent).await.status, 200, "{sent}");
        let log = trail.wait_for("request.finished", before + 1).await;
        let last = &log.of("request.finished")[before]["data"];
        assert_eq!((&last["resource"], &last["action"]), (&json!(resource), &json!("orders.get")), "{sent}");
    }
}
