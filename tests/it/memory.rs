//! SEC 6: the sum of what is held is bounded, whoever sends it, leaves it unread or waits.

mod answers;
mod pressure;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use tempfile::TempDir;
use vestibule_testkit::{Origin, Proxy, Raw, Request, Setup};

/// What is counted at once.
const STEP: usize = 64 * 1024;
const MIB: usize = 1 << 20;

const KEYED: &str = "[idempotency]\nprincipal = [\"authorization\"]\n";

/// A proxy that believes what this machine says of its clients, with these lines of `[server]` and tables behind them.
async fn proxy(origin: &Origin, server: &str, tables: &str) -> Proxy {
    setup(crate::bin(), origin, server, tables).start().await
}

fn setup(bin: impl AsRef<std::path::Path>, origin: &Origin, server: &str, tables: &str) -> Setup {
    let toml = format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{server}\n{tables}");
    Setup::new(bin).upstream(origin.url()).toml(toml)
}

/// The program under `ulimit -v`, and the directory of the script that says so.
fn limited(kib: usize) -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("vestibule");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o700).open(&script).expect("a file");
    write!(file, "#!/bin/sh\nulimit -v {kib}\nexec '{}' \"$@\"\n", crate::bin().display()).expect("written");
    (dir, script)
}

/// Of this client; the key's caller is another with each client.
fn from(request: Request, client: &str) -> Request {
    request.header("x-forwarded-for", client).header("authorization", format!("Bearer {client}"))
}

/// An order of this client, with this key and without a body.
fn order(proxy: &Proxy, client: &str, key: &str) -> Request {
    from(proxy.post("/orders"), client).header("idempotency-key", key)
}

/// The head of a keyed upload.
fn upload_head(client: &str, key: &str, length: usize) -> String {
    format!(
        "POST /orders HTTP/1.1\r\nhost: h\r\nx-forwarded-for: {client}\r\nauthorization: Bearer {client}\r\n\
         idempotency-key: {key}\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// A keyed upload that stops after so many bytes.
async fn stalled(proxy: &Proxy, client: &str, key: &str, bytes: usize) -> Raw {
    let mut raw = proxy.connect().await;
    raw.write(upload_head(client, key, MIB)).await;
    raw.write(vec![b'x'; bytes]).await;
    raw
}

async fn wait_held(proxy: &Proxy, bytes: usize) {
    let what = format!("{bytes} bytes to be held");
    proxy.wait_metrics(&what, |scrape| scrape.value("vestibule_held_bytes", &[]) as usize == bytes).await;
}

async fn shed(proxy: &Proxy) -> usize {
    proxy.metrics().await.value("vestibule_server_shed_total", &[("reason", "memory")]) as usize
}

/// So many MiB of zeros in `zstd`, a few bytes each (RFC 8878 section 3.1.1.2).
fn zeros_in_zstd(mib: usize) -> Vec<u8> {
    // A window of 8 MiB, no size, no checksum.
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x68".to_vec();
    let blocks = mib * MIB / (128 * 1024);
    for block in 1..=blocks {
        // 128 KiB of the byte that follows.
        let header: u32 = (128 * 1024) << 3 | 1 << 1 | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}
