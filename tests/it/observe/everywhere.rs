//! OBS-12: every answer, whoever gave it, names its trace: in the field, in `instance`, in the log line.

use super::{line_of, proxy, trace_id};
use vestibule_testkit::{Answer, Certs, H2Client, H2Request, Origin, Proxy, Reply, Setup};

const LIMITED: &str = "\
[server]
max_body_bytes = \"1KiB\"
[etag]
[rate_limit.policies.p]
limit = \"1/h\"
key = \"address\"
[rate_limit.tiers]
anonymous = []
[[routes]]
name = \"limited\"
path = \"/limited\"
rate_limit = [\"p\"]
";

/// Field, `instance` and log line agree; gives the line.
async fn agrees(proxy: &Proxy, answer: &Answer, what: &str) -> serde_json::Value {
    let id = trace_id(answer);
    if !answer.problem().is_empty() {
        assert_eq!(answer.json()["instance"], format!("urn:trace:{id}"), "{what}");
    }
    let line = line_of(proxy, &id).await;
    assert_eq!(line["status"], answer.status, "{what}");
    line
}

#[tokio::test]
async fn every_kind_of_answer_names_its_trace() {
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/missing" => Reply::new(404),
        "/dies" => Reply::dying(),
        _ => Reply::ok("the same"),
    });
    let proxy = proxy(&origin, LIMITED).await;
    let tag = proxy.get("/tagged").await.field("etag").to_owned();
    assert_eq!(proxy.get("/limited").await.status, 200);
    for (what, request, status, by, problem) in [
        ("proxied", proxy.get("/"), 200, "upstream", None),
        ("not modified", proxy.get("/tagged").header("if-none-match", tag), 304, "upstream", None),
        ("the application's 404", proxy.get("/missing"), 404, "upstream", None),
        ("a body too large", proxy.post("/").body(vec![0; 1025]), 413, "edge", Some("content-too-large")),
        ("refused by a limit", proxy.get("/limited"), 429, "rate_limit", Some("quota-exceeded")),
        ("the upstream died", proxy.get("/dies"), 502, "edge", Some("upstream-unreachable")),
        ("no such method", proxy.request("PURGE", "/"), 405, "edge", Some("method-not-allowed")),
        ("a bad target", proxy.get("/%zz"), 400, "edge", Some("bad-target")),
        ("a bad host", proxy.get("/").header("host", "a:b"), 400, "edge", Some("bad-host")),
    ] {
        let answer = request.await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let line = agrees(&proxy, &answer, what).await;
        if problem.is_some() {
            assert_eq!(line["answered_by"], by, "{what}");
        }
        assert_eq!(line["problem"].as_str(), problem, "{what}");
    }
}

#[tokio::test]
async fn a_grpc_refusal_names_its_trace_in_its_one_header_block() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let toml = LIMITED.replace("[server]", &format!("[server]\ntls = {}", certs.tls_toml()));
    let proxy = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    assert_eq!(client.get("/limited").await.status, 200);
    let call = H2Request::new("POST", "/limited").header("content-type", "application/grpc").body(&b"\0\0\0\0\0"[..]);
    let refused = client.send(call).await;
    assert_eq!((refused.status, refused.field("grpc-status")), (200, "8"));
    let line = agrees(&proxy, &refused, "a gRPC refusal").await;
    assert_eq!((&line["protocol"], &line["tls"]), (&"HTTP/2".into(), &true.into()));
}
