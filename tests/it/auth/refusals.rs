//! What those hear who are not let in.

use super::issuer::now;
use super::*;
use serde_json::json;

/// AU-19
#[tokio::test]
async fn a_route_can_ask_for_scopes_and_claims() {
    let routes = "[[routes]]\nname = \"orders\"\npath = \"/orders\"\n\
                  auth = { mode = \"optional\", scopes = [\"orders:write\"] }\n\
                  [[routes]]\nname = \"desk\"\npath = \"/desk\"\nauth = { claims = { roles = [\"support\", \"admin\"] } }\n";
    let (stage, pen) = Stage::with(routes).await;
    let ask = |path: &str, changed| {
        stage.proxy.get(path).header("authorization", format!("Bearer {}", pen.sign(&claims(&changed))))
    };
    for good in [json!({"scope": "a orders:write"}), json!({"scp": ["orders:write"]}), json!({"scp": "orders:write"})] {
        assert_eq!(ask("/orders", good).await.status, 200);
    }
    let hits = stage.origin.hits();
    let answer = ask("/orders", json!({"scope": "orders:writer"})).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "insufficient-scope"));
    assert_eq!(
        challenges(&answer),
        ["Bearer realm=\"vestibule\", error=\"insufficient_scope\", scope=\"orders:write\""]
    );
    let anonymous = stage.proxy.get("/orders").await;
    assert_eq!((anonymous.status, anonymous.problem().as_str()), (401, "authentication-required"));
    assert_eq!(ask("/desk", json!({"roles": ["buyer"]})).await.status, 403);
    assert_eq!(ask("/desk", json!({"roles": null})).await.status, 403);
    assert_eq!(stage.origin.hits(), hits);
    assert_eq!(ask("/desk", json!({"roles": "support"})).await.status, 200);
    assert_eq!(ask("/desk", json!({})).await.status, 200);
    assert_eq!(stage.decided("forbidden").await, 3.0);
}

/// AU-30
#[tokio::test]
async fn one_address_cannot_buy_signature_checks_without_end() {
    let lines = "failure_limit = \"10/min\"\n[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let (stage, pen) = Stage::with(lines).await;
    let (known, unknown) = (pen.token(), pen.sign(&claims(&json!({"sub": "bob"}))));
    let from = |address: &str, token: &str| stage.bearing(token).header("x-forwarded-for", address);
    assert_eq!(from("203.0.113.1", &known).await.status, 200);
    let expired = pen.sign(&claims(&json!({"exp": now() - 60.0})));
    for _ in 0..20 {
        assert_eq!(from("203.0.113.1", &expired).await.status, 401, "it was good once");
    }
    let forged = Pen::es256("one").token();
    let mut statuses = Vec::new();
    for _ in 0..15 {
        let answer = from("203.0.113.1", &forged).await;
        if answer.status == 429 {
            assert!(answer.field("retry-after").parse::<u64>().expect("seconds") >= 1);
            assert_eq!(answer.json()["violated-policies"], json!(["auth-failures"]));
            assert!(answer.json()["type"].as_str().expect("a type").ends_with("#quota-exceeded"));
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 5]].concat());
    assert_eq!(from("203.0.113.1", &known).await.status, 200, "remembered");
    assert_eq!(from("203.0.113.1", &unknown).await.status, 429, "not verified");
    assert_eq!(from("203.0.113.2", &unknown).await.status, 200, "another address");
    assert_eq!(stage.decided("limited").await, 6.0);
}

/// AU-31
#[tokio::test]
async fn a_refusal_has_the_form_that_its_client_reads() {
    let routes = "[[routes]]\nname = \"orders\"\npath = \"/orders\"\nauth = { scopes = [\"orders:write\"] }\n";
    let (stage, pen) = Stage::with(routes).await;
    let grpc = |path: &str| stage.proxy.post(path).header("content-type", "application/grpc");
    assert_eq!(grpc("/").await.field("grpc-status"), "16");
    let bearer = format!("Bearer {}", pen.token());
    assert_eq!(grpc("/orders").header("authorization", bearer).await.field("grpc-status"), "7");
    assert_eq!(grpc("/").header("authorization", "Bearer").await.field("grpc-status"), "3");
    let page = stage.proxy.get("/").header("accept", "text/html").await;
    assert!(page.status == 401 && page.field("content-type").starts_with("text/html"), "{:?}", page.fields);
    assert_eq!(challenges(&page), ["Bearer realm=\"vestibule\""]);
    let head = stage.proxy.request("HEAD", "/").await;
    assert!(head.status == 401 && head.body.is_empty());
    assert_eq!(challenges(&head), ["Bearer realm=\"vestibule\""]);
}

/// AU-31: 503 for gRPC.
#[tokio::test]
async fn without_keys_grpc_is_told_that_it_is_unavailable() {
    let issuer = Issuer::saying(vestibule_testkit::Reply::new(500));
    let origin = Origin::returning(200, "ok");
    let proxy = before(&origin, &issuer.toml()).await;
    proxy.wait_metrics("a failed fetch", |scrape| scrape.value(REFRESHES, &[("outcome", "error")]) > 0.0).await;
    let token = format!("Bearer {}", Pen::es256("one").token());
    let request = proxy.post("/").header("content-type", "application/grpc").header("authorization", token);
    assert_eq!(request.await.field("grpc-status"), "14");
}

/// AU-29
#[tokio::test]
async fn no_credential_is_ever_shown() {
    let (stage, pen) = Stage::with("[log]\nlevel = \"trace\"\n").await;
    let canary = "canary-0123456789";
    let good = pen.sign(&claims(&json!({"sub": "alice", "canary": canary})));
    let secrets = [good.clone(), good.rsplit_once('.').expect("parts").1.to_owned(), canary.to_owned()];
    stage.accepts(&good, "good").await;
    let forged = Pen::es256("one").sign(&claims(&json!({"canary": canary})));
    let refused = stage.bearing(&forged).await;
    let query = stage.proxy.get(&format!("/?access_token={good}")).await;
    let odd = stage.proxy.get("/").header("authorization", format!("Bearer {canary}, {canary}")).await;
    let mut shown: Vec<String> =
        [refused, query, odd].iter().map(|answer| format!("{:?} {}", answer.fields, answer.text())).collect();
    for page in ["/metrics", "/status", "/config", "/readyz"] {
        shown.push(stage.proxy.admin("GET", page).await.text());
    }
    stage.proxy.wait_access(4).await;
    shown.push(stage.proxy.stderr());
    shown.push(stage.proxy.stdout());
    let forged_signature = forged.rsplit_once('.').expect("parts").1;
    for text in &shown {
        for secret in secrets.iter().map(String::as_str).chain([forged_signature, &forged]) {
            assert!(!text.contains(secret), "{secret} in {text:.300}");
        }
    }
}
