//! What is taken, and what is refused.

use super::*;

/// CSP-08
#[tokio::test]
async fn both_shapes_and_a_preflight_are_taken() {
    let stage = Stage::collecting("").await;
    let old = stage.raw("application/csp-report", old_image("/a").to_string()).await;
    assert_eq!((old.status, old.body.len()), (204, 0));
    assert_eq!((old.field("access-control-allow-origin"), old.field("cache-control")), ("*", "no-store"));
    assert_eq!(stage.counted("accepted").await, 1);
    stage.takes(&json!([image("/b"), image("/b"), image("/c")])).await;
    assert_eq!(stage.counted("accepted").await, 4);
    let preflight = stage.proxy.request("OPTIONS", PATH).header("origin", "https://other.example");
    let preflight = preflight.header("access-control-request-method", "POST");
    let preflight = preflight.header("access-control-request-headers", "content-type").await;
    assert_eq!(preflight.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "content-type"),
        ("access-control-max-age", "86400"),
    ] {
        assert_eq!(values(&preflight, name), [value]);
    }
    assert_eq!(stage.origin.hits(), 0);
    for (media_type, body) in [
        ("application/json; charset=utf-8", image("/d").to_string()),
        ("TEXT/PLAIN", "[]".to_owned()),
        ("application/reports+json", old_image("/e").to_string()),
    ] {
        assert_eq!(stage.raw(media_type, body).await.status, 204, "{media_type}");
    }
    assert_eq!(
        stage.proxy.post(&format!("{PATH}?x=1")).header("content-type", "text/plain").body("[]").await.status,
        204
    );
}

/// CSP-09
#[tokio::test]
async fn what_is_no_report_is_refused_and_not_repeated() {
    let stage = Stage::collecting("").await;
    let body = image("/a").to_string();
    let post = || stage.proxy.post(PATH);
    let json = || post().header("content-type", "application/json");
    let large = format!("[\"{}\"]", "x".repeat(64 * 1024 + 1 - 4));
    assert_eq!(large.len(), 64 * 1024 + 1);
    for (what, request, status, problem) in [
        ("html", post().header("content-type", "text/html").body(body.clone()), 415, "unsupported-media-type"),
        ("no type", post().body(body.clone()), 415, "unsupported-media-type"),
        ("gzip", json().header("content-encoding", "gzip").body(body.clone()), 415, "unsupported-media-type"),
        ("large", json().body(large.clone()), 413, "content-too-large"),
        ("large and chunked", json().chunked([large]), 413, "content-too-large"),
        ("broken", json().body("{"), 400, "bad-report"),
        ("deep", json().body("[[[[[[[[[1]]]]]]]]]"), 400, "bad-report"),
        ("another shape", json().body("{\"marker\": 1}"), 400, "bad-report"),
        ("not UTF-8", json().body(&b"\xff\xfe"[..]), 400, "bad-report"),
        ("no body", json(), 400, "bad-report"),
        ("GET", stage.proxy.get(PATH), 405, "method-not-allowed"),
        ("PUT", stage.proxy.request("PUT", PATH).body(body.clone()), 405, "method-not-allowed"),
    ] {
        let answer = request.await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem), "{what}: {}", answer.text());
        assert!(!answer.text().contains("marker") && !answer.text().contains("example"), "{what}: {}", answer.text());
    }
    assert_eq!(stage.proxy.get(PATH).await.field("allow"), "POST, OPTIONS");
    assert_eq!(json().header("content-encoding", "identity").body("[]").await.status, 204);
    assert_eq!(stage.counted("invalid").await, 5, "what was answered with 400");
    assert_eq!(stage.counted("accepted").await, 0);
    assert_eq!(stage.origin.hits(), 0);
}

/// CSP-10
#[tokio::test]
async fn a_batch_is_read_to_its_hundredth_element() {
    let stage = Stage::collecting("").await;
    stage.takes(&Value::Array(vec![image("/a"); 150])).await;
    let listed = stage.listed("").await;
    assert_eq!(counts(&listed), [100]);
    assert_eq!((&listed["totals"]["accepted"], &listed["totals"]["limited"]), (&json!(100), &json!(50)));
    let limited = [("directive", "none"), ("disposition", "unknown"), ("outcome", "limited")];
    assert_eq!(stage.proxy.metrics().await.value(REPORTS, &limited), 50.0);
}

/// CSP-11
#[tokio::test]
async fn other_types_are_counted_and_dropped() {
    let stage = Stage::collecting("").await;
    let other =
        |kind: &str| json!({"type": kind, "url": "https://app.example.com/marker", "body": {"message": "marker"}});
    let kinds = ["deprecation", "coep", "network-error", "made-up"];
    stage.takes(&Value::Array(kinds.into_iter().map(other).collect())).await;
    let scrape = stage.proxy.metrics().await;
    for kind in ["deprecation", "coep", "network-error", "other"] {
        assert_eq!(scrape.value("vestibule_csp_other_reports_total", &[("type", kind)]), 1.0, "{kind}");
    }
    let listed = stage.listed("").await;
    assert_eq!((&listed["keys"], &listed["totals"]["accepted"]), (&json!(0), &json!(0)));
    assert!(!stage.proxy.stderr().contains("marker"));
}

#[tokio::test]
async fn a_bad_element_takes_no_other_with_it() {
    let stage = Stage::collecting("").await;
    let mut aged = image("/a");
    aged["age"] = json!(-1);
    stage.takes(&json!([1, aged, {"type": "csp-violation", "body": {}}, image("/a")])).await;
    assert_eq!((stage.counted("invalid").await, stage.counted("accepted").await), (3, 1));
}

/// CSP-14
#[tokio::test]
async fn every_scheme_of_a_browser_is_noise_alone() {
    let stage = Stage::collecting("").await;
    let schemes = [
        "chrome",
        "chrome-extension",
        "chrome-search",
        "chromeinvoke",
        "chromeinvokeimmediate",
        "chromenull",
        "moz-extension",
        "safari-extension",
        "safari-web-extension",
        "ms-browser-extension",
        "edge",
        "resource",
        "jar",
        "about",
        "mxaddon-pkg",
        "webviewprogressproxy",
        "tmtbff",
        "mbinit",
        "symres",
        "gsa",
    ];
    let mut reports = Vec::new();
    for scheme in schemes {
        for text in [scheme.to_owned(), format!("{scheme}://abc/def.js")] {
            let mut by_source = image("/a");
            by_source["body"]["sourceFile"] = json!(text);
            reports.push(by_source);
            reports.push(report("script-src", &text, "https://app.example.com/"));
            reports.push(report("img-src", "https://cdn.example.net/a.png", &text));
        }
    }
    let sent = reports.len() as u64;
    for batch in reports.chunks(100) {
        stage.takes(&json!(batch)).await;
    }
    assert_eq!((stage.counted("noise").await, stage.counted("accepted").await), (sent, 0));
    assert_eq!(stage.listed("").await["keys"], json!(0));
    // Any other page is named by a URL.
    stage.takes(&report("img-src", "https://cdn.example.net/a.png", "nonsense")).await;
    assert_eq!(stage.counted("invalid").await, 1);
    for noise in [
        report("img-src", "inline", "data:text/html,chromewebdata"),
        report("connect-src", "http://127.0.0.1:9100/", "https://app.example.com/"),
    ] {
        stage.takes(&noise).await;
    }
    assert_eq!(stage.counted("noise").await, sent + 2);
}

/// CSP-19
#[tokio::test]
async fn reports_need_no_credential_and_spend_no_quota() {
    let toml = "[auth]\nmode = \"required\"\nsecret_file = \"secret\"\nalgorithms = [\"HS256\"]\n\
                [rate_limit]\n[rate_limit.policies.one]\nlimit = \"1/min\"\nkey = \"address\"\n\
                [rate_limit.tiers]\nanonymous = [\"one\"]\nfree = [\"one\"]\n\
                [idempotency]\nmode = \"required\"\nprincipal = [\"none\"]\n\
                [[routes]]\nname = \"open\"\npath = \"/open\"\nauth = \"off\"\nidempotency = \"off\"\n";
    let origin = Origin::returning(200, "ok");
    let setup = |reports| {
        let toml = format!("{toml}[csp]\nreports = {reports}\n");
        Setup::new(crate::bin()).upstream(origin.url()).toml(toml).file("secret", "0123456789abcdef0123456789abcdef")
    };
    let stage = Stage { proxy: setup(true).start().await, origin: Origin::returning(200, "ok") };
    for _ in 0..5 {
        let answer = stage.send(&image("/a")).header("authorization", "Bearer nonsense").header("cookie", "a=b").await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert!(values(&answer, "ratelimit").is_empty() && values(&answer, "etag").is_empty());
    }
    assert_eq!(stage.counted("accepted").await, 5);
    let scrape = stage.proxy.metrics().await;
    assert_eq!(scrape.value("vestibule_rate_limit_decisions_total", &[("policy", "one")]), 0.0);
    assert_eq!(stage.proxy.get("/open").await.status, 200, "the tier is untouched");
    assert_eq!(origin.hits(), 1);
    let lines = stage.proxy.wait_access(6).await;
    let of_reports: Vec<&Value> = lines.iter().filter(|line| line["route"] == "csp-reports").collect();
    assert_eq!(of_reports.len(), 5);
    let tells = |line: &&Value| line.get("user_agent").or(line.get("client")).is_some();
    assert!(!of_reports.iter().any(tells), "{of_reports:?}");
    let requests = [("http_route", "csp-reports"), ("http_response_status_code", "204")];
    assert_eq!(scrape.value("http_server_request_duration_seconds_count", &requests), 5.0);

    let off = before(&origin, "[csp]\nreports = false\n").await;
    let answer = off.post(PATH).header("content-type", "application/csp-report").body("{}").await;
    assert_eq!((answer.status, origin.last().target.as_str()), (200, PATH));
}

#[tokio::test]
async fn the_path_comes_before_every_route() {
    let routes = "[[routes]]\nname = \"all\"\npath = \"/{*rest}\"\nmethods = [\"POST\"]\n\
                  [[routes]]\nname = \"some\"\npath = \"/_vestibule/{x}\"\n";
    let stage = Stage::collecting(routes).await;
    stage.takes(&image("/a")).await;
    assert_eq!(stage.proxy.post("/_vestibule/other").body("x").await.status, 200);
    assert_eq!(stage.origin.hits(), 1);
    let odd = stage.proxy.post("/x/../_vestibule/reports").header("content-type", "text/plain").body("[]").await;
    assert_eq!(odd.status, 400, "readings that differ are refused as on any route");
}
