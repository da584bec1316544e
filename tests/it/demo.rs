//! `make demo`, the first thing an operator runs, does what it says.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

fn free_address() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").to_string()
}

/// The demo shows a tag, a 304, a 429 with its headers and a refused configuration, from real answers.
#[test]
fn the_demo_shows_what_it_promises() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built =
        Command::new(env!("CARGO")).args(["build", "--locked", "-p", "vestibule-upstream"]).current_dir(root).status();
    assert!(built.expect("cargo runs").success());
    let bin = Path::new(env!("CARGO_BIN_EXE_vestibule")).parent().expect("a folder");
    let output = Command::new(root.join("demo/run"))
        .arg("--once")
        .env("DEMO_BIN", bin)
        .env("DEMO_LISTEN", free_address())
        .env("DEMO_ADMIN", free_address())
        .env("DEMO_UPSTREAM", free_address())
        .env("DEMO_INTERNAL", free_address())
        .output()
        .expect("the demo runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    for expected in [
        "etag: W/\"vst1-",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 201 Created",
        "idempotent-replayed: true",
        "HTTP/1.1 429 Too Many Requests",
        "retry-after: ",
        "ratelimit: \"search\";r=0;t=",
        "violated-policies",
        "ratelimit-policy: \"member\";q=600;w=60",
        "www-authenticate: Bearer",
        "tier member (claim `tier` of the token)",
        "project.create",
        "ok: chain ",
        "error: hash_mismatch at seq",
        "\"action\":\"project.create\"",
        "unknown policy `serch`",
        "did you mean `search`?",
        "vestibule_rate_limit_decisions_total{policy=\"search\",outcome=\"denied\"",
    ] {
        assert!(text.contains(expected), "no `{expected}` in:\n{said}");
    }
}
