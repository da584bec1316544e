//! What would become of a request, told without sending it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::process::Command;

const FILE: &str = "\
[upstream]
url = \"http://127.0.0.1:1\"
[auth]
secret_file = \"SECRET\"
algorithms = [\"HS256\"]
max_lifetime = \"0s\"
[rate_limit]
default_tier = \"free\"
[rate_limit.policies.pro-burst]
limit = \"100/min\"
[rate_limit.policies.login]
limit = \"5/15min\"
algorithm = \"sliding_log\"
key = \"address\"
shadow = true
[rate_limit.policies.free]
limit = \"10/min\"
[rate_limit.tiers]
pro = [\"pro-burst\"]
free = [\"free\"]
[idempotency]
principal = [\"subject\", \"address\"]
[etag]
[[routes]]
name = \"login\"
path = \"/login\"
rate_limit = [\"login\"]
[[routes]]
name = \"desk\"
path = \"/desk\"
auth = { mode = \"required\", scopes = [\"desk\"] }
";

/// HS256 under `0123456789abcdef0123456789abcdef`: alice of the tier pro, until 2106.
const TOKEN: &str = "eyJhbGciOiAiSFMyNTYifQ.eyJzdWIiOiAiYWxpY2UiLCAidGllciI6ICJwcm8iLCAiZXhwIjogNDI5NDk2NzI5NX0.zGOnEsSkukl-iLQBYGLH03-YGmY6hw-SQDxapFAeSQQ";

/// The API key `0123456789abcdef`.
const API_KEYS: &str =
    "[[key]]\nid = \"ci\"\nsha256 = \"9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f\"\n";

/// What it prints, and how it ends.
fn explain(args: &[&str]) -> (String, String, Option<i32>) {
    explain_by(FILE, args)
}

/// The same with another file.
fn explain_by(file: &str, args: &[&str]) -> (String, String, Option<i32>) {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let file = file.replace("SECRET", &write("secret", "0123456789abcdef0123456789abcdef"));
    let file = file.replace("API_KEYS", &write("keys.toml", API_KEYS));
    let config = write("vestibule.toml", &file);
    let ran = Command::new(crate::bin()).arg("explain").arg("-c").arg(&config).args(args).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(ran.stdout), text(ran.stderr), ran.status.code())
}

/// The line of a plugin, without the space that sets columns apart.
fn line(said: &str, name: &str) -> String {
    let found = said.lines().find(|line| line.split_whitespace().next() == Some(name));
    let found = found.unwrap_or_else(|| panic!("no line of {name}: {said}"));
    found.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// RL-22
#[test]
fn a_request_is_told_from_its_route_to_its_upstream() {
    let bearer = format!("authorization: Bearer {TOKEN}");
    let (said, stderr, code) = explain(&["POST", "/login?x=1", "-H", &bearer, "-H", "idempotency-key: k"]);
    assert_eq!((stderr.lines().filter(|line| line.starts_with("error")).count(), code), (0, Some(0)), "{stderr}");
    let order: Vec<&str> =
        said.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next()).collect();
    let expected = ["route", "client", "trace", "metrics", "auth", "rate_limit", "idempotency", "etag", "upstream"];
    assert_eq!(order, expected, "{said}");
    assert_eq!(line(&said, "route"), "route login");
    assert_eq!(line(&said, "client"), "client 127.0.0.1");
    assert_eq!(line(&said, "auth"), "auth optional token ok allowed");
    assert_eq!(line(&said, "rate_limit"), "rate_limit tier pro (claim `tier` of the token)");
    let pro = line(&said, "pro-burst");
    assert!(pro.starts_with("pro-burst tier gcra 100/min burst 100 local key sub=alice (h:"), "{pro}");
    let login = line(&said, "login");
    assert!(login.starts_with("login route sliding_log 5/15min local key addr=127.0.0.1 (h:"), "{login}");
    assert!(login.ends_with("cost 1 shadow"), "{login}");
    assert!(line(&said, "idempotency").contains("key ok, bare principal subject raw"), "{said}");
    assert_eq!(line(&said, "etag"), "etag POST passes");
    assert!(!said.contains(TOKEN), "{said}");
}

/// RL-22: what is shared is told as it is shared; nothing answers at the store's address.
#[test]
fn what_a_store_shares_is_told_without_asking_it() {
    let shared = "[store]\nurl = \"redis://127.0.0.1:1\"\nsecret_file = \"SECRET\"\n[rate_limit]\nlease = \"80ms\"";
    let bearer = format!("authorization: Bearer {TOKEN}");
    let (said, _, code) = explain_by(&FILE.replace("[rate_limit]", shared), &["POST", "/login", "-H", &bearer]);
    assert_eq!(code, Some(0), "{said}");
    assert!(line(&said, "pro-burst").contains(" burst 100 leased 80ms key sub=alice "), "{said}");
    assert!(line(&said, "login").contains(" 5/15min strict key addr=127.0.0.1 "), "{said}");
}

/// RL-22: whoever forwards is believed, and an unknown route is said to be one.
#[test]
fn a_forwarded_client_and_an_unknown_route_are_told() {
    let (said, _, _) =
        explain(&["GET", "/nowhere", "-H", "X-Forwarded-For: 203.0.113.9", "-H", "x_auth_subject: mallory"]);
    assert_eq!(line(&said, "route"), "route unmatched: no entry of [[routes]]");
    assert_eq!(line(&said, "client"), "client 203.0.113.9");
    assert_eq!(line(&said, "edge"), "edge removes fields that only the proxy says");
    assert_eq!(line(&said, "auth"), "auth optional no credential, anonymous");
    assert!(line(&said, "anonymous").contains("key addr=203.0.113.9"), "{said}");
}

#[test]
fn a_read_that_asks_for_a_tag_of_ours_is_judged_here() {
    let of = |list: &str| explain(&["GET", "/other", "-H", &format!("if-match: {list}")]).0;
    let said = of("W/\"vst1-AAAAAAAAAAAAAAAAAAAAAA\", \"v1\"");
    assert!(line(&said, "etag").contains("judges if-match here, the application sees no precondition"), "{said}");
    let said = of("\"v1\"");
    assert!(line(&said, "etag").ends_with("nothing to compare"), "{said}");
}

#[test]
fn a_refusal_is_told_where_it_would_happen() {
    let bearer = format!("authorization: Bearer {TOKEN}");
    let (said, _, _) = explain(&["GET", "/desk", "-H", &bearer]);
    assert_eq!(line(&said, "auth"), "auth required token ok not allowed here, would answer 403");
    let forged = format!("authorization: Bearer {TOKEN}x");
    let (said, _, _) = explain(&["GET", "/desk", "-H", &forged]);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("auth "), "nobody further inside sees it: {said}");
    assert!(line(&said, "auth").contains("would answer 401"), "{said}");
    let (said, _, _) = explain(&["GET", "/desk"]);
    assert!(line(&said, "auth").starts_with("auth required no credential, would answer 401"), "{said}");
    let (said, _, code) = explain(&["BREW", "/desk"]);
    assert!(line(&said, "edge").starts_with("edge would answer 405 method-not-allowed"), "{said}");
    assert_eq!(code, Some(0));
}

/// Keys behind an address are not fetched, so a token is taken for what it says, and nobody is told that it is good.
#[test]
fn a_token_that_cannot_be_verified_here_is_told_as_one() {
    let file = FILE
        .replace("secret_file = \"SECRET\"", "jwks_url = \"https://127.0.0.1:1/keys\"")
        .replace("\"HS256\"", "\"ES256\"");
    let said_of = |claims: &str| {
        let [header, claims, signature] =
            ["{\"alg\":\"ES256\"}", claims, "none"].map(|part| URL_SAFE_NO_PAD.encode(part));
        let bearer = format!("authorization: Bearer {header}.{claims}.{signature}");
        line(&explain_by(&file, &["GET", "/desk", "-H", &bearer]).0, "auth")
    };
    let unverified = "auth required token unverified (keys from jwks_url); what follows holds if its signature is good";
    assert_eq!(said_of("{\"exp\":4294967295,\"scope\":\"desk\"}"), format!("{unverified} allowed"));
    let lacking = said_of("{\"exp\":4294967295,\"scope\":\"chair\"}");
    assert_eq!(lacking, format!("{unverified} not allowed here, would answer 403"));
    assert_eq!(said_of("{\"exp\":1,\"scope\":\"desk\"}"), "auth required token refused (expired), would answer 401");
}

#[test]
fn nothing_is_told_beyond_the_first_refusal() {
    let file = FILE.replace("[rate_limit]", "api_keys_file = \"API_KEYS\"\n[rate_limit]");
    let said_of = |token: &str, key: &str| {
        let (bearer, key) = (format!("authorization: Bearer {token}"), format!("x-api-key: {key}"));
        line(&explain_by(&file, &["GET", "/", "-H", &bearer, "-H", &key]).0, "auth")
    };
    assert_eq!(said_of(TOKEN, "0123456789abcdef"), "auth optional token ok api key ci allowed");
    let forged = TOKEN.replace(".zGO", ".zGP");
    assert_eq!(said_of(&forged, "0123456789abcdef"), "auth optional token refused (unknown_key), would answer 401");
    assert_eq!(said_of(TOKEN, "0123456789abcdeF"), "auth optional api key unknown, would answer 401");
}

#[test]
fn a_preflight_passes_as_it_would() {
    let question = ["-H", "origin: https://shop.example", "-H", "access-control-request-method: POST"];
    let (said, _, _) = explain(&[&["OPTIONS", "/desk"][..], &question].concat());
    assert_eq!(line(&said, "auth"), "auth required CORS preflight, passes without a credential");
    let (said, _, _) = explain(&[&["GET", "/desk"][..], &question].concat());
    assert_eq!(line(&said, "auth"), "auth required no credential, would answer 401");
}

#[test]
fn what_cannot_be_a_request_is_an_error() {
    for (args, expected) in [
        (&["GET", "desk"][..], "`desk` is no path"),
        (&["G T", "/"], "`G T` is no method"),
        (&["GET", "/", "-H", "secret-without-colon"], "expected a field like"),
    ] {
        let (_, stderr, code) = explain(args);
        assert!(code == Some(1) && stderr.contains(expected) && !stderr.contains("secret-"), "{args:?}: {stderr}");
    }
}
