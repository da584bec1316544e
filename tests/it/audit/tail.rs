//! `vestibule audit tail`: what it prints.

use crate::bin;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use vestibule_chain::layout;
use vestibule_testkit::AuditLog;

fn tail(dir: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(bin());
    // Two hours east of Greenwich.
    command.env("TZ", "<+02>-2").args(["audit", "tail"]).arg(dir.path()).args(args);
    command
}

#[test]
fn the_last_events_are_printed_in_local_time() {
    let dir = tempfile::tempdir().expect("directory");
    let mut log = AuditLog::new(7, None);
    log.requests(1);
    log.rotate(&[]);
    log.event("io.vestibule.request.finished", &json!({ "resource": "a\u{1b}[2J\nb", "action": "x.y" }));
    log.write(dir.path());
    let output = tail(&dir, &["-n", "3"]).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), output.status.code()), (3, Some(0)), "{text}");
    assert!(lines[0].starts_with("2026-11-22 12:03:11.484        2  request.finished "), "{text}");
    assert!(lines[1].contains("  3  audit.segment "), "{text}");
    assert!(lines[2].contains("  x.y                 a\\u{1b}[2J\\nb "), "{text}");
    let output = tail(&dir, &[]).output().expect("the program runs");
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 5);
    let mut none = Command::new(bin());
    let output = none.args(["audit", "tail", "/nowhere"]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: cannot read `/nowhere`: "));
}

#[test]
fn it_follows_the_log_into_the_next_segment() {
    let dir = tempfile::tempdir().expect("directory");
    let mut log = AuditLog::new(7, None);
    log.grow(dir.path());
    let mut child = tail(&dir, &["-f"]).stdout(Stdio::piped()).spawn().expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("more").expect("text");
    assert!(next().contains("  0  audit.segment "));
    log.requests(1);
    log.grow(dir.path());
    assert!(next().contains("  1  request.started ") && next().contains("  2  request.finished "));
    log.rotate(&[]);
    log.requests(1);
    log.grow(dir.path());
    for (seq, kind) in [(3, "audit.segment"), (4, "request.started"), (5, "request.finished")] {
        assert!(next().contains(&format!("  {seq}  {kind} ")));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(dir.path().join(layout::segment_name(1)).exists());
}
