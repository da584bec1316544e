//! What is kept of a report, and what never is.

use super::*;
use vestibule_testkit::within;

/// CSP-12
#[tokio::test]
async fn nothing_that_tells_of_a_person_is_stored_anywhere() {
    let collector = Origin::returning(200, "");
    let stage =
        Stage::collecting(&format!("sinks = [\"log\", \"file:records.jsonl\", \"{}\"]\n", collector.url())).await;
    let url = "https://MARKUSER:MARKPASS@app.example.com/orders?MARKQUERY=1#MARKFRAGMENT";
    let report = json!({
        "type": "csp-violation", "age": 1, "url": url, "user_agent": "MARKAGENT",
        "body": {
            "documentURL": url, "referrer": "https://MARKREFERRER.example/", "effectiveDirective": "script-src-elem",
            "blockedURL": "https://MARKUSER:MARKPASS@cdn.example.net/x.js?MARKQUERY#MARKFRAGMENT", "sample": "MARKSAMPLE",
            "sourceFile": "https://app.example.com/a.js?MARKQUERY", "originalPolicy": "default-src MARKPOLICY",
            "disposition": "enforce", "MARKMEMBER": "MARKVALUE"
        }
    });
    let old = json!({"csp-report": {
        "document-uri": url, "referrer": "MARKREFERRER", "violated-directive": "img-src MARKPOLICY",
        "blocked-uri": "data:image/png;base64,MARKDATA", "script-sample": "MARKSAMPLE", "source-file": "MARKSOURCE:x@host/"
    }});
    for body in [report, old, json!({"type": "MARKTYPE", "body": {"x": "MARKBODY"}})] {
        let sent = stage.send(&body).header("user-agent", "MARKAGENT").header("cookie", "MARKCOOKIE=1");
        let sent = sent.header("authorization", "Bearer MARKTOKEN").header("referer", "https://MARKREFERRER.example/");
        assert_eq!(sent.await.status, 204);
    }
    assert_eq!(stage.raw("application/json", "{\"MARKBROKEN\"").await.status, 400);
    collector.wait_hits(1).await;
    let file = stage.proxy.dir().join("records.jsonl");
    within("records in the file", async {
        while std::fs::read_to_string(&file).unwrap_or_default().lines().count() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    stage.proxy.wait_log("a record", |line| line["target"] == "vestibule::csp").await;
    stage.proxy.wait_access(4).await;
    let listed = stage.listed("").await;
    assert_eq!(listed["violations"].as_array().map(Vec::len), Some(2), "{listed}");
    let collected: String =
        collector.requests().iter().map(|request| format!("{:?}{}", request.fields, request.text())).collect();
    let metrics = stage.proxy.admin("GET", "/metrics").await.text();
    let status = stage.proxy.admin("GET", "/status").await.text();
    for (place, text) in [
        ("the list", listed.to_string()),
        ("the file", std::fs::read_to_string(&file).expect("the file")),
        ("the collector", collected),
        ("the log", stage.proxy.stderr()),
        ("the metrics", metrics),
        ("the status", status),
    ] {
        let lowered = text.to_lowercase();
        assert!(!lowered.contains("mark"), "{place}: {}", &text[lowered.find("mark").unwrap_or(0)..]);
    }
}

/// CSP-13
#[tokio::test]
async fn what_looks_like_an_identifier_is_a_mark() {
    let stage = Stage::collecting("").await;
    for (path, kept) in [
        ("/users/42", "/users/{id}"),
        ("/0f8fad5b-d9cb-469f-a165-70867728950e", "/{id}"),
        ("/a@b.c", "/{id}"),
        ("/app.3f9a2b1c9d.js", "/{id}.js"),
        ("/v1/orders", "/v1/orders"),
    ] {
        stage.takes(&report("img-src", "data", &format!("https://app.example.com{path}"))).await;
        let listed = stage.listed("").await.to_string();
        assert!(listed.contains(&format!("\"https://app.example.com{kept}\"")), "{path}: {listed}");
    }
    let origins = Stage::collecting("keep_paths = false\n").await;
    origins.takes(&image("/account/settings")).await;
    let listed = origins.listed("").await;
    let first = &listed["violations"][0];
    assert_eq!(
        (&first["document"], &first["blocked"]),
        (&json!("https://app.example.com"), &json!("https://cdn.example.net"))
    );
}
