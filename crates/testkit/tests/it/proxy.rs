//! Running a program: here a shell script that claims to listen where an origin does.

use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;
use vestibule_testkit::{Origin, Proxy, Reply, Setup};

/// A program that says it listens at `origin` and then runs `script`.
struct Program {
    dir: TempDir,
}

impl Program {
    fn listening_at(origin: &Origin, script: &str) -> Self {
        let line = |listener| {
            let line = json!({ "msg": "listening", "addr": origin.address().to_string(), "listener": listener });
            format!("echo '{line}' >&2\n")
        };
        Self::running(&format!("{}{}{script}", line("proxy"), line("admin")))
    }

    fn running(script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let program = Self { dir };
        std::fs::write(program.path(), format!("#!/bin/sh\n{script}\n")).expect("a writable directory");
        std::fs::set_permissions(program.path(), PermissionsExt::from_mode(0o755)).expect("a file of our own");
        program
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("program")
    }
}

#[tokio::test]
async fn it_is_reached_where_it_says_it_listens() {
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/metrics" => Reply::ok("up 1\n"),
        _ => Reply::ok("served"),
    });
    let program = Program::listening_at(&origin, "exec sleep 60");
    let proxy = Proxy::start(program.path(), "").await;
    assert_eq!(proxy.get("/").await.text(), "served");
    assert_eq!(proxy.metrics().await.value("up", &[]), 1.0);
    assert!(proxy.rss_bytes() > 0 && proxy.open_files() > 0);
}

#[tokio::test]
async fn its_log_lines_can_be_awaited() {
    let origin = Origin::returning(200, "");
    let script = r#"echo 'no json' >&2
        sleep 0.05; echo '{"msg":"request","status":200}' >&2
        echo '{"msg":"ready","n":1}' >&2; exec sleep 60"#;
    let program = Program::listening_at(&origin, script);
    let proxy = Proxy::start(program.path(), "").await;
    let line = proxy.wait_log("the line `ready`", |line| line["msg"] == "ready").await;
    assert_eq!(line["n"], 1);
    assert_eq!(proxy.wait_access(1).await[0]["status"], 200);
    assert!(proxy.stderr().contains("no json"));
}

#[tokio::test]
async fn signals_reach_it_and_its_end_is_seen() {
    let origin = Origin::returning(200, "");
    let script = r#"trap 'echo "{\"msg\":\"reloaded\"}" >&2' HUP
        trap 'exit 7' TERM
        echo '{"msg":"trapped"}' >&2
        while true; do sleep 0.02; done"#;
    let program = Program::listening_at(&origin, script);
    let mut proxy = Proxy::start(program.path(), "").await;
    proxy.wait_log("its traps", |line| line["msg"] == "trapped").await;
    proxy.sighup();
    proxy.wait_log("a reload", |line| line["msg"] == "reloaded").await;
    proxy.sigterm();
    assert_eq!(proxy.wait_exit().await.code(), Some(7));
}

#[tokio::test]
async fn a_start_that_fails_tells_why() {
    let program = Program::running("echo 'error: unknown key' >&2; exit 1");
    let failed = Setup::new(program.path()).try_start().await.expect_err("a program that ends");
    assert_eq!((failed.status.code(), failed.stderr.as_str()), (Some(1), "error: unknown key"));
}

#[tokio::test]
async fn it_finds_its_configuration_and_files_in_its_directory() {
    let origin = Origin::returning(200, "");
    let program = Program::listening_at(&origin, "cat vestibule.toml extra; echo; echo $NAME $4; exec sleep 60");
    let setup = Setup::new(program.path()).upstream("http://up:1").toml("[etag]").file("extra", "beside");
    let proxy = setup.env("NAME", "value").arg("--flag").start().await;
    proxy.wait_stdout("its last line", |text| text.contains("value --flag")).await;
    assert!(proxy.stdout().contains("[etag]\n[server]\n"), "{}", proxy.stdout());
    assert!(proxy.stdout().contains("url = \"http://up:1\"\nbeside"), "{}", proxy.stdout());

    proxy.rewrite("[csp]");
    let file = std::fs::read_to_string(proxy.dir().join("vestibule.toml")).expect("its configuration");
    assert!(file.starts_with("[csp]\n") && file.contains("http://up:1") && file.contains("listen"), "{file}");
}
