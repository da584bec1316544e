//! What is refused when the file is loaded, and what `explain` says.

use super::*;
use std::process::Command;

fn check(toml: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vestibule.toml");
    std::fs::write(&file, format!("[upstream]\nurl = \"http://127.0.0.1:9\"\n{toml}")).expect("written");
    let output = Command::new(crate::bin()).arg("check").arg("-c").arg(&file).output().expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn explain(toml: &str, words: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vestibule.toml");
    std::fs::write(&file, format!("[upstream]\nurl = \"http://127.0.0.1:9\"\n{toml}")).expect("written");
    let output = Command::new(crate::bin()).arg("explain").arg("-c").arg(&file).args(words).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// CSP-07
#[tokio::test]
async fn every_mistake_of_every_policy_is_told_in_one_run() {
    let route =
        |name: &str, policy: &str| format!("[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\ncsp = {policy}\n");
    let toml = [
        "[csp]\npolicy = \"default-src 'self', img-src *\"\n".to_owned(),
        route("a", "\"scrpt-src 'self'\""),
        route("b", "\"img-src *; img-src data:\""),
        route("c", "{ policy = \"default-src self\" }"),
        route("d", "\"script-src 'nonce-abc'\""),
    ];
    let (valid, told) = check(&toml.concat());
    assert!(!valid);
    for message in [
        "a policy has no comma",
        "unknown directive `scrpt-src`",
        "did you mean `script-src`?",
        "`img-src` stands here twice",
        "`self` in `default-src` needs quotes",
        "`script-src` has a literal nonce",
    ] {
        assert!(told.contains(message), "{message}\n{told}");
    }
    assert_eq!(told.matches("error:").count(), 5, "{told}");
    let (_, all_in_one) =
        check("[csp]\npolicy = \"scrpt-src 'self'; img-src self; img-src *; script-src 'nonce-a', x\"\n");
    assert!(all_in_one.matches("error:").count() >= 5, "{all_in_one}");
    let (_, behind_a_comma) = check("[csp]\npolicy = \"default-src self, img-src *\"\n");
    assert!(behind_a_comma.contains("a policy has no comma"), "{behind_a_comma}");
    assert!(behind_a_comma.contains("`self` in `default-src` needs quotes"), "{behind_a_comma}");
}

#[tokio::test]
async fn what_cannot_work_is_an_error_and_what_is_not_meant_a_warning() {
    let reports = "[csp]\nreports = true\n";
    for (toml, told) in [
        ("[[routes]]\nname = \"a\"\npath = \"/a\"\ncsp = \"img-src *\"\n".to_owned(), "`csp` is off"),
        (format!("{reports}report_path = \"r\"\n"), "is no path for reports"),
        (format!("{reports}report_path = \"/a?b\"\n"), "`?` cannot stand in it"),
        (format!("{reports}report_path = \"/{{a}}\"\n"), "`{` cannot stand in it"),
        (
            format!("{reports}[[routes]]\nname = \"a\"\npath = \"/_vestibule/reports\"\n"),
            "`/_vestibule/reports` is served by [csp]",
        ),
        (
            format!("{reports}[[routes]]\nname = \"csp-reports\"\npath = \"/a\"\n"),
            "a route cannot be named `csp-reports`",
        ),
        (format!("[server]\nmethods = [\"GET\", \"OPTIONS\"]\n{reports}"), "`reports` needs the method POST"),
        (format!("[server]\nmethods = [\"GET\", \"POST\"]\n{reports}"), "`reports` needs the method OPTIONS"),
        (format!("{reports}sample = 1.5\n"), "sample"),
        (format!("{reports}sinks = [\"store\"]\n"), "the sink `store` needs a Redis"),
        (format!("{reports}sinks = [\"log\", \"log\"]\n"), "this sink stands here twice"),
        (format!("{reports}sinks = [\"syslog\"]\n"), "this is no sink"),
        (format!("{reports}sinks = [\"file:/no/such/folder/x\"]\n"), "there is no such folder"),
        (format!("{reports}sinks = [\"file:{}\"]\n", "x".repeat(300)), "cannot write to `xxx"),
        (format!("{reports}sinks = [\"https://u:p@a.example/\"]\n"), "expected a URL without credentials"),
        (format!("{reports}sink_token = \"a b\"\n"), "`sink_token` is no token"),
        (
            format!("{reports}sink_token = \"a\"\nsink_token_file = \"x\"\n"),
            "both `sink_token` and `sink_token_file` are set",
        ),
        (format!("{reports}ignore = [\"a/b\"]\n"), "`a/b` is no pattern"),
        (format!("{reports}origins = [\"a.example\"]\n"), "`a.example` is no origin"),
        (format!("{reports}rate = \"0/min\"\n"), "`rate` cannot be 0/min"),
        (format!("{reports}max_body = \"2MiB\"\n"), "`max_body` cannot be 2MiB"),
    ] {
        let (valid, said) = check(&toml);
        assert!(!valid && said.contains(told), "{toml}\n{said}");
    }
    let (valid, said) = check("[csp]\npolicy = \"sandbox; upgrade-insecure-requests\"\n");
    assert!(valid && said.matches("warning:").count() == 2, "{said}");
    let (valid, said) = check("[csp]\npolicy = \"script-src 'unsafe-inline'\"\nmode = \"enforce\"\n");
    assert!(valid && said.matches("warning:").count() == 1, "{said}");
    let (valid, said) = check(
        "[csp]\npolicy = \"script-src 'unsafe-inline'\"\n\
         [[routes]]\nname = \"a\"\npath = \"/a\"\ncsp = { mode = \"enforce\" }\n",
    );
    assert!(valid && said.matches("warning:").count() == 1 && said.contains("in the policy of [csp]"), "{said}");
    // What is not collected needs nothing.
    let (valid, said) = check(
        "[server]\nmethods = [\"GET\"]\n[csp]\n[[routes]]\nname = \"csp-reports\"\npath = \"/_vestibule/reports\"\n",
    );
    assert!(valid, "{said}");
}

#[tokio::test]
async fn a_token_is_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vestibule.toml");
    let toml = "[csp]\nsink_token = \"hunter2hunter2\"\nsinks = [\"https://reports.example/\"]\n";
    std::fs::write(&file, toml).expect("written");
    let output = Command::new(crate::bin()).args(["check", "--print", "-c"]).arg(&file).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("sink_token = \"***\"") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn explain_says_what_a_page_and_a_report_would_meet() {
    let toml = "[csp]\npolicy = \"default-src 'self'\"\nreports = true\n[auth]\nmode = \"off\"\n\
                [[routes]]\nname = \"shop\"\npath = \"/shop\"\n[[routes]]\nname = \"raw\"\npath = \"/raw\"\ncsp = false\n";
    let said = explain(toml, &["GET", "/shop", "-H", "x-forwarded-proto: https"]);
    let line = said.lines().find(|line| line.starts_with("csp ")).expect("a line");
    assert!(line.contains("would add content-security-policy-report-only (route shop, policy "), "{line}");
    assert!(
        line.ends_with(") to HTML without a policy; reports to /_vestibule/reports by report-uri, report-to"),
        "{line}"
    );
    let said = explain(toml, &["GET", "/shop"]);
    assert!(said.contains("by report-uri\n"), "{said}");
    assert!(explain(toml, &["GET", "/raw"]).contains("csp          adds no header\n"));
    let said = explain(toml, &["POST", PATH]);
    assert!(said.contains("route        csp-reports: served by [csp]\n"), "{said}");
    let taken = "csp          taken here: 300/min per client, at most 64KiB and 100 reports, sample 1.0, sinks log\n";
    assert!(said.contains(taken), "{said}");
    assert!(!said.contains("\nauth") && !said.contains("\nupstream"), "{said}");
}
