//! The header half.

use super::*;
use vestibule_testkit::{Alpn, Certs, Reply};

const CSP: &str = "content-security-policy";
const ONLY: &str = "content-security-policy-report-only";
const ENDPOINTS: &str = "reporting-endpoints";
const POLICY: &str = "default-src 'self'";

fn page() -> Reply {
    Reply::ok("<p>hello</p>").field("content-type", "text/html; charset=utf-8")
}

async fn stage(lines: &str, reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Stage {
    let origin = Origin::replying(move |request| reply(&request.target));
    let toml = format!("[csp]\npolicy = \"{POLICY}\"\n{lines}");
    let setup = Setup::new(crate::bin()).upstream(origin.url()).toml(toml);
    let proxy = setup.file("secret", "0123456789abcdef0123456789abcdef").start().await;
    Stage { origin, proxy }
}

/// CSP-01
#[tokio::test]
async fn the_mode_names_the_field() {
    for (mode, only, csp) in [("report_only", &[POLICY][..], &[][..]), ("enforce", &[], &[POLICY]), ("off", &[], &[])] {
        let stage = stage(&format!("mode = \"{mode}\"\n"), |_| page()).await;
        let answer = stage.proxy.get("/").await;
        assert_eq!((values(&answer, ONLY), values(&answer, CSP)), (only.to_vec(), csp.to_vec()), "{mode}");
        assert_eq!(answer.text(), "<p>hello</p>");
    }
}

/// CSP-02
#[tokio::test]
async fn only_pages_get_a_policy() {
    let stage = stage("mode = \"enforce\"\n", |target| match target {
        "/json" => Reply::ok("{}").field("content-type", "application/json"),
        "/image" => Reply::ok("x").field("content-type", "image/png"),
        "/nothing" => Reply::ok("<p>hello</p>"),
        "/304" => Reply::new(304).field("content-type", "text/html").field("etag", "\"1\""),
        "/xhtml" => Reply::ok("x").field("content-type", "Application/XHTML+XML"),
        _ => Reply::new(404).field("content-type", "text/html").body("x"),
    })
    .await;
    for target in ["/json", "/image", "/nothing", "/304"] {
        let answer = stage.proxy.get(target).await;
        assert!(values(&answer, CSP).is_empty() && values(&answer, ONLY).is_empty(), "{target}");
    }
    for target in ["/xhtml", "/404"] {
        assert_eq!(values(&stage.proxy.get(target).await, CSP), [POLICY], "{target}");
    }
}

/// CSP-03
#[tokio::test]
async fn what_the_application_sent_stays_as_it_is() {
    let sends = |target: &str| {
        let mut reply = page();
        if target.contains("csp") {
            reply = reply.field("Content-Security-Policy", "img-src *;  x").field("content-security-policy", "");
        }
        if target.contains("only") {
            reply = reply.field("Content-Security-Policy-Report-Only", "font-src *");
        }
        reply
    };
    for (mode, adds_only, adds_csp) in
        [("report_only", ["/"].as_slice(), [].as_slice()), ("enforce", &[], &["/", "/only"])]
    {
        let stage = stage(&format!("mode = \"{mode}\"\n"), sends).await;
        for target in ["/", "/csp", "/only", "/csp-only"] {
            let answer = stage.proxy.get(target).await;
            let mut csp = if target.contains("csp") { vec!["img-src *;  x", ""] } else { vec![] };
            let mut only = if target.contains("only") { vec!["font-src *"] } else { vec![] };
            csp.extend(adds_csp.contains(&target).then_some(POLICY));
            only.extend(adds_only.contains(&target).then_some(POLICY));
            assert_eq!((values(&answer, CSP), values(&answer, ONLY)), (csp, only), "{mode} {target}");
        }
    }
}

/// CSP-04
#[tokio::test]
async fn a_route_has_the_last_word() {
    let routes = "[[routes]]\nname = \"text\"\npath = \"/text\"\ncsp = \"img-src 'none'\"\n\
                  [[routes]]\nname = \"table\"\npath = \"/table\"\ncsp = { policy = \"img-src 'none'\", mode = \"enforce\" }\n\
                  [[routes]]\nname = \"mode\"\npath = \"/mode\"\ncsp = { mode = \"enforce\" }\n\
                  [[routes]]\nname = \"none\"\npath = \"/none\"\ncsp = false\n";
    let stage = stage(routes, |_| page()).await;
    for (target, only, csp) in [
        ("/", &[POLICY][..], &[][..]),
        ("/text", &["img-src 'none'"], &[]),
        ("/table", &[], &["img-src 'none'"]),
        ("/mode", &[], &[POLICY]),
        ("/none", &[], &[]),
    ] {
        let answer = stage.proxy.get(target).await;
        assert_eq!((values(&answer, ONLY), values(&answer, CSP)), (only.to_vec(), csp.to_vec()), "{target}");
    }
}

/// CSP-05
#[tokio::test]
async fn reports_go_by_what_a_browser_can_use() {
    let uri = format!("{POLICY}; report-uri {PATH}");
    let both = format!("{uri}; report-to vestibule-csp");
    let endpoint = format!("vestibule-csp=\"{PATH}\"");
    let certs = Certs::new();
    let origin = Origin::replying(|_| page());
    let toml = |tls: &str| format!("[server]\n{tls}\n[csp]\npolicy = \"{POLICY}\"\nreports = true\n");
    let https = before(&origin, &toml(&format!("tls = {}", certs.tls_toml()))).await;
    let mut raw = https.connect_tls(&certs, &[Alpn::Http11]).await;
    let answer = https.get("/").on(&mut raw).await;
    assert_eq!((values(&answer, ONLY), values(&answer, ENDPOINTS)), (vec![both.as_str()], vec![endpoint.as_str()]));

    let http = before(&origin, &toml("trusted_proxies = [\"127.0.0.1/32\"]")).await;
    let answer = http.get("/").await;
    assert_eq!((values(&answer, ONLY), values(&answer, ENDPOINTS)), (vec![uri.as_str()], vec![]));
    let answer = http.get("/").header("x-forwarded-proto", "https").await;
    assert_eq!(values(&answer, ONLY), [both.as_str()], "a trusted proxy ended TLS");
    let untrusted = before(&origin, &toml("")).await;
    let answer = untrusted.get("/").header("x-forwarded-proto", "https").await;
    assert_eq!(values(&answer, ONLY), [uri.as_str()], "anybody can say so");

    let without = stage("reports = false\n", |_| page()).await;
    let answer = without.proxy.get("/").await;
    assert_eq!((values(&answer, ONLY), values(&answer, ENDPOINTS)), (vec![POLICY], vec![]));
}

/// CSP-05: an application's own endpoints are neither replaced nor voided.
#[tokio::test]
async fn endpoints_of_the_application_stay() {
    let origin = Origin::replying(|request| {
        let own = match request.target.as_str() {
            "/fine" => "default=\"/own\"",
            "/taken" => "vestibule-csp=\"/own\"",
            _ => "not a dictionary",
        };
        page().field("Reporting-Endpoints", own)
    });
    let toml =
        format!("[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n[csp]\npolicy = \"{POLICY}\"\nreports = true\n");
    let proxy = before(&origin, &toml).await;
    for (target, endpoints) in [("/fine", 2), ("/taken", 1), ("/bad", 1)] {
        let answer = proxy.get(target).header("x-forwarded-proto", "https").await;
        assert_eq!(values(&answer, ENDPOINTS).len(), endpoints, "{target}");
        let [said] = values(&answer, ONLY)[..] else { panic!("one policy for {target}") };
        assert!(said.contains("report-uri"), "{target}: {said}");
        assert_eq!(said.contains("report-to"), endpoints == 2, "{target}: {said}");
    }
}

/// CSP-06
#[tokio::test]
async fn pages_of_problems_replays_and_heads_get_it_once() {
    let lines = "mode = \"enforce\"\n[idempotency]\nprincipal = [\"none\"]\n\
                 [[routes]]\nname = \"gone\"\npath = \"/gone\"\nupstream = { url = \"http://127.0.0.1:9\" }\n\
                 [auth]\nalgorithms = [\"HS256\"]\nsecret_file = \"secret\"\n\
                 [[routes]]\nname = \"secret\"\npath = \"/secret\"\nauth = \"required\"\n";
    let stage = stage(lines, |_| page()).await;
    let problem = stage.proxy.get("/gone").header("accept", "text/html").await;
    assert_eq!((problem.status, problem.field("content-type")), (502, "text/html; charset=utf-8"));
    assert_eq!(values(&problem, CSP), [POLICY]);
    // Refused before the plugin has seen the request, and before there is a route.
    let refused = stage.proxy.get("/secret").header("accept", "text/html").await;
    assert_eq!((refused.status, values(&refused, CSP)), (401, vec![POLICY]));
    let odd = stage.proxy.get("/a/..%2fsecret").header("accept", "text/html").await;
    assert_eq!((odd.status, values(&odd, CSP)), (400, vec![POLICY]));
    let order = || stage.proxy.post("/order").header("idempotency-key", "\"k\"").body("one");
    assert_eq!(values(&order().await, CSP), [POLICY]);
    let again = order().await;
    assert_eq!((again.field("idempotent-replayed"), values(&again, CSP)), ("true", vec![POLICY]));
    assert_eq!(stage.origin.hits(), 1);
    assert_eq!(values(&stage.proxy.request("HEAD", "/").await, CSP), [POLICY]);
}
