//! What a real browser makes of the header, and the proxy of its reports.

use super::*;
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use vestibule_testkit::{Certs, Reply, within_for};

/// An image of another origin and an inline script; neither is allowed, so that nothing leaves the machine.
const PAGE: &str = "<!doctype html><title>page</title><img src=\"http://127.0.0.1:1/x.png?token=MARKTOKEN\">\
                    <script>var MARKSAMPLE = 1</script>";
const CSP: &str = "[csp]\npolicy = \"default-src 'self'; script-src 'self' 'report-sample'\"\nmode = \"enforce\"\n\
                   reports = true\nsinks = [\"log\"]\n";

/// A browser that looks at one page until it is dropped.
struct Browser {
    child: Child,
    profile: TempDir,
}

impl Browser {
    fn looking_at(url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let child = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--short-reporting-delay", "--ignore-certificate-errors"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--log-net-log={}", profile.path().join("net.json").display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium is installed");
        Self { child, profile }
    }

    /// Ends it, and gives what it wrote down of its requests.
    fn close(mut self) -> String {
        self.end();
        let log: PathBuf = self.profile.path().join("net.json");
        std::fs::read_to_string(log).expect("a log of requests")
    }

    fn end(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
    }
}

/// CSP-22
#[tokio::test]
async fn a_browser_reports_over_http_and_over_https() {
    let origin = Origin::replying(|_| Reply::ok(PAGE).field("content-type", "text/html"));
    let certs = Certs::naming(&["localhost", "127.0.0.1"]);
    let plain = Stage { proxy: before(&origin, CSP).await, origin };
    let origin = Origin::replying(|_| Reply::ok(PAGE).field("content-type", "text/html"));
    let toml = format!("[server]\ntls = {}\n{CSP}", certs.tls_toml());
    let tls = Stage { proxy: before(&origin, &toml).await, origin };
    for (stage, scheme, media_type, other) in [
        (&plain, "http", "application/csp-report", "application/reports+json"),
        (&tls, "https", "application/reports+json", "application/csp-report"),
    ] {
        let browser = Browser::looking_at(&format!("{scheme}://{}/", stage.proxy.address()));
        // It starts slowly on a busy machine; what it sees, it reports within ten seconds.
        stage.origin.wait_hits(1).await;
        within_for(Duration::from_secs(10), "both violations", async {
            loop {
                let listed = stage.listed("").await.to_string();
                if listed.contains("\"img-src\"") && listed.contains("\"script-src-elem\"") {
                    break;
                }
                // Nothing announces a report, so this is a poll; its period decides no outcome.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let requests = browser.close().to_lowercase();
        assert!(requests.contains(&format!("content-type: {media_type}")), "{scheme}: none was sent as {media_type}");
        assert!(!requests.contains(&format!("content-type: {other}")), "{scheme}: one was sent as {other}");
        let listed = stage.listed("").await;
        assert!(listed["totals"]["accepted"].as_u64() >= Some(2), "{listed}");
        let blocked = listed["violations"].as_array().expect("a list").iter().map(|one| &one["blocked"]);
        assert!(blocked.clone().any(|blocked| blocked == "http://127.0.0.1:1/x.png"), "{listed}");
        assert!(blocked.clone().any(|blocked| blocked == "inline"), "{listed}");
        let (logs, metrics) = (stage.proxy.stderr(), stage.proxy.admin("GET", "/metrics").await.text());
        for text in [listed.to_string(), logs, metrics] {
            assert!(!text.contains("MARK") && !text.contains("marktoken"), "{text}");
        }
    }
}
