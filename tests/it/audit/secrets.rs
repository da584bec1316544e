//! What is hidden is in no file, at no sink and in no line.

use super::*;
use serde_json::json;
use vestibule_testkit::Origin;

/// AUD-08
#[tokio::test]
async fn no_planted_secret_leaves() {
    let trail = Trail::new();
    let receiver = Receiver::taking();
    let origin = Origin::returning(200, "ok");
    let lines = format!(
        "capture_body = true\nsinks = [\"{}/in\", \"stdout\"]\n[log]\nlevel = \"trace\"\n",
        receiver.origin.url()
    );
    let routes = "[[routes]]\nname = \"reset\"\npath = \"/reset/{reset_token}/{id}\"\naudit = { action = \"reset\", resource = \"r:{reset_token}/{id}\" }\n";
    let mut proxy = trail.proxy(&origin, &format!("{lines}{routes}")).await;
    let mut planted = 0;
    let mut plant = || {
        planted += 1;
        format!("hunter2n{planted:02}")
    };
    let jwt = |secret: &str| {
        let part = |text: &str| crate::auth::issuer::encode(text);
        format!("{}.{}.{}", part("{\"alg\":\"none\"}"), part(&format!("{{\"sub\":\"{secret}\"}}")), part(secret))
    };
    let body = json!({
        "password": plant(),
        "userPassword": { "old": plant(), "new": [plant(), { "again": plant() }] },
        "X-CSRF-Token": plant(),
        "card_no": plant(),
        "note": format!("Bearer {} and Basic {}", plant(), plant()),
        "session": jwt(&plant()),
        "pem": format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", plant()),
        "a": { "b": [{ "c": { "d": { "my_secret": plant(), "e": [{ "totpCode": plant() }] } } }] },
        "nested": json!({ "authorization": plant(), "deeper": json!({ "cookie": plant() }).to_string() }).to_string(),
        "fields": [{ "name": "password", "value": plant() }, { "key": "set-cookie", "value": [plant()] }],
        "mail": "hunter2@example.com",
        "paid_with": "4111 1111 1111 1111",
        "call": "+491701234567",
        "kept": "visible",
    });
    let target = format!(
        "/orders/1?token={}&my%5fsecret={}&q=hunter2%40example.com&state={}&seen=visible",
        plant(),
        plant(),
        jwt(&plant())
    );
    let mut request = proxy.post(&target).json(&body);
    for name in ["cookie", "authorization", "x-api-key", "x-custom", "proxy-authorization"] {
        request = request.header(name, plant());
    }
    // The access line has it, as it does without an audit trail.
    request = request.header("user-agent", "agent-of-hunter2@home");
    request = request
        .header("origin", format!("https://user:{}@shop.example", plant()))
        .header("referer", format!("https://shop.example/{}?a={}", plant(), plant()))
        .header("accept", "application/json");
    assert_eq!(request.await.status, 200);
    // Bodies that are not kept, each with its reason.
    let omitted = [
        ("not_json", proxy.post("/orders/2").header("content-type", "text/plain").body(plant())),
        (
            "invalid",
            proxy.post("/orders/2").header("content-type", "application/json").body(format!("{{\"a\":\"{}\"", plant())),
        ),
        (
            "encoded",
            proxy
                .post("/orders/2")
                .header("content-type", "application/json")
                .header("content-encoding", "gzip")
                .body(plant()),
        ),
        ("too_large", proxy.post("/orders/2").json(&json!({ "a": plant(), "b": "x".repeat(70_000) }))),
    ];
    for (before, (what, request)) in (1..).zip(omitted) {
        // An end is written after its answer has left: the one before is awaited, so that each is in its place.
        trail.wait_for("request.finished", before).await;
        assert_eq!(request.await.status, 200, "{what}");
        let log = trail.wait_for("request.finished", before + 1).await;
        let last = log.of("request.finished")[before];
        assert_eq!((told(last, "body"), told(last, "body_omitted")), (&json!(null), &json!(what)));
    }
    let secret = plant();
    assert_eq!(proxy.post(&format!("/reset/{secret}/eve@example.com")).await.status, 200);
    let log = trail.wait_for("request.finished", 6).await;
    assert_eq!(log.of("request.finished")[5]["subject"], "r:[redacted]/[email]");
    assert!(planted >= 30, "{planted} secrets");

    let first = log.of("request.finished")[0];
    let kept = told(first, "body");
    assert_eq!(
        (&kept["kept"], &kept["password"], &kept["userPassword"]),
        (&json!("visible"), &json!("[redacted]"), &json!("[redacted]"))
    );
    assert_eq!(
        (&kept["mail"], &kept["paid_with"], &kept["call"]),
        (&json!("[email]"), &json!("[card]"), &json!("[phone]"))
    );
    assert_eq!(
        told(first, "headers"),
        &json!({
            "accept": "application/json", "content-type": "application/json",
            "origin": "https://shop.example", "referer": "https://shop.example",
        })
    );
    let query = told(first, "query");
    assert_eq!(
        (&query["seen"], &query["q"], &query["token"]),
        (&json!("visible"), &json!("[email]"), &json!("[redacted]"))
    );
    assert!(told(log.of("request.started")[0], "body").is_null(), "it had not come yet");

    receiver.wait_for("request.finished", 6).await;
    proxy.wait_stdout("all of it", |text| text.matches("request.finished").count() == 6).await;
    proxy.sigterm();
    proxy.wait_exit().await;
    let mut places = vec![("stdout".to_owned(), proxy.stdout())];
    for batch in receiver.batches() {
        places.push(("the sink".to_owned(), batch.request.text()));
    }
    let mut folders = vec![trail.dir(), trail.dir().join("cursors")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten().filter(|entry| entry.path().is_file()) {
            places.push((
                entry.path().display().to_string(),
                String::from_utf8_lossy(&std::fs::read(entry.path()).expect("a file")).into_owned(),
            ));
        }
    }
    // A path stands in the access line, as it does without an audit trail.
    let lines: Vec<&str> =
        Box::leak(proxy.stderr().into_boxed_str()).lines().filter(|line| !line.contains("/reset/")).collect();
    let lines: Vec<String> = lines.into_iter().map(|line| line.replace("agent-of-hunter2@home", "")).collect();
    places.push(("stderr".to_owned(), lines.join("\n")));
    for (place, text) in places {
        for secret in (1..=planted).map(|number| format!("hunter2n{number:02}")).chain([
            "hunter2@".to_owned(),
            "4111 1111".to_owned(),
            "+49170".to_owned(),
        ]) {
            let encoded = crate::auth::issuer::encode(&secret);
            for secret in [secret, encoded] {
                assert!(!text.contains(&secret), "{secret} in {place}");
            }
        }
    }
}

/// Not asked for, a body is not kept, and a body that is slow to come holds up nothing.
#[tokio::test]
async fn a_body_is_kept_only_where_that_was_asked_for_and_never_held_up() {
    for (lines, body) in [("", json!(null)), ("capture_body = true\n", json!({ "a": 1 }))] {
        let trail = Trail::new();
        let origin = Origin::at_head(|_| vestibule_testkit::Reply::ok("ok"));
        let proxy = trail.proxy(&origin, lines).await;
        let mut raw = proxy.connect().await;
        raw.write(
            "POST /orders/1 HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\"",
        )
        .await;
        origin.wait("a part of the body at the origin", |counts| counts.body_bytes >= 4 || counts.hits == 1).await;
        raw.write(":1}").await;
        assert_eq!(raw.answer().await.status, 200);
        let log = trail.wait_for("request.finished", 1).await;
        let finished = log.the("request.finished");
        assert_eq!(told(finished, "body"), &body);
        let omitted = if lines.is_empty() { json!("off") } else { json!(null) };
        assert_eq!(told(finished, "body_omitted"), &omitted);
    }
}
