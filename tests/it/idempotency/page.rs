//! The transcripts on the plugin's page are what the program does.

use super::stage::order;
use std::process::Command;
use vestibule_testkit::{Origin, Proxy, Setup};

const PAGE: &str = include_str!("../../../plugins/idempotency/README.md");
const EXAMPLE: &str = include_str!("../../../plugins/idempotency/example.toml");

/// A command and what it prints, as the page shows it.
struct Shown {
    command: String,
    status: String,
    fields: Vec<String>,
    body: String,
}

/// Every `$ curl -i` of the page, in order.
fn transcripts() -> Vec<Shown> {
    let blocks = PAGE.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = blocks.flat_map(|block| block.split("$ ").skip(1)).filter(|shown| shown.starts_with("curl -i "));
    commands
        .map(|shown| {
            let (command, printed) = shown.split_once('\n').expect("a line for the command");
            let (head, body) = printed.split_once("\n\n").expect("a head and a body");
            let mut lines = head.lines().map(str::to_owned);
            let status = lines.next().expect("a status line");
            Shown { command: command.to_owned(), status, fields: lines.collect(), body: body.trim_end().to_owned() }
        })
        .collect()
}

/// Each trace has an id of its own.
fn without_trace(text: &str) -> &str {
    text.split("\"instance\"").next().unwrap_or(text)
}

async fn run(proxy: &Proxy, command: &str) -> String {
    let command = command.replace("127.0.0.1:8080", &proxy.address().to_string()).replacen("curl ", "curl -s ", 1);
    let ran = tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &command]).output());
    let output = ran.await.expect("no panic").expect("curl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").replace('\r', "")
}

#[tokio::test]
async fn what_the_page_shows_is_what_happens() {
    let origin = Origin::replying(order);
    let toml = EXAMPLE.replace("listen = \"127.0.0.1:8080\"\n", "").replace("url = \"http://127.0.0.1:8000\"\n", "");
    let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await;
    let shown = transcripts();
    assert!(shown.len() >= 4, "the page has lost its transcripts");
    for Shown { command, status, fields, body } in shown {
        let printed = run(&proxy, &command).await;
        let (head, real) = printed.split_once("\n\n").expect("a head and a body");
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some(status.as_str()), "{command}");
        let lines: Vec<String> = lines.map(str::to_ascii_lowercase).collect();
        for field in fields {
            assert!(lines.contains(&field), "{command}: {field} is not in {lines:?}");
        }
        assert_eq!(without_trace(real.trim_end()), without_trace(&body), "{command}");
    }
    assert_eq!(origin.hits(), 1);
}
