//! Sinks of other kinds.

use super::*;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use vestibule_testkit::{Origin, Redis, Resp, within};

#[tokio::test]
async fn stdout_has_an_event_a_line() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let mut proxy = trail.proxy(&origin, "sinks = [\"stdout\"]\n").await;
    for number in 0..10 {
        order(&proxy, number).await;
    }
    proxy.sigterm();
    assert!(proxy.wait_exit().await.success());
    let log = trail.log();
    proxy.wait_stdout("everything", |text| text.lines().count() >= log.events.len()).await;
    let lines: Vec<Value> = proxy.stdout().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, log.events);
}

/// Somebody who does not read holds up this sink and nothing else, not even the end.
#[tokio::test]
async fn a_stdout_that_nobody_reads_holds_up_nothing() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let toml = trail.toml(&format!(
        "sinks = [\"stdout\"]\n[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[upstream]\nurl = \"{}\"\n{ORDERS}",
        origin.url()
    ));
    let config = trail.beside("vestibule.toml");
    std::fs::write(&config, toml).expect("a file");
    let mut command = tokio::process::Command::new(crate::bin());
    command
        .args(["run", "-c"])
        .arg(&config)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be run");
    let _unread = child.stdout.take().expect("stdout is piped");
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    let address = loop {
        let line = within("its listeners", stderr.next_line()).await.expect("a pipe").expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        if line["listener"] == "proxy" {
            break line["addr"].as_str().expect("an address").parse().expect("an address");
        }
    };
    let drained = tokio::spawn(async move { while let Ok(Some(_)) = stderr.next_line().await {} });
    let mut raw = vestibule_testkit::Raw::connect(address).await;
    for _ in 0..300 {
        let answer = Request::new(address, "POST", "/orders/1").on(&mut raw).await;
        assert_eq!(answer.status, 200);
    }
    drop(raw);
    let pid = child.id().expect("running");
    let told = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status().expect("kill");
    assert!(told.success());
    let status = within("its end", child.wait()).await.expect("a child");
    assert!(status.success(), "{status}");
    drained.await.expect("no panic");
    let log = trail.log();
    assert_eq!((log.count("request.finished"), kind(log.events.last().expect("one"))), (300, "audit.checkpoint"));
}

#[tokio::test]
async fn the_store_has_a_stream() {
    let trail = Trail::new();
    let redis = Redis::start().await;
    let monitor = redis.monitor().await;
    let origin = Origin::returning(200, "ok");
    let lines = format!(
        "sinks = [\"store\"]\n[store]\nurl = \"{}\"\nnamespace = \"shop\"\nsecret = \"{}\"\n",
        redis.url(),
        "s".repeat(40)
    );
    let mut proxy = trail.proxy(&origin, &lines).await;
    order(&proxy, 1).await;
    proxy.sigterm();
    assert!(proxy.wait_exit().await.success());
    let log = trail.log();
    let entries = redis.command(&["XRANGE", "shop:audit", "-", "+"]).await;
    let events: Vec<Value> = entries
        .parts()
        .iter()
        .map(|entry| {
            let fields: Vec<&Resp> = entry.parts()[1].parts().iter().collect();
            assert_eq!((fields.len(), fields[0].text().as_str()), (2, "event"));
            serde_json::from_slice(fields[1].bytes()).expect("JSON")
        })
        .collect();
    assert_eq!(events, log.events);
    monitor
        .wait("XADD", |lines| {
            lines.iter().any(|line| line.contains("\"XADD\" \"shop:audit\" \"MAXLEN\" \"~\" \"1000000\""))
        })
        .await;
}

/// A store that is away gets everything when it is back.
#[tokio::test]
async fn a_store_that_was_away_gets_everything() {
    let trail = Trail::new();
    let mut redis = Redis::setup().appendonly(true).start().await;
    let origin = Origin::returning(200, "ok");
    let lines = format!(
        "sinks = [\"store\"]\n[store]\nurl = \"{}\"\nnamespace = \"shop\"\nsecret = \"{}\"\n",
        redis.url(),
        "s".repeat(40)
    );
    let proxy = trail.proxy(&origin, &lines).await;
    order(&proxy, 1).await;
    redis.wait("the first events", &["XLEN", "shop:audit"], |answer| matches!(answer, Resp::Int(4..))).await;
    redis.kill().await;
    for number in 2..5 {
        assert_eq!(order(&proxy, number).await.status, 200);
    }
    trail.wait_for("request.finished", 4).await;
    redis.restart().await;
    redis.wait("the rest", &["XLEN", "shop:audit"], |answer| matches!(answer, Resp::Int(10..))).await;
    let entries = redis.command(&["XRANGE", "shop:audit", "-", "+"]).await;
    let mut seen = std::collections::HashSet::new();
    let firsts: Vec<String> = entries
        .parts()
        .iter()
        .map(|entry| {
            serde_json::from_slice::<Value>(entry.parts()[1].parts()[1].bytes()).expect("JSON")["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .filter(|id| seen.insert(id.clone()))
        .collect();
    assert_eq!(firsts, trail.log().ids()[..firsts.len()]);
}

/// A message as RFC 6587 counts it.
async fn message(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let mut count = Vec::new();
    within("a message", stream.read_until(b' ', &mut count)).await.ok().filter(|read| *read > 0)?;
    let count: usize = std::str::from_utf8(&count).expect("text").trim_end().parse().expect("a count");
    let mut message = vec![0; count];
    within("the rest of it", stream.read_exact(&mut message)).await.expect("whole");
    let text = String::from_utf8(message).expect("UTF-8");
    let at = text.find('{').expect("an event");
    let event = serde_json::from_str(&text[at..]).expect("JSON");
    Some((text[..at].to_owned(), event))
}

#[tokio::test]
async fn syslog_has_a_counted_message_an_event() {
    let trail = Trail::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let origin = Origin::returning(200, "ok");
    let proxy = trail.proxy(&origin, &format!("sinks = [\"syslog:{address}\"]\n")).await;
    let (stream, _) = within("a connection", listener.accept()).await.expect("a connection");
    let mut stream = BufReader::new(stream);
    order(&proxy, 1).await;
    let log = trail.wait_for("request.finished", 1).await;
    let mut events = Vec::new();
    while events.len() < log.events.len() {
        let (head, event) = message(&mut stream).await.expect("a message");
        let words: Vec<&str> = head.split(' ').collect();
        assert_eq!((words[0], words[1]), ("<110>1", event["time"].as_str().expect("a time")));
        assert_eq!(
            (words[3], words[4], words[5], words[6]),
            ("vestibule", proxy.pid().to_string().as_str(), "audit", "-")
        );
        assert!(!words[2].is_empty());
        events.push(event);
    }
    assert_eq!(events, log.events);

    // A receiver that goes away is connected to again.
    drop(stream);
    let mut got = Vec::new();
    let mut number = 2;
    let mut stream = loop {
        order(&proxy, number).await;
        number += 1;
        if let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await {
            break BufReader::new(stream);
        }
    };
    order(&proxy, 99).await;
    while got.last().is_none_or(|event: &Value| event["subject"] != "order:99" || kind(event) != "request.finished") {
        got.push(message(&mut stream).await.expect("a message").1);
    }
    assert!(got.iter().map(|event| event["id"].as_str().expect("an id")).collect::<Vec<_>>().is_sorted());
}
