//! A million records, in segments of 64 MiB with signed checkpoints, verified and surveyed from files. Prints records a
//! second of CPU and of the clock, and the peak of resident memory of a process that does nothing else.
//!
//! `cargo bench -p vestibule-chain`

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use serde_json::json;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use uuid::Uuid;
use vestibule_chain::recover::survey;
use vestibule_chain::verify::{Claims, Terms, Verifier};
use vestibule_chain::{VerifyingKey, layout, types};
use vestibule_testkit::AuditLog;
use vestibule_testkit::audit_log::KEY;

/// The allocator of the proxy.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 1_000_000;
const SEGMENT: usize = 64 << 20;
const CHECKPOINT_EVERY: u64 = 1_000;
const ROUNDS: usize = 3;

fn main() {
    match std::env::var_os("VERIFY_DIR") {
        Some(dir) => measured(Path::new(&dir)),
        None => {
            let dir = tempfile::tempdir().unwrap();
            let bytes = write(dir.path());
            println!("{RECORDS} records, {bytes} bytes, {} a record", bytes / RECORDS);
            // Apart, so that what it took to write them is not counted.
            let exe = std::env::current_exe().unwrap();
            assert!(Command::new(exe).env("VERIFY_DIR", dir.path()).status().unwrap().success());
        }
    }
}

fn measured(dir: &Path) {
    let segments: Vec<PathBuf> = layout::segments(dir).unwrap().into_iter().map(|(_, path)| path).collect();
    let before = resident_kib("VmHWM:");
    for _ in 0..ROUNDS {
        let (start, cpu) = (Instant::now(), cpu_ns());
        verify(&segments);
        let (wall, cpu) = (start.elapsed().as_secs_f64(), (cpu_ns() - cpu) as f64 / 1e9);
        println!(
            "verify: {:.0} records/s of CPU, {:.0} by the clock, {:.0} ns a record",
            RECORDS as f64 / cpu,
            RECORDS as f64 / wall,
            cpu * 1e9 / RECORDS as f64
        );
    }
    println!("verify: peak {} KiB resident, {before} before", resident_kib("VmHWM:"));
    let start = Instant::now();
    let found = survey(File::open(&segments[0]).unwrap()).unwrap();
    println!("survey of a full segment: {} records in {:?}", found.records, start.elapsed());
}

fn verify(segments: &[PathBuf]) {
    let keys = vec![VerifyingKey::from_pem(KEY.public.as_bytes()).unwrap()];
    let mut verifier = Verifier::new(Terms { keys, sealed: true, is_live: false }, Claims::default());
    for (index, path) in segments.iter().enumerate() {
        assert!(verifier.segment(File::open(path).unwrap(), index + 1 == segments.len()).unwrap());
    }
    let report = verifier.finish();
    assert!(report.finding.is_none() && report.records == RECORDS, "{report:?}");
}

/// Writes the log a segment at a time; how many bytes it is.
fn write(dir: &Path) -> u64 {
    let mut log = AuditLog::new(7, Some(KEY));
    let mut written = 0;
    while log.seq < RECORDS - 2 {
        if log.seq.is_multiple_of(CHECKPOINT_EVERY) {
            log.checkpoint(false);
        }
        if log.tail().len() > SEGMENT {
            log.checkpoint(false);
            written += flush(&mut log, dir);
            log.rotate(&[]);
        }
        finished(&mut log);
    }
    log.stop();
    written + flush(&mut log, dir)
}

/// Writes the last segment and forgets its bytes.
fn flush(log: &mut AuditLog, dir: &Path) -> u64 {
    let name = layout::segment_name(log.segments.len() as u64 - 1);
    let bytes = std::mem::take(log.segments.last_mut().unwrap());
    std::fs::write(dir.join(name), &bytes).unwrap();
    bytes.len() as u64
}

/// An event with every field that a request has.
fn finished(log: &mut AuditLog) {
    let id = Uuid::from_u128(u128::from(log.seq) << 64);
    let data = json!({
        "action": "orders.post", "actor": { "id": "5f0c1f6e-8f0a-4d2c-9d2e-1f4f5b6a7c8d", "type": "user" }, "attempts": 1,
        "client": { "hash": "3f9a41d07a5be810", "prefix": "203.0.113.0/24" }, "duration_us": 18_211,
        "metadata": { "body": null, "body_omitted": "off", "headers": { "accept": "application/json",
            "content-type": "application/json", "origin": "https://shop.example" }, "method": "post", "query": {} },
        "outcome": "success", "replayed": false, "request_bytes": 312, "request_id": id.to_string(),
        "resource": "order:17", "response_bytes": 1024, "route": "orders", "schema": 1,
        "started_at": "2026-11-22T10:03:11.464Z", "status": 201, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    log.event(types::REQUEST_FINISHED, &data);
}

/// CPU of this process; 0 where `/proc` does not tell.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn resident_kib(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}
