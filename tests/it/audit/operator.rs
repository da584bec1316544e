//! What the operator does, and what the operator is shown.

use super::*;
use crate::config::{holding, vestibule};
use serde_json::json;
use vestibule_testkit::Origin;

/// AUD-05
#[tokio::test]
async fn what_the_operator_does_is_told_once_and_without_a_secret() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let lines = format!("{HELD}[server]\nadmin_token = \"admin-s3cret-token\"\n");
    let proxy = trail.proxy(&origin, &lines).await;
    let admin = |method: &str, path: &str, token: &str| {
        proxy.admin(method, path).header("authorization", format!("Bearer {token}"))
    };
    let good = "admin-s3cret-token";
    let mut expected = Vec::new();
    for (method, path, token, status, template, outcome) in [
        ("POST", "/reload", good, 200, "/reload", "success"),
        ("DELETE", "/idempotency/none/s3cret-key", good, 404, "/idempotency/{principal}/{key}", "failure"),
        ("GET", "/status", "s3cret-wrong", 401, "/status", "denied"),
        ("GET", "/metrics", "s3cret-wrong", 401, "/metrics", "denied"),
        ("DELETE", "/s3cret/path", "s3cret-wrong", 401, "/{unknown}", "denied"),
        ("PUT", "/nowhere/s3cret", good, 404, "/{unknown}", "failure"),
        ("POST", "/metrics", good, 405, "/metrics", "failure"),
        ("GET", "/status", good, 200, "/status", ""),
        ("HEAD", "/metrics", good, 200, "/metrics", ""),
    ] {
        let answer = admin(method, path, token).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if !outcome.is_empty() {
            expected.push((method, template, status, outcome));
        }
    }
    let log = trail.wait_for("admin.action", expected.len()).await;
    let acts = log.of("admin.action");
    for (event, (method, template, status, outcome)) in acts.iter().zip(&expected) {
        let data = &event["data"];
        // Who could not say the token is nobody known.
        let actor = if data["outcome"] == "denied" { "anonymous" } else { "admin" };
        assert_eq!(data["actor"], json!({ "type": actor, "id": null }));
        assert_eq!(
            (told(event, "method"), &data["status"], &data["outcome"]),
            (&json!(method), &json!(status), &json!(outcome))
        );
        assert_eq!(data["resource"], format!("admin:{template}"));
    }
    assert_eq!(acts.len(), expected.len());
    let text = std::fs::read_to_string(trail.dir().join("audit-000000000000.jsonl")).expect("a segment");
    assert!(!text.contains("s3cret"), "{text}");
}

/// The first record of a process and the last ones say where the chain stands.
#[tokio::test]
async fn a_process_says_when_it_begins_and_when_it_has_ended() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let mut hashes = Vec::new();
    for run in 0..2 {
        let mut proxy = trail.proxy(&origin, "").await;
        proxy.post("/orders/1").await;
        proxy.sigterm();
        assert!(proxy.wait_exit().await.success());
        let log = trail.log();
        let [.., stopped, checkpoint] = &log.events[..] else { panic!("{:?}", log.kinds()) };
        assert_eq!((kind(stopped), kind(checkpoint)), ("process.stopped", "audit.checkpoint"));
        assert_eq!(told(checkpoint, "final"), true);
        assert_eq!(told(checkpoint, "records"), log.events.len() as u64 - 1);
        let started = log.of("process.started");
        assert_eq!(started.len(), run + 1);
        let data = &started[run]["data"];
        assert_eq!((&data["resource"], &data["actor"]["type"]), (&json!("process"), &json!("system")));
        assert_eq!(told(started[run], "version"), env!("CARGO_PKG_VERSION"));
        assert!(told(started[run], "config_hash").as_str().is_some_and(|hash| !hash.is_empty()));
        let position = told(started[run], "seq").as_u64().expect("a position") as usize;
        let at = log.events.iter().position(|event| event == started[run]).expect("there");
        assert!(position <= at && (run == 0 || position > 0), "{position} {at}");
        assert_eq!((log.count("audit.recovered"), log.segments.len()), (0, 1));
        hashes.push(told(started[run], "config_hash").clone());
    }
    assert_eq!(hashes[0], hashes[1]);
}

#[tokio::test]
async fn status_and_metrics_say_how_the_log_is_doing() {
    let trail = Trail::new();
    let receiver =
        Receiver::answering(
            |_, events| if events.iter().any(|event| kind(event) == "request.finished") { 500 } else { 204 },
        );
    let origin = Origin::returning(200, "ok");
    let lines = format!("checkpoint = \"1s\"\nsinks = [\"{}/in\", \"stdout\"]\n", receiver.origin.url());
    let proxy = trail.proxy(&origin, &lines).await;
    receiver.wait_for("process.started", 1).await;
    proxy.post("/orders/1").await;
    trail.wait_for("audit.checkpoint", 1).await;
    let scrape = proxy
        .wait_metrics("a retry", |scrape| scrape.value("vestibule_audit_events_total", &[("outcome", "retried")]) > 0.0)
        .await;
    let log = trail.log();
    let counted = |outcome: &str| scrape.value("vestibule_audit_events_total", &[("outcome", outcome)]);
    assert_eq!((counted("lost"), counted("rejected")), (0.0, 0.0));
    assert!(counted("written") >= 4.0 && counted("written") <= log.events.len() as f64 + 1.0);
    let unsent = |sink: &str| scrape.value("vestibule_audit_unsent_events", &[("sink", sink)]);
    assert!(unsent("http") >= 2.0 && unsent("stdout") <= unsent("http"), "{}", scrape.text);
    assert!(scrape.value("vestibule_audit_spool_bytes", &[]) > 500.0);
    assert!(scrape.value("vestibule_audit_write_duration_seconds_count", &[]) >= 1.0);

    let status = proxy.admin("GET", "/status").await.json();
    let audit = &status["audit"];
    let log = trail.log();
    assert_eq!((&audit["state"], &audit["lost"]), (&json!("ok"), &json!(0)), "{audit}");
    assert!(audit["seq"].as_u64().is_some_and(|seq| seq < log.events.len() as u64));
    assert_eq!(audit["hash"].as_str().map(str::len), Some(64));
    assert!(audit["last_checkpoint"].as_str().is_some_and(|time| time.ends_with('Z')), "{audit}");
    let sinks = audit["sinks"].as_array().expect("sinks");
    assert_eq!(sinks.iter().map(|sink| sink["name"].as_str().expect("a name")).collect::<Vec<_>>(), ["http", "stdout"]);
    assert_eq!(sinks[0]["last_error"], "answered 500");
    assert!(sinks[0]["last_ok"].is_string() && sinks[1]["last_error"].is_null(), "{audit}");
}

#[tokio::test]
async fn explain_says_what_would_be_written() {
    let toml = format!("[upstream]\nurl = \"http://127.0.0.1:1\"\n[audit]\n{ORDERS}");
    let dir = holding(&toml);
    for (args, line) in [
        (["POST", "/orders/7"], "action orders.post, resource order:7; started + finished, waits for disk: no"),
        (["GET", "/orders/7"], "action orders.get, resource order:7; finished, waits for disk: no"),
        (["GET", "/else"], "not audited"),
    ] {
        let ran = vestibule(dir.path(), &["explain", args[0], args[1]]).await;
        assert!(
            ran.stdout.lines().any(|told| told.trim_start().starts_with("audit") && told.contains(line)),
            "{}{}",
            ran.stdout,
            ran.stderr
        );
    }
    let dir = holding(&toml.replace("[audit]", "[audit]\non_error = \"closed\""));
    let ran = vestibule(dir.path(), &["explain", "GET", "/orders/7"]).await;
    assert!(ran.stdout.contains("started + finished, waits for disk: yes"), "{}", ran.stdout);
    assert!(!dir.path().join("audit").exists(), "to explain touches nothing");
}

/// AUD-06: all mistakes in one run.
#[tokio::test]
async fn mistakes_are_all_told() {
    let toml = "\
[upstream]
url = \"http://127.0.0.1:1\"
[audit]
timeout = \"1ms\"
sinks = [\"stdot\", \"store\", \"otlp\", \"stdout\", \"stdout\"]
redact = [\"--\"]
sink_token = \"hunter2\"
sink_token_file = \"nowhere\"
sign_key_file = \"nowhere\"
rotate_bytes = \"1KiB\"
keep = \"1ms\"
checkpoint = \"2h\"
[[routes]]
name = \"a\"
path = \"/a/{id}\"
audit = { action = \"{nope}\", resource = \"a:{id\" }
";
    let ran = vestibule(holding(toml).path(), &["check"]).await;
    assert_eq!(ran.code, Some(1));
    let lines: Vec<&str> =
        ran.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("--> vestibule.toml:")).collect();
    let lines: Vec<&str> = lines.iter().filter_map(|at| at.split(':').next()).collect();
    for line in ["4", "5", "6", "9", "10", "11", "12", "16"] {
        assert!(lines.contains(&line), "nothing about line {line}:\n{}", ran.stderr);
    }
    assert_eq!(lines.iter().filter(|line| **line == "16").count(), 2, "{}", ran.stderr);
    assert!(lines.contains(&"7") || lines.contains(&"8"), "{}", ran.stderr);
    assert!(ran.stderr.matches("vestibule.toml:5:").count() >= 3, "each sink:\n{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);

    let without = "[upstream]\nurl = \"http://127.0.0.1:1\"\n[[routes]]\nname = \"a\"\npath = \"/a\"\naudit = {}\n";
    let ran = vestibule(holding(without).path(), &["check"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("vestibule.toml:6:"), "{}", ran.stderr);
}
