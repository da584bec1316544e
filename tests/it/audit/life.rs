//! Starts and ends of a log, and what is between them on disk.

use super::*;
use serde_json::json;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use vestibule_chain::recover::survey;
use vestibule_chain::{Checkpoint, VerifyingKey};
use vestibule_testkit::audit_log::KEY;
use vestibule_testkit::{Fault, Gate, Origin, Relay, Reply};

fn segment(trail: &Trail, number: u64) -> std::path::PathBuf {
    trail.dir().join(vestibule_chain::layout::segment_name(number))
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::OpenOptions::new().append(true).open(path).expect("a segment").write_all(bytes).expect("room");
}

fn last_segment_is_final(trail: &Trail) -> bool {
    let number = *trail.log().segments.last().expect("a segment");
    survey(std::fs::File::open(segment(trail, number)).expect("a segment")).expect("readable").is_final
}

/// AUD-20
#[tokio::test]
async fn a_clean_stop_seals_the_log_and_a_kill_does_not() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let mut proxy = trail.proxy(&origin, "").await;
    proxy.post("/orders/1").await;
    proxy.sigterm();
    assert!(proxy.wait_exit().await.success());
    assert!(last_segment_is_final(&trail));
    let verified = trail.verify(&["--sealed"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let mut proxy = trail.proxy(&origin, "").await;
    proxy.post("/orders/1").await;
    trail.wait_for("request.finished", 2).await;
    let beside_a_writer = trail.verify(&[]).await;
    assert_eq!(beside_a_writer.code, Some(0), "{beside_a_writer:?}");
    proxy.kill().await;
    assert!(!last_segment_is_final(&trail));
    let (verified, sealed) = (trail.verify(&[]).await, trail.verify(&["--sealed"]).await);
    assert_eq!((verified.code, sealed.code), (Some(0), Some(1)), "{verified:?} {sealed:?}");
    let mut proxy = trail.proxy(&origin, "").await;
    let log = trail.wait_for("audit.recovered", 1).await;
    let recovered = log.the("audit.recovered");
    assert_eq!(
        (told(recovered, "unclean"), told(recovered, "interrupted"), told(recovered, "torn_bytes")),
        (&json!(true), &json!(0), &json!(0))
    );
    proxy.sigterm();
    proxy.wait_exit().await;
    assert!(last_segment_is_final(&trail));
}

/// Checkpoints are signed where there is a key, and copied where an attacker may forget them.
#[tokio::test]
async fn checkpoints_are_signed_and_copied() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let key = trail.beside("sign.pem");
    std::fs::write(&key, KEY.private).expect("a file");
    let lines = format!("checkpoint = \"1s\"\nsign_key_file = \"{}\"\n", key.display());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("a file of ours");
    let refused = trail.setup(&origin, &lines).try_start().await.expect_err("a key that everybody can read");
    assert!(refused.stderr.contains("everybody can read"), "{}", refused.stderr);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
    let mut proxy = trail.proxy(&origin, &lines).await;
    proxy.post("/orders/1").await;
    trail.wait_for("audit.checkpoint", 1).await;
    proxy.sigterm();
    proxy.wait_exit().await;
    let log = trail.log();
    let public = VerifyingKey::from_pem(KEY.public.as_bytes()).expect("a key");
    for event in log.of("audit.checkpoint") {
        let said = Checkpoint::of_metadata(&event["data"]["metadata"]).expect("a checkpoint");
        assert!(said.is_signed_by(&public), "{event}");
        assert_eq!(said.records, said.seq + 1);
    }
    let copies = std::fs::read_to_string(trail.dir().join("checkpoints.jsonl")).expect("copies");
    let copies: Vec<Value> = copies.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(copies.iter().collect::<Vec<_>>(), log.of("audit.checkpoint"));
}

/// Everything in the directory is its owner's alone.
#[tokio::test]
async fn files_are_private() {
    let trail = Trail::new();
    let receiver = Receiver::taking();
    let origin = Origin::returning(200, "ok");
    let mut proxy = trail.proxy(&origin, &receiver.toml()).await;
    proxy.post("/orders/1").await;
    receiver.wait_for("request.finished", 1).await;
    proxy.sigterm();
    proxy.wait_exit().await;
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let mut folders = vec![trail.dir()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
                assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
            }
        }
    }
    assert!(files >= 4, "a segment, copies, a cursor, the lock: {files}");
}

/// AUD-23
#[tokio::test]
async fn a_directory_has_one_writer_and_is_private() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let first = trail.proxy(&origin, "").await;
    let second = trail.setup(&origin, "").try_start().await.expect_err("a second process");
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stderr.contains("another process writes in"), "{}", second.stderr);
    first.post("/orders/1").await;
    trail.wait_for("request.finished", 1).await;
    drop(first);

    for mode in [0o777, 0o770, 0o702] {
        let trail = Trail::new();
        std::fs::create_dir(trail.dir()).expect("a directory");
        std::fs::set_permissions(trail.dir(), std::fs::Permissions::from_mode(mode)).expect("a directory of ours");
        let failed = trail.setup(&origin, "").try_start().await.expect_err("a directory that others write in");
        assert_eq!(failed.status.code(), Some(1), "{mode:o}");
        assert!(failed.stderr.contains("is not private"), "{}", failed.stderr);
        assert_eq!(std::fs::read_dir(trail.dir()).expect("a directory").count(), 0);
    }

    // One that cannot be made is refused whatever `on_error` says.
    for mode in ["open", "closed"] {
        let trail = Trail::new();
        std::fs::write(trail.dir(), "a file").expect("a file");
        let failed =
            trail.setup(&origin, &format!("on_error = \"{mode}\"\n")).try_start().await.expect_err("no directory");
        assert_eq!(failed.status.code(), Some(1));
    }
}

/// A torn tail was told to nobody: it is cut off, and requests that were open are said to be interrupted.
#[tokio::test]
async fn a_torn_tail_is_cut_off_and_open_requests_are_interrupted() {
    let trail = Trail::new();
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |request| match request.method.as_str() {
        "POST" => Reply::ok("late").once(&held),
        _ => Reply::ok("ok"),
    });
    let mut tails: Vec<Vec<u8>> = vec![Vec::new(), vec![0; 300], b"{\"v\":1,\"seq\":".to_vec(), b"\0\0\n".to_vec()];
    let mut open = 0;
    for run in 0..=tails.len() {
        let mut proxy = trail.proxy(&origin, "").await;
        if run > 0 {
            let log = trail.wait_for("audit.recovered", run).await;
            let recovered = log.of("audit.recovered")[run - 1];
            assert_eq!(told(recovered, "torn_bytes"), tails[run - 1].len() as u64, "run {run}");
            assert_eq!((told(recovered, "interrupted"), told(recovered, "unclean")), (&json!(2), &json!(true)));
            let log = trail.wait_for("request.interrupted", open).await;
            for event in log.of("request.interrupted") {
                let data = &event["data"];
                assert_eq!(
                    (&data["outcome"], &data["status"], &data["action"]),
                    (&json!("unknown"), &json!(null), &json!("orders.post"))
                );
                assert!(data["started_at"].is_string() && data["trace_id"].is_string() && event["subject"].is_string());
            }
            assert!(
                log.by_request().values().all(|phases| matches!(phases[..], ["started", "interrupted"] | ["finished"])),
                "{:?}",
                log.by_request()
            );
            if run == tails.len() {
                break;
            }
        }
        let mut waiting = Vec::new();
        for number in 0..2 {
            let mut raw = proxy.connect().await;
            raw.write(order(&proxy, run * 10 + number).encoded()).await;
            waiting.push(raw);
        }
        open += 2;
        assert_eq!(proxy.get("/orders/1").await.status, 200);
        trail
            .wait("two open requests", |log| {
                log.count("request.started") == open && log.count("request.finished") == run + 1
            })
            .await;
        proxy.kill().await;
        let tail = &mut tails[run];
        if tail.is_empty() {
            // A part of the last record once more.
            let text = std::fs::read(segment(&trail, 0)).expect("a segment");
            let last = text[..text.len() - 1].rsplit(|byte| *byte == b'\n').next().expect("a line");
            *tail = last[..last.len() / 2].to_vec();
        }
        append(&segment(&trail, 0), tail);
    }
}

/// A bad record before the tail is never repaired: the file stays, a new segment says where the good ones end, and sinks
/// get the good ones alone, whether they had come past the bad one or not.
#[tokio::test]
async fn a_broken_segment_stays_and_is_said_to_be_broken() {
    for fault in [Fault::None, Fault::Refuse] {
        let trail = Trail::new();
        let receiver = Receiver::taking();
        let relay = Relay::to(receiver.origin.address());
        relay.set(fault).await;
        let origin = Origin::returning(200, "ok");
        let lines = format!("sinks = [\"http://{}/in\"]\n", relay.address());
        let mut proxy = trail.proxy(&origin, &lines).await;
        order(&proxy, 1).await;
        let log = trail.wait_for("request.finished", 1).await;
        if fault == Fault::None {
            receiver.wait_for("request.finished", 1).await;
        }
        proxy.kill().await;
        // Another action in the last record, and a record behind it, so that it is no tail.
        let text = std::fs::read_to_string(segment(&trail, 0)).expect("a segment");
        let last = text.lines().last().expect("a line");
        let changed = text.replace(last, &last.replace("orders.post", "0rders.post"));
        let broken = format!("{changed}{last}\n").into_bytes();
        std::fs::write(segment(&trail, 0), &broken).expect("a segment of ours");

        let closed = format!("on_error = \"closed\"\n{lines}");
        let refused = trail.setup(&origin, &closed).try_start().await.expect_err("a broken log");
        assert_eq!(refused.status.code(), Some(1));
        let names_it = refused.stderr.contains("audit-000000000000.jsonl") && refused.stderr.contains("broken");
        assert!(names_it, "{}", refused.stderr);

        relay.set(Fault::None).await;
        let mut proxy = trail.proxy(&origin, &lines).await;
        let says_broken = |line: &Value| line["msg"].as_str().is_some_and(|msg| msg.contains("is broken"));
        proxy.wait_log("an error", |line| line["level"] == "ERROR" && says_broken(line)).await;
        assert_eq!(order(&proxy, 2).await.status, 200);
        proxy.sigterm();
        assert!(proxy.wait_exit().await.success());
        assert_eq!(std::fs::read(segment(&trail, 0)).expect("a segment"), broken, "it stays as it is");

        let good = log.events.len() - 1;
        let new = std::fs::read_to_string(segment(&trail, 1)).expect("a new segment");
        let new: Vec<Value> = new.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let verified = trail.verify(&[]).await;
        assert_eq!(verified.code, Some(1), "{verified:?}");
        assert!(verified.stderr.contains(&format!("error: hash_mismatch at seq {good}\n")), "{verified:?}");
        assert_eq!((told(&new[0]["event"], "broken_at"), &new[0]["seq"]), (&json!(good - 1), &json!(good)));
        let batches = receiver.wait_for("audit.checkpoint", 1).await;
        let mut expected = log.events.clone();
        // One that was not delivered before it was changed is nobody's any more.
        expected.truncate(if fault == Fault::None { good + 1 } else { good });
        expected.extend(new.iter().map(|record| record["event"].clone()));
        assert_eq!(receiver::taken(&batches), expected, "{fault:?}");
    }
}

/// AUD-25: what a drain cuts off while its client waits is told as well, and as what nobody knows the outcome of.
#[tokio::test]
async fn a_held_call_that_a_drain_cuts_off_has_an_end() {
    let trail = Trail::new();
    let gate = Gate::closed();
    let origin = {
        let gate = gate.clone();
        Origin::replying(move |_| Reply::new(201).once(&gate))
    };
    let lines = format!("{HELD}[server]\ndrain_timeout = \"1s\"\n");
    let mut proxy = trail.proxy(&origin, &lines).await;
    let mut waiting = Vec::new();
    for number in 0..8 {
        let mut client = proxy.connect().await;
        client.write(order(&proxy, number).encoded()).await;
        waiting.push(client);
    }
    origin.wait_hits(8).await;
    proxy.sigterm();
    proxy.wait_exit().await;
    let log = trail.log();
    assert!(log.by_request().values().all(|phases| *phases == ["started", "finished"]), "{:?}", log.by_request());
    let outcomes: Vec<&Value> = log.of("request.finished").iter().map(|event| &event["data"]["outcome"]).collect();
    assert_eq!(outcomes, vec![&json!("error"); 8]);
}

/// A crash inside the very first write of a segment: it is begun again.
#[tokio::test]
async fn a_torn_head_is_begun_again() {
    let trail = Trail::new();
    let origin = Origin::returning(200, "ok");
    let mut proxy = trail.proxy(&origin, "").await;
    proxy.sigterm();
    proxy.wait_exit().await;
    let torn = "{\"v\":1,\"seq\":9,\"prev\":\"00";
    std::fs::write(segment(&trail, 1), torn).expect("a segment");
    let proxy = trail.proxy(&origin, "").await;
    order(&proxy, 1).await;
    let log = trail.wait_for("request.finished", 1).await;
    assert_eq!((log.segments.len(), log.torn_bytes), (2, 0));
    assert_eq!(told(log.the("audit.recovered"), "torn_bytes"), torn.len());
}

/// AUD-21
#[tokio::test]
async fn segments_rotate_and_go_once_they_are_old_and_delivered() {
    let trail = Trail::new();
    let receiver = Receiver::taking();
    let origin = Origin::returning(200, "ok");
    let lines = format!("rotate_bytes = \"64KiB\"\nkeep = \"1s\"\n{}", receiver.toml());
    let mut proxy = trail.proxy(&origin, &lines).await;
    let fill = async |proxy: &Proxy, count: usize| {
        let mut kept = proxy.connect().await;
        for _ in 0..count {
            assert_eq!(proxy.post("/orders/1").on(&mut kept).await.status, 200);
        }
    };
    fill(&proxy, 150).await;
    trail.wait("segments to go", |log| log.count("audit.pruned") > 0 && log.first_seq > 0).await;
    proxy.sigterm();
    proxy.wait_exit().await;
    let log = trail.log();
    let pruned: Vec<&Value> = log.of("audit.pruned");
    let last = pruned.last().expect("one");
    assert_eq!(told(last, "last_seq").as_u64().expect("a number") + 1, log.first_seq);
    assert_eq!(kind(&log.events[0]), "audit.segment");
    let all = receiver
        .wait("everything", |batches| {
            receiver::taken_ids(batches).last().map(String::as_str) == log.ids().last().copied()
        })
        .await;
    let taken = receiver::taken(&all);
    assert_eq!(
        taken.iter().filter(|event| kind(event) == "request.finished").count(),
        150,
        "what went had been delivered"
    );
    assert!(receiver::taken_ids(&all).is_sorted());
    let verified = trail.verify(&["--sealed"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.stdout.contains(&format!("starts_at {} (pruned)", log.first_seq)), "{verified:?}");
    // Copies of checkpoints that are gone from the log go with them.
    let copies = std::fs::read_to_string(trail.dir().join("checkpoints.jsonl")).expect("copies");
    let oldest = Checkpoint::of_event(copies.lines().next().expect("one").as_bytes()).expect("a checkpoint");
    assert!(oldest.seq >= log.first_seq);

    // The same with a sink that is never reached.
    let trail = Trail::new();
    let lines = "rotate_bytes = \"64KiB\"\nkeep = \"1s\"\nsinks = [\"http://127.0.0.1:1/in\"]\n";
    let proxy = trail.proxy(&origin, lines).await;
    fill(&proxy, 150).await;
    let log = trail.wait_for("request.finished", 150).await;
    assert!(log.segments.len() >= 2);
    // Twice as long as it would take; nothing announces that nothing happens.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    proxy.get("/orders/1").await;
    let log = trail.wait_for("request.finished", 151).await;
    assert_eq!((log.first_seq, log.count("audit.pruned"), log.segments[0]), (0, 0, 0));
    for head in log.of("audit.segment") {
        assert!(told(head, "open").as_array().expect("ids").len() <= 1);
    }
}

/// Each segment ends with a checkpoint and says which requests are open.
#[tokio::test]
async fn a_segment_says_which_requests_are_open() {
    let trail = Trail::new();
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |request| match request.target.as_str() {
        "/orders/slow" => Reply::ok("late").once(&held),
        _ => Reply::ok("ok"),
    });
    let mut proxy = trail.proxy(&origin, "rotate_bytes = \"64KiB\"\n").await;
    let mut slow = proxy.connect().await;
    slow.write(proxy.post("/orders/slow").encoded()).await;
    let log = trail.wait_for("request.started", 1).await;
    let id = log.the("request.started")["data"]["request_id"].clone();
    let mut kept = proxy.connect().await;
    while trail.log().segments.len() < 3 {
        proxy.post("/orders/1").on(&mut kept).await;
    }
    let log = trail.wait_for("audit.segment", 3).await;
    let heads = log.of("audit.segment");
    for (number, head) in heads.iter().enumerate() {
        assert_eq!(told(head, "number"), number as u64);
        let open = told(head, "open").as_array().expect("ids");
        assert_eq!(open.contains(&id), number > 0, "{head}");
        assert!(told(head, "broken_at").is_null());
    }
    for (at, event) in log.events.iter().enumerate().skip(1) {
        if kind(event) == "audit.segment" {
            assert_eq!(kind(&log.events[at - 1]), "audit.checkpoint", "the last record of a segment");
        }
    }
    // After a crash the one whose beginning lies in an earlier segment is interrupted, too.
    proxy.kill().await;
    let _proxy = trail.proxy(&origin, "rotate_bytes = \"64KiB\"\n").await;
    let log = trail
        .wait("the interrupted request", |log| {
            log.of("request.interrupted").iter().any(|event| event["data"]["request_id"] == id)
        })
        .await;
    assert_eq!(log.by_request()[id.as_str().expect("text")], ["started", "interrupted"]);
}
