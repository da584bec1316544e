//! A stderr that nobody reads.

use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use vestibule_testkit::{Origin, Raw, Request, Scrape, within};

/// More lines than wait for a slow stderr (8,192), and than a pipe holds besides.
const REQUESTS: usize = 9_500;
const CONNECTIONS: usize = 10;

#[tokio::test]
async fn it_slows_no_request_and_what_is_lost_is_counted_and_told() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Refusals need no upstream, so that the lines are what costs.
    let origin = Origin::returning(200, "ok");
    let toml = "\
[server]
listen = \"127.0.0.1:0\"
admin = \"127.0.0.1:0\"
[upstream]
url = \"URL\"
[rate_limit.policies.p]
limit = \"1/day\"
key = \"address\"
[rate_limit.tiers]
anonymous = [\"p\"]
";
    std::fs::write(dir.path().join("vestibule.toml"), toml.replace("URL", &origin.url()))
        .expect("a writable directory");
    let mut command = Command::new(crate::bin());
    command.arg("run").current_dir(dir.path()).kill_on_drop(true).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be run");
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    let mut addresses = Vec::new();
    while addresses.len() < 2 {
        let line = within("its listeners", stderr.next_line()).await.expect("a pipe").expect("a line");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        addresses.extend(line["addr"].as_str().and_then(|addr| addr.parse::<std::net::SocketAddr>().ok()));
    }
    let (admin, proxy) = (addresses[0], addresses[1]);

    // From here on nobody reads.
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        workers.spawn(async move {
            let mut raw = Raw::connect(proxy).await;
            let request = Request::new(proxy, "GET", "/");
            let mut slowest = Duration::ZERO;
            for _ in 0..REQUESTS / CONNECTIONS {
                let began = Instant::now();
                let status = request.clone().on(&mut raw).await.status;
                assert!(matches!(status, 429 | 200), "{status}");
                slowest = slowest.max(began.elapsed());
            }
            slowest
        });
    }
    let slowest = workers.join_all().await.into_iter().max().expect("workers");
    assert!(slowest < Duration::from_secs(2), "a request took {slowest:?}");

    let scrape = Scrape::parse(&Request::new(admin, "GET", "/metrics").await.text());
    let dropped = scrape.value("vestibule_log_lines_dropped_total", &[]);
    assert!(dropped > 0.0 && dropped < REQUESTS as f64, "{dropped}");

    // Once somebody reads again, all that waited comes, and the next line says how many are missing.
    let reader = tokio::spawn(async move {
        let mut lines = 0;
        loop {
            let line = stderr.next_line().await.expect("a pipe").expect("a running program");
            let line: serde_json::Value = serde_json::from_str(&line).expect("every line is JSON");
            match line["msg"].as_str() {
                Some("log lines dropped") => return (lines, line["count"].as_f64().expect("a count")),
                Some("request") => lines += 1,
                _ => {}
            }
        }
    });
    // The queue has room again only when lines have been written, so requests go on until one of them is told.
    let mut more = 0;
    while !reader.is_finished() {
        Request::new(proxy, "GET", "/").await;
        more += 1;
        assert!(more < 1000, "nobody says that lines were dropped");
    }
    let (read, told) = reader.await.expect("a reader that does not panic");
    assert!(told >= dropped, "{told} of at least {dropped}");
    assert!(read + told as usize >= REQUESTS && read + told as usize <= REQUESTS + more, "{read} + {told}");
}
