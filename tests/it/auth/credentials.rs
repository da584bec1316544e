//! Where a credential may be, and what the application hears of it.

use super::*;
use ring::digest::{SHA256, digest};
use serde_json::json;
use vestibule_testkit::{Certs, H2Client, H2Request, Raw};

const API_KEY: &str = "key-of-a-robot-0123456789";

fn hash(key: &str) -> String {
    digest(&SHA256, key.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A stage where a robot has an API key, too.
async fn with_api_keys(lines: &str) -> (Stage, Pen) {
    let pen = Pen::es256("one");
    let issuer = Issuer::publishing(&[&pen]);
    let origin = Origin::returning(200, "ok");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys.toml");
    let file = format!("[[key]]\nid = \"ci\"\nsha256 = \"{}\"\nsubject = \"robot\"\ntier = \"gold\"\n", hash(API_KEY));
    std::fs::write(&path, file).expect("a file");
    let toml = format!("{}api_keys_file = \"{}\"\n{lines}", issuer.toml(), path.display());
    let proxy = before(&origin, &toml).await;
    let stage = Stage { origin, proxy, issuer };
    stage.wait_for_keys().await;
    (stage, pen)
}

/// A stage behind TLS, and a client that speaks HTTP/2 to it.
async fn over_http2(lines: &str) -> (Stage, Pen, H2Client) {
    let certs = Certs::new();
    let (stage, pen) = Stage::with(&format!("[server]\ntls = {}\n{lines}", certs.tls_toml())).await;
    let client = H2Client::connect_tls(stage.proxy.address(), &certs).await;
    (stage, pen, client)
}

/// AU-14
#[tokio::test]
async fn of_two_credentials_none_is_taken() {
    let (stage, pen) = Stage::with("").await;
    let token = pen.token();
    let one = format!("Bearer {token}");
    let lines = |values: &[&str]| {
        let request = stage.proxy.get("/");
        values.iter().fold(request, |request, value| request.header("authorization", *value))
    };
    for values in [&[one.as_str(), &one][..], &[&format!("{one}, {one}")], &["Bearer"], &["Basic YTpi", &one]] {
        let answer = lines(values).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-request"), "{values:?}");
        assert!(challenges(&answer)[0].ends_with("error=\"invalid_request\""));
    }
    assert_eq!(stage.origin.hits(), 0);
    let (stage, pen, client) = over_http2("").await;
    let one = format!("Bearer {}", pen.token());
    let twice = H2Request::new("GET", "/").header("authorization", &one).header("authorization", &one);
    assert_eq!(client.send(twice).await.status, 400);
    assert_eq!(stage.origin.hits(), 0);
}

/// AU-15
#[tokio::test]
async fn a_token_stands_in_its_field_and_nowhere_else() {
    let (stage, pen) =
        Stage::with("[[routes]]\nname = \"open\"\npath = \"/open/{*rest}\"\nauth = \"optional\"\n").await;
    let token = pen.token();
    for line in [format!("bearer {token}"), format!("BEARER {token}"), format!("Bearer   {token}")] {
        assert_eq!(stage.proxy.get("/").header("authorization", line).await.status, 200);
    }
    let elsewhere = |path: &str| {
        [
            stage.proxy.get(path).header("authorization", "Basic YTpi"),
            stage.proxy.get(&format!("{path}?access_token={token}")),
            stage.proxy.get(path).header("cookie", format!("access_token={token}")),
            stage.proxy.get(path).header("x-access-token", token.clone()),
            stage
                .proxy
                .post(path)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("access_token={token}")),
        ]
    };
    for request in elsewhere("/") {
        assert_eq!(request.await.status, 401);
    }
    for (place, request) in elsewhere("/open/a").into_iter().enumerate() {
        assert_eq!(request.await.status, 200);
        let seen = stage.origin.last();
        assert!(!seen.fields.has("x-auth-subject"), "{place}");
        match place {
            0 => assert_eq!(seen.field("authorization"), "Basic YTpi"),
            1 => assert!(seen.target.ends_with(&token)),
            2 => assert!(seen.field("cookie").ends_with(&token)),
            3 => assert_eq!(seen.field("x-access-token"), token),
            _ => assert!(seen.text().ends_with(&token)),
        }
    }
}

/// AU-16
#[tokio::test]
async fn a_client_cannot_say_who_it_is() {
    let routes = "[idempotency]\nprincipal = [\"authorization\", \"address\"]\n\
                  [[routes]]\nname = \"open\"\npath = \"/open\"\nauth = \"optional\"\nupgrade = true\n\
                  [[routes]]\nname = \"off\"\npath = \"/off\"\nauth = \"off\"\n";
    let (stage, pen) = Stage::with(routes).await;
    let bearer = format!("Bearer {}", pen.token());
    let forged = |request: Request| {
        ["X-Auth-Subject", "x_auth_subject", "X_Auth-Subject", "x-auth-subject", "x-auth_roles"]
            .iter()
            .fold(request, |request, name| request.header(name, "mallory"))
    };
    let post = |path: &str| stage.proxy.post(path).header("idempotency-key", format!("\"k{path}\"")).body("a");
    let requests = [
        (forged(stage.proxy.get("/open")), ""),
        (forged(stage.proxy.get("/off")), ""),
        (forged(stage.proxy.get("/")).header("authorization", bearer.clone()), "alice"),
        (
            forged(stage.proxy.request("OPTIONS", "/"))
                .header("origin", "https://a.example")
                .header("access-control-request-method", "PUT"),
            "",
        ),
        (forged(post("/")).header("authorization", bearer.clone()), "alice"),
        (forged(post("/open")), ""),
    ];
    let total = requests.len();
    for (request, subject) in requests {
        assert_eq!(request.await.status, 200);
        saw_only(&stage, subject);
    }
    let mut raw = Raw::connect(stage.proxy.address()).await;
    raw.write(
        "POST /open HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-auth-subject\r\n\r\n\
         1\r\na\r\n0\r\nx-auth-subject: mallory\r\n\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.status, 200);
    saw_only(&stage, "");
    let upgrade = forged(stage.proxy.get("/open"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    upgrade.await;
    saw_only(&stage, "");
    let name = "vestibule_threats_blocked_total";
    let scrape = stage.proxy.metrics().await;
    let counted = scrape.matching(name, &[("kind", "spoofed_header")]).map(|sample| sample.value).sum::<f64>();
    assert!(counted >= total as f64, "{counted}");
}

/// AU-16 over HTTP/2.
#[tokio::test]
async fn a_client_cannot_say_who_it_is_in_frames_either() {
    let route = "[[routes]]\nname = \"open\"\npath = \"/open\"\nauth = \"optional\"\n";
    let (stage, pen, client) = over_http2(route).await;
    let forged = |path| {
        let request = H2Request::new("POST", path).header("x-auth-subject", "mallory");
        request.header("x_auth_subject", "mallory").body("a").trailer("x-auth-subject", "mallory")
    };
    assert_eq!(client.send(forged("/open")).await.status, 200);
    saw_only(&stage, "");
    let bearer = format!("Bearer {}", pen.token());
    assert_eq!(client.send(forged("/").header("authorization", &bearer)).await.status, 200);
    saw_only(&stage, "alice");
}

/// The application has heard of this subject, or of none, and of nothing that looks like one.
fn saw_only(stage: &Stage, subject: &str) {
    let seen = stage.origin.last();
    let looks = |name: &str| name.to_ascii_lowercase().replace('_', "-").starts_with("x-auth-");
    let heard: Vec<(&str, &str)> = seen.fields.iter().filter(|(name, _)| looks(name)).collect();
    let expected: &[(&str, &str)] = match subject {
        "" => &[],
        subject => &[("x-auth-roles", "admin,buyer"), ("x-auth-subject", subject)],
    };
    let mut heard: Vec<(String, &str)> = heard.iter().map(|(name, value)| (name.to_lowercase(), *value)).collect();
    heard.sort();
    let heard: Vec<(&str, &str)> = heard.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(heard, expected);
}

/// AU-17
#[tokio::test]
async fn a_claim_cannot_break_out_of_its_field() {
    let lines =
        "claim_headers = { sub = \"x-who\", roles = \"x-roles\", \"/a/b\" = \"x-deep\", o = \"x-o\", n = \"x-n\" }\n";
    let (stage, pen) = Stage::with(lines).await;
    let told = json!({"sub": "é%", "roles": ["a,b", "c"], "a": {"b": 7}, "n": true});
    stage.accepts(&pen.sign(&claims(&told)), "encoded").await;
    let seen = stage.origin.last();
    assert_eq!((seen.field("x-who"), seen.field("x-roles")), ("%C3%A9%25", "a%2Cb,c"));
    assert_eq!((seen.field("x-deep"), seen.field("x-n")), ("7", "true"));
    let untold = json!({"sub": "a\r\nx-evil: 1", "roles": [["a"]], "o": {"a": 1}, "n": "x".repeat(2048)});
    stage.accepts(&pen.sign(&claims(&untold)), "left out").await;
    let seen = stage.origin.last();
    for name in ["x-who", "x-roles", "x-o", "x-n", "x-evil"] {
        assert!(!seen.fields.has(name), "{name}");
    }
}

/// AU-18
#[tokio::test]
async fn a_credential_can_stay_at_the_door() {
    let (stage, pen) =
        with_api_keys("forward_token = false\n[[routes]]\nname = \"open\"\npath = \"/open\"\nauth = \"optional\"\n")
            .await;
    stage.accepts(&pen.token(), "a token").await;
    assert!(!stage.origin.last().fields.has("authorization"));
    assert_eq!(stage.proxy.get("/").header("x-api-key", API_KEY).await.status, 200);
    assert!(!stage.origin.last().fields.has("x-api-key"));
    assert_eq!(stage.proxy.get("/open").header("authorization", "Basic YTpi").await.status, 200);
    assert_eq!(stage.origin.last().field("authorization"), "Basic YTpi");
}

/// AU-20
#[tokio::test]
async fn an_api_key_is_a_credential_of_its_own() {
    let (stage, pen) = with_api_keys("").await;
    let with = |key: &str| stage.proxy.get("/").header("x-api-key", key);
    assert_eq!(with(API_KEY).await.status, 200);
    let seen = stage.origin.last();
    assert_eq!((seen.field("x-auth-subject"), seen.fields.has("x-auth-roles")), ("robot", false));
    assert_eq!(seen.field("x-api-key"), API_KEY);
    let hits = stage.origin.hits();
    for wrong in ["key-of-nobody-at-all-0123", "fifteen-letters"] {
        let answer = with(wrong).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "invalid-api-key"));
        assert_eq!(challenges(&answer), ["Bearer realm=\"vestibule\"", "ApiKey realm=\"vestibule\""]);
    }
    assert_eq!(with(API_KEY).header("x-api-key", API_KEY).await.status, 400);
    // Both must be good, and the token says who it is.
    assert_eq!(stage.bearing(&pen.token()).header("x-api-key", "key-of-nobody-at-all-0123").await.status, 401);
    assert_eq!(stage.bearing("a.b.c").header("x-api-key", API_KEY).await.status, 401);
    assert_eq!(stage.origin.hits(), hits);
    assert_eq!(stage.bearing(&pen.token()).header("x-api-key", API_KEY).await.status, 200);
    assert_eq!(stage.origin.last().field("x-auth-subject"), "alice");
    assert_eq!((stage.decided("api_key").await, stage.decided("bad_api_key").await), (1.0, 3.0));
}

/// AU-21, and other files that are refused.
#[tokio::test]
async fn everything_that_is_wrong_with_the_keys_is_said_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let key = |id: &str, hash: &str| format!("[[key]]\nid = \"{id}\"\nsha256 = \"{hash}\"\n");
    let keys = [key("a", &hash("1")), key("a", &hash("2")), key("b", &hash("1")), key("c", &hash("3")[1..])].concat();
    std::fs::write(path("keys.toml"), keys).expect("a file");
    std::fs::write(path("short"), "too short").expect("a file");
    let config = format!(
        "[upstream]\nurl = \"http://127.0.0.1:1\"\n[auth]\napi_keys_file = \"{}\"\nsecret_file = \"{}\"\n\
         algorithms = [\"HS256\", \"ES256\"]\nleeway = \"6m\"\n\
         claim_headers = {{ sub = \"authorization\", a = \"x-a\", b = \"X_A\" }}\n",
        path("keys.toml"),
        path("short"),
    );
    std::fs::write(path("vestibule.toml"), config).expect("a file");
    let ran = std::process::Command::new(crate::bin())
        .args(["check", "-c", &path("vestibule.toml")])
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    for expected in [
        "another key has the id `a`",
        "another key has the same `sha256`",
        "its `sha256` is not 64 hexadecimal digits",
        "HS256 stands beside other algorithms",
        "a secret under 32 bytes",
        "`leeway` cannot be 6m",
        "`authorization` cannot tell a claim",
        "tells the claim `a` already",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains(&hash("1")) && !said.contains("too short"), "{said}");
}
