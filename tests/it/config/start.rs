//! `vestibule run`: what starts, and what does not.

use super::{holding, vestibule};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use vestibule_testkit::{Origin, Request, Setup, within};

#[tokio::test]
async fn a_bad_file_does_not_start_and_is_told_as_check_tells_it() {
    let toml = "[server]\nlistn = 1\nworkers = -1\n";
    let dir = holding(toml);
    let checked = vestibule(dir.path(), &["check", "-c", "vestibule.toml"]).await;
    let ran = vestibule(dir.path(), &["run", "-c", "vestibule.toml"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(ran.stderr.matches("error: ").count(), 2);
    assert!(checked.stderr.starts_with(&ran.stderr), "{}\n{}", ran.stderr, checked.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_a_sentence_and_not_a_panic() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound socket");
    for (key, other) in [("listen", "admin"), ("admin", "listen")] {
        let toml = format!("[server]\n{key} = \"{address}\"\n{other} = \"127.0.0.1:0\"\n");
        let failed = Setup::new(crate::bin()).toml(toml).try_start().await.expect_err("the port is taken");
        assert_eq!(failed.status.code(), Some(1));
        let expected = format!("error: cannot listen on {address} ([server] {key}): Address already in use");
        assert!(failed.stderr.starts_with(&expected), "{}", failed.stderr);
        assert!(!failed.stderr.contains("panicked"), "{}", failed.stderr);
    }
}

#[tokio::test]
async fn the_command_line_overrides_upstream_and_listen_of_the_file() {
    let (wrong, right) = (Origin::returning(200, "file"), Origin::returning(200, "command line"));
    let url = right.url();
    let setup = Setup::new(crate::bin()).upstream(wrong.url()).arg("--upstream").arg(&url);
    let proxy = setup.toml("[server]\nlisten = \"127.0.0.1:1\"\n").arg("--listen").arg("127.0.0.1:0").start().await;
    assert_ne!(proxy.address().port(), 1);
    assert_eq!(proxy.get("/").await.text(), "command line");
    // They hold across a reload, too.
    assert_eq!(proxy.reload().await.status, 200);
    assert_eq!(proxy.get("/").await.text(), "command line");
    assert_eq!((wrong.hits(), right.hits()), (0, 2));
}

#[tokio::test]
async fn a_flag_that_makes_no_sense_is_told_as_a_flag() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ran = vestibule(dir.path(), &["run", "--upstream", "ftp://h"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("--upstream"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_file_of_the_working_directory_is_used_when_none_is_named() {
    let origin = Origin::returning(200, "served");
    let dir = holding(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[upstream]\nurl = \"{}\"\n",
        origin.url()
    ));
    let mut run = Run::start(dir.path(), &["run"]);
    let address = run.listening("proxy").await.expect("it listens");
    assert_eq!(Request::new(address, "GET", "/").await.text(), "served");
}

/// `run --upstream URL` without a file is a working, transparent proxy with tracing and metrics. Its admin listener is
/// at the documented place, which another program on this machine may hold; then the start says so.
#[tokio::test]
async fn without_a_file_it_is_a_transparent_proxy() {
    let origin = Origin::returning(200, "served");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let url = origin.url();
    let mut run = Run::start(dir.path(), &["run", "--upstream", &url, "--listen", "127.0.0.1:0"]);
    match run.listening("proxy").await {
        Ok(address) => {
            let answer = Request::new(address, "GET", "/any?x=1").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "served"));
            assert_eq!(answer.field("x-trace-id").len(), 32);
            assert_eq!(origin.last().target, "/any?x=1");
        }
        Err(said) => {
            assert!(
                said.contains("cannot listen on 127.0.0.1:9901 ([server] admin): Address already in use"),
                "{said}"
            );
        }
    }
}

/// `check` says they are two addresses, so they are.
#[tokio::test]
async fn both_families_are_listened_on_at_one_port() {
    let origin = Origin::returning(200, "ok");
    let port = TcpListener::bind("[::]:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let toml = format!("[server]\nlisten = [\"0.0.0.0:{port}\", \"[::]:{port}\"]\n");
    let proxy = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await;
    assert_eq!(proxy.addresses().len(), 2);
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let answer = Request::new(address.parse().expect("an address"), "GET", "/").await;
        assert_eq!(answer.status, 200, "{address}");
    }
}

#[tokio::test]
async fn nothing_it_knows_is_left_on_disk_for_others() {
    let origin = Origin::returning(200, "ok");
    let proxy = Setup::new(crate::bin()).upstream(origin.url()).start().await;
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", proxy.pid())).expect("a process");
    assert!(read("status").lines().any(|line| line == "Umask:\t0077"), "{}", read("status"));
    let limits = read("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
}

/// A program started without the testkit's file.
struct Run {
    _child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Run {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(crate::bin());
        command.args(args).current_dir(dir).kill_on_drop(true).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be run");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        Self { _child: child, stderr, said: String::new() }
    }

    /// Where the listener of this name is; what the program said when it ended without one.
    async fn listening(&mut self, listener: &str) -> Result<SocketAddr, String> {
        within("the program to listen or end", async {
            while let Ok(Some(line)) = self.stderr.next_line().await {
                self.said.push_str(&line);
                let parsed: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if parsed["msg"] == "listening" && parsed["listener"] == listener {
                    return Ok(parsed["addr"].as_str().and_then(|addr| addr.parse().ok()).expect("an address"));
                }
            }
            Err(self.said.clone())
        })
        .await
    }
}
