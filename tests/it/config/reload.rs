//! SIGHUP and `POST /reload`: all of a new configuration or nothing of it.

use super::vestibule;
use vestibule_testkit::{Certs, Origin, Proxy, Reply, Scrape, Setup};

const CONFIG_METRICS: [&str; 2] = ["vestibule_config_generation", "vestibule_config_last_reload_successful"];

/// Generation, whether the last reload was taken, reloads taken and refused.
fn counted(scrape: &Scrape) -> [f64; 4] {
    let reloads = |outcome| scrape.value("vestibule_config_reloads_total", &[("outcome", outcome)]);
    let [generation, last] = CONFIG_METRICS.map(|name| scrape.value(name, &[]));
    [generation, last, reloads("ok"), reloads("failed")]
}

#[tokio::test]
async fn a_reload_is_taken_by_the_next_request_and_counted() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
    assert_eq!(counted(&proxy.metrics().await), [1.0, 1.0, 0.0, 0.0]);
    proxy.rewrite("[server]\nmethods = [\"GET\"]\n");
    assert_eq!(proxy.post("/").body("x").await.status, 200);

    let answer = proxy.reload().await;
    assert_eq!((answer.status, answer.json()), (200, serde_json::json!({ "generation": 2 })));
    assert_eq!(proxy.post("/").body("x").await.status, 405);
    assert_eq!(counted(&proxy.metrics().await), [2.0, 1.0, 1.0, 0.0]);
    assert_eq!(proxy.admin("GET", "/status").await.json()["generation"], 2);
    let generations: Vec<_> = proxy.wait_access(2).await.iter().map(|line| line["generation"].clone()).collect();
    assert_eq!(generations, [1, 2]);
}

#[tokio::test]
async fn sighup_reloads() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
    proxy.rewrite("[server]\nmethods = [\"POST\"]\n");
    proxy.sighup();
    let line = proxy.wait_log("the reload", |line| line["msg"] == "configuration reloaded").await;
    assert_eq!(line["generation"], 2);
    assert_eq!(proxy.get("/").await.status, 405);
}

#[tokio::test]
async fn a_refused_reload_changes_nothing_and_tells_every_error() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[server]\nvia = \"first\"\n").await;
    let before = proxy.admin("GET", "/config").await.text();
    let hash = proxy.admin("GET", "/status").await.json()["config_hash"].clone();
    proxy.rewrite("[server]\nvia = \"second\"\nlistn = 1\n[log]\nlevel = \"loud\"\n");

    let answer = proxy.reload().await;
    assert_eq!(answer.status, 422);
    let body = answer.json();
    assert_eq!(body["generation"], 1);
    let errors = body["errors"].as_array().expect("a list of errors");
    assert_eq!(errors.len(), 2, "{body}");
    assert_eq!(errors[0]["message"], "unknown key `listn`");
    assert_eq!(errors[0]["file"], "vestibule.toml");
    assert!(errors[0]["line"].is_u64() && errors[0]["column"] == 1, "{body}");
    assert_eq!(errors[0]["help"], "[server] has no `listn`; did you mean `listen`?");

    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.last().field("via"), "1.1 first");
    assert_eq!(proxy.admin("GET", "/config").await.text(), before);
    assert_eq!(proxy.admin("GET", "/status").await.json()["config_hash"], hash);
    assert_eq!(counted(&proxy.metrics().await), [1.0, 0.0, 0.0, 1.0]);
    let logged = |text: &'static str| move |line: &serde_json::Value| line["level"] == "ERROR" && line["msg"] == text;
    proxy.wait_log("the first error", logged("unknown key `listn`")).await;
    proxy.wait_log("the verdict", logged("reload refused; the configuration that serves is unchanged")).await;

    proxy.rewrite("[server]\nvia = \"third\"\n");
    assert_eq!(proxy.reload().await.status, 200);
    assert_eq!(counted(&proxy.metrics().await), [2.0, 1.0, 1.0, 1.0]);
}

/// A file that is gone is an error and never "no file, so the defaults".
#[tokio::test]
async fn a_deleted_file_is_no_reason_to_serve_the_defaults() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[server]\nvia = \"mine\"\n").await;
    std::fs::remove_file(proxy.dir().join("vestibule.toml")).expect("the file exists");
    let answer = proxy.reload().await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.last().field("via"), "1.1 mine");
}

#[tokio::test]
async fn a_key_that_needs_a_restart_is_named_and_the_rest_applies() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[server]\nworkers = 1\n").await;
    let address = proxy.address();
    proxy.rewrite("[server]\nworkers = 2\nlisten = \"127.0.0.2:0\"\nvia = \"new\"\n");
    assert_eq!(proxy.reload().await.status, 200);
    for key in ["server.workers", "server.listen"] {
        let line = proxy.wait_log(key, |line| line["key"] == key).await;
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["msg"], "this key takes effect at restart only");
    }
    assert_eq!(proxy.address(), address);
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.last().field("via"), "1.1 new");
    let shown = proxy.admin("GET", "/config").await.text();
    assert!(shown.contains("workers = 1") && !shown.contains("127.0.0.2"), "what is in force: {shown}");

    let warnings = || proxy.logs().iter().filter(|line| line["key"] == "server.workers").count();
    proxy.rewrite("[server]\nworkers = 2\nvia = \"newer\"\n");
    assert_eq!(proxy.reload().await.status, 200);
    proxy.wait_log("the second reload", |line| line["generation"] == 3).await;
    assert_eq!(warnings(), 2, "it still waits");
    proxy.rewrite("[server]\nworkers = 1\nvia = \"last\"\n");
    assert_eq!(proxy.reload().await.status, 200);
    proxy.wait_log("the last reload", |line| line["generation"] == 4).await;
    assert_eq!(warnings(), 2, "that is what runs");
}

#[tokio::test]
async fn lines_about_a_configuration_say_what_check_says() {
    let origin = Origin::returning(200, "ok");
    let toml = "[rate_limit.policies.a]\nlimit = \"1/s\"\nkey = \"header:x-a\"\n";
    let proxy = Proxy::before(crate::bin(), &origin.url(), toml).await;
    let line = proxy.wait_log("the warning", |line| line["msg"] == "policy `a` counts by a header").await;
    assert_eq!(
        line["help"],
        "clients choose its value, and with each another bucket; add a second policy, by client or address"
    );
    assert_eq!(line["column"], 7);
    // A place that does not exist is not written.
    std::fs::remove_file(proxy.dir().join("vestibule.toml")).expect("the file exists");
    assert_eq!(proxy.reload().await.status, 422);
    let line = proxy.wait_log("the error", |line| line["msg"] == "cannot read the configuration").await;
    assert!(line.get("line").is_none() && line.get("column").is_none(), "{line}");
}

/// The same file with other CAs is another upstream: no connection made under the old ones is used again.
#[tokio::test]
async fn a_ca_file_with_another_content_is_read_again() {
    let (certs, others) = (Certs::new(), Certs::new());
    let origin = Origin::tls(&certs, |_| Reply::ok("ok"));
    let pem = |certs: &Certs| std::fs::read(certs.ca_file()).expect("a file");
    let toml = "[upstream]\nca_file = \"ca.pem\"\nserver_name = \"localhost\"\n";
    let setup = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).file("ca.pem", pem(&certs));
    let proxy = setup.start().await;
    assert_eq!(proxy.get("/").await.status, 200);
    std::fs::write(proxy.dir().join("ca.pem"), pem(&others)).expect("a writable file");
    assert_eq!(proxy.reload().await.status, 200);
    assert_eq!(proxy.get("/").await.status, 502);
    std::fs::write(proxy.dir().join("ca.pem"), pem(&certs)).expect("a writable file");
    assert_eq!(proxy.reload().await.status, 200);
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn the_admin_listener_shows_what_check_prints() {
    let toml = "[store]\nsecret = \"a-secret-of-thirty-two-bytes-or-so\"\n[rate_limit]\n[etag]\n";
    let proxy = Setup::new(crate::bin()).toml(toml).upstream("http://127.0.0.1:1").start().await;
    let shown = proxy.admin("GET", "/config").await;
    assert_eq!(shown.field("content-type"), "application/toml");
    let printed = vestibule(proxy.dir(), &["check", "-c", "vestibule.toml", "--print"]).await;
    assert_eq!(shown.text(), printed.stdout);
    assert!(shown.text().contains("secret = \"***\""), "{}", shown.text());
}

/// What is stored under another name is not found again; whoever changes that by a reload is told.
#[tokio::test]
async fn a_reload_that_loses_what_is_stored_says_so() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
    assert_eq!(proxy.reload().await.status, 200);
    proxy.wait_log("a reload", |line| line["msg"] == "configuration reloaded").await;
    let told =
        |line: &serde_json::Value| line["msg"].as_str().is_some_and(|msg| msg.starts_with("what the store knew"));
    assert!(!proxy.logs().iter().any(told), "nothing has changed");
    proxy.rewrite("[store]\nnamespace = \"other\"\nsecret = \"another\"\n");
    assert_eq!(proxy.reload().await.status, 200);
    for key in ["store.namespace", "store.secret_file"] {
        proxy.wait_log(key, |line| told(line) && line["key"] == key && line["level"] == "WARN").await;
    }
}
