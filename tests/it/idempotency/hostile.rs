//! Callers who would fill the store for all, and stores that answer what nobody here has written.

use super::stage::{On, Stage, is_replay, keyed, on_every_store, order, orders};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vestibule_testkit::{Answer, Origin, Proxy, Setup, within};

on_every_store! {
    new_claims_of_one_address_are_bounded,
}

const TRUSTING: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

/// A keyed request of this principal at this address.
async fn order_of(proxy: &Proxy, address: &str, principal: &str, key: &str) -> Answer {
    let request = proxy.post("/orders").header("x-forwarded-for", address).header("authorization", principal);
    request.header("idempotency-key", key).body("one").await
}

fn bound(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.problem(), answer.field("retry-after")), (503, "store-full".into(), "1"));
    answer.json()["bound"].as_str().expect("which bound it was").to_owned()
}

/// One caller with as many credentials as it likes uses half of the store at most, and an eighth once that is used.
#[tokio::test]
async fn invented_credentials_do_not_fill_the_store_for_others() {
    let origin = Origin::replying(|request| order(request).field("x-pad", "x".repeat(20_000)));
    let lines = format!("[store]\nmemory_max = \"1MiB\"\n{TRUSTING}");
    let stage = Stage::with(On::Memory, origin, &lines).await;
    let proxy = &stage.proxy;

    let mut filled = None;
    for number in 0..2_000 {
        let answer = order_of(proxy, "203.0.113.7", &format!("Bearer {number}"), "k").await;
        if answer.status != 201 {
            filled = Some((number, bound(&answer)));
            break;
        }
    }
    let (claimed, bound_of_attack) = filled.expect("it is bounded");
    assert_eq!(bound_of_attack, "address", "after {claimed} credentials");
    let another = order_of(proxy, "203.0.113.7", "Bearer one more", "k").await;
    assert_eq!(bound(&another), "address");

    // Others are served, and replayed.
    let first = order_of(proxy, "198.51.100.1", "Bearer alice", "k").await;
    assert_eq!((first.status, is_replay(&first)), (201, false));
    let again = order_of(proxy, "198.51.100.1", "Bearer alice", "k").await;
    assert!(again.status == 201 && is_replay(&again) && again.body == first.body);
    let known = order_of(proxy, "203.0.113.7", "Bearer 0", "k").await;
    assert!(known.status == 201 && is_replay(&known), "what is known replays, whoever asks");

    // One principal has half of what an address has; the rest of it is another's.
    let mut of_alice = 1;
    let refused = loop {
        let answer = order_of(proxy, "198.51.100.1", "Bearer alice", &format!("k{of_alice}")).await;
        if answer.status != 201 {
            break answer;
        }
        of_alice += 1;
        assert!(of_alice < 1_000, "no bound");
    };
    assert_eq!(bound(&refused), "principal");
    assert_eq!(order_of(proxy, "198.51.100.1", "Bearer bob", "k").await.status, 201);

    // Room that is given back can be used again.
    within("alice's record to be forgotten", async {
        // The log names whoever had no room for a reply; alice was the last.
        loop {
            let logs = proxy.logs();
            let id = logs.iter().rev().find_map(|line| line["principal_id"].as_str()).unwrap_or("0");
            if proxy.admin("DELETE", &format!("/idempotency/id:{id}/k")).await.status == 204 {
                break;
            }
        }
    })
    .await;
    assert_eq!(order_of(proxy, "198.51.100.1", "Bearer alice", "new").await.status, 201);
}

/// Callers who share their keys are bounded by address alone.
#[tokio::test]
async fn callers_who_share_their_keys_are_bounded_by_address() {
    for principal in ["principal = [\"none\"]", "anonymous = \"share\"\nprincipal = [\"authorization\"]"] {
        let origin = Origin::replying(|request| order(request).field("x-pad", "x".repeat(20_000)));
        let toml = format!("[idempotency]\n{principal}\n[store]\nmemory_max = \"1MiB\"\n{TRUSTING}");
        let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await;
        let send = |address: &'static str, key: String| {
            proxy.post("/orders").header("x-forwarded-for", address).header("idempotency-key", &key).body("one").send()
        };
        let mut number = 0;
        let refused = loop {
            let answer = send("203.0.113.7", format!("k{number}")).await;
            if answer.status != 201 {
                break answer;
            }
            number += 1;
            assert!(number < 2_000, "no bound");
        };
        assert_eq!(bound(&refused), "address", "{principal}");
        assert_eq!(send("198.51.100.1", "mine".into()).await.status, 201, "{principal}");
    }
}

/// Replays, and what is refused for another reason, cost nothing of it.
async fn new_claims_of_one_address_are_bounded(on: On) {
    let stage = Stage::with(on, orders(), &format!("claims_per_client = \"5/h\"\n{TRUSTING}")).await;
    for number in 0..5 {
        for _ in 0..3 {
            let answer = order_of(&stage.proxy, "203.0.113.7", &format!("Bearer {number}"), "k").await;
            assert_eq!(answer.status, 201);
        }
    }
    let refused = order_of(&stage.proxy, "203.0.113.7", "Bearer 6", "k").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(refused.json()["violated-policies"][0], "claims-per-client");
    let wait: u64 = refused.field("retry-after").parse().expect("seconds");
    assert!((1..=720).contains(&wait), "{wait}");
    assert_eq!(stage.hits(), 5, "it was not sent on");

    let known = order_of(&stage.proxy, "203.0.113.7", "Bearer 3", "k").await;
    assert!(known.status == 201 && is_replay(&known));
    let other = order_of(&stage.proxy, "198.51.100.1", "Bearer 6", "k").await;
    assert_eq!((other.status, is_replay(&other)), (201, false), "no claim is left of the one that was refused");
    stage.assert_counted(&[("executed", 6), ("replayed", 11), ("refused", 1)]).await;
}

const KEYS: &str = "k1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";

fn with_keys(stage: &Stage, lines: &str) -> Setup {
    let toml = stage.store.toml(&format!("encryption_keys_file = \"keys\"\n{lines}"));
    Setup::new(crate::bin()).upstream(stage.origin.url()).file("keys", KEYS).toml(toml)
}

/// Whoever can write to the store and has no key cannot have a reply given.
#[tokio::test]
async fn a_record_in_the_clear_is_refused_where_there_are_keys() {
    let stage = Stage::new(On::Redis, orders()).await;
    let first = stage.order("k").await;
    assert_eq!(first.status, 201);

    let sealing = with_keys(&stage, "on_store_error = \"bypass\"\n").start().await;
    let refused = keyed(sealing.post("/orders"), "k").body("one").await;
    assert_eq!((refused.status, refused.problem()), (409, "idempotency-outcome-unknown".into()));
    assert!(!refused.fields.has("retry-after"));
    let line = sealing.wait_log("the refused record", |line| line["level"] == "ERROR").await;
    assert!(line["msg"].as_str().is_some_and(|msg| msg.contains("in the clear")), "{line}");
    let name = "vestibule_idempotency_requests_total";
    sealing.wait_metrics("a counted request", |scrape| scrape.value(name, &[("outcome", "uncertain")]) == 1.0).await;
    let own = || keyed(sealing.post("/orders"), "own").body("one").send();
    assert!(!is_replay(&own().await) && is_replay(&own().await), "its own records are given");
    assert_eq!(stage.hits(), 2);

    let lenient = with_keys(&stage, "accept_clear_records = true\n").start().await;
    let given = keyed(lenient.post("/orders"), "k").body("one").await;
    assert!(given.status == 201 && is_replay(&given) && given.body == first.body);
    let file = lenient.dir().join("vestibule.toml");
    let mut command = std::process::Command::new(crate::bin());
    let check = command.args(["check", "-c"]).arg(file).current_dir(lenient.dir()).output().expect("it runs");
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success() && said.contains("records in the clear are accepted"), "{said}");
}

/// Bytes in front of what a plugin stored.
const HEADER: usize = 77;

/// A reply as somebody forged it.
fn forged(status: u16, lines: &[(&str, &str)], body: &str) -> Vec<u8> {
    let short = |number: usize| u16::try_from(number).expect("small").to_be_bytes();
    let long = |number: usize| u32::try_from(number).expect("small").to_be_bytes();
    let mut out = [&[1_u8, 0][..], &status.to_be_bytes(), &short(lines.len())].concat();
    for (name, value) in lines {
        out.extend([&short(name.len())[..], name.as_bytes(), &long(value.len()), value.as_bytes()].concat());
    }
    [&out[..], &long(body.len()), body.as_bytes()].concat()
}

/// Status, fields and body of a reply that nobody could have stored.
type Odd = (u16, &'static [(&'static str, &'static str)], &'static str);

/// What could not have been stored is a failure of the store: neither given nor a miss, and not bypassed.
#[tokio::test]
async fn a_forged_reply_is_a_failure_of_the_store() {
    let stage = Stage::with(On::Redis, orders(), "on_store_error = \"bypass\"\n").await;
    assert_eq!(stage.order("k").await.status, 201);
    let redis = stage.store.redis();
    let names = redis.command(&["KEYS", "*:idem:*"]).await;
    let name = names.parts()[0].bytes().to_vec();
    let value = redis.command(&[b"GET", &name[..]]).await.bytes().to_vec();
    let put = async |reply: &[u8]| redis.command(&[b"SET", &name[..], &[&value[..HEADER], reply].concat()]).await;

    put(&forged(202, &[("x-forged", "yes")], "well-formed")).await;
    let given = stage.order("k").await;
    assert_eq!((given.status, given.text(), given.field("x-forged")), (202, "well-formed".into(), "yes"));

    let odd: [Odd; 14] = [
        (100, &[], ""),
        (101, &[("upgrade", "websocket")], ""),
        (199, &[], ""),
        (999, &[], ""),
        (200, &[("transfer-encoding", "chunked"), ("content-length", "5")], "0\r\n\r\n"),
        (200, &[("content-length", "1")], "HTTP/1.1 200 OK\r\n\r\n"),
        (200, &[("Connection", "close")], ""),
        (200, &[("keep-alive", "timeout=1")], ""),
        (200, &[("upgrade", "h2c")], ""),
        (200, &[("set-cookie", "sid=forged")], ""),
        (200, &[("trailer", "x-a")], ""),
        (200, &[("x-a", "1\r\nset-cookie: sid=forged")], ""),
        (200, &[("x a", "1")], ""),
        (204, &[], "HTTP/1.1 200 OK\r\n\r\n"),
    ];
    for (status, lines, body) in odd {
        put(&forged(status, lines, body)).await;
        let answer = stage.order("k").await;
        assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()), "{status} {lines:?}");
        assert!(!answer.fields.has("set-cookie") && !answer.fields.has("x-a"));
    }

    // One that is longer than any reply that is stored costs nobody the connection.
    put(&forged(200, &[], &"x".repeat(3 << 20))).await;
    let answer = stage.order("k").await;
    assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()));
    assert_eq!(stage.order("another").await.status, 201);
    assert_eq!(stage.hits(), 2);
}

/// A Redis that answers every question but the one about its policy with `start`, and then with `again` without end.
async fn endless(start: &'static [u8], again: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_without_end(stream, start, again));
        }
    });
    address
}

async fn answer_without_end(mut stream: TcpStream, start: &[u8], again: &[u8]) -> Option<()> {
    let mut question = vec![0; 64 << 10];
    loop {
        let length = stream.read(&mut question).await.ok().filter(|length| *length > 0)?;
        if !question[..length].starts_with(b"*2\r\n$4\r\nINFO") {
            break;
        }
        stream.write_all(b"$29\r\nmaxmemory_policy:noeviction\r\n\r\n").await.ok()?;
    }
    stream.write_all(start).await.ok()?;
    let piece = again.repeat((64 << 10) / again.len());
    loop {
        stream.write_all(&piece).await.ok()?;
    }
}

/// An answer without end takes no memory, whatever kind of answer it is.
#[tokio::test]
async fn an_endless_answer_of_the_store_takes_no_memory() {
    const MIB: u64 = 1 << 20;
    let kinds: [(&[u8], &[u8]); 9] = [
        (b"$1099511627776\r\n", b"x"),
        (b"$2000000\r\n", b"x"),
        (b"+", b"x"),
        (b"-ERR ", b"x"),
        (b":", b"1"),
        (b"*1000000000\r\n", b"$1\r\nx\r\n"),
        (b"*65000\r\n", b":1\r\n"),
        (b"", b"*1\r\n"),
        (b"", b">2\r\n+message\r\n+x\r\n"),
    ];
    for (start, again) in kinds {
        let said = String::from_utf8_lossy(&[start, again].concat()).into_owned();
        let address = endless(start, again).await;
        let origin = orders();
        let toml = format!("[store]\nurl = \"redis://{address}\"\nsecret = \"test\"\n[idempotency]\nlease = \"2s\"\n");
        let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await;
        assert_eq!(proxy.post("/orders").body("no key").await.status, 201);

        let before = proxy.peak_rss_bytes();
        for number in 0..3 {
            let answer = keyed(proxy.post("/orders"), &format!("k{number}")).body("one").await;
            assert_eq!((answer.status, answer.problem()), (503, "store-unavailable".into()), "{said:?}");
        }
        let grown = proxy.peak_rss_bytes().saturating_sub(before);
        assert!(grown < 48 * MIB, "{grown} bytes for {said:?}");
        assert_eq!(proxy.post("/orders").body("no key").await.status, 201);
    }
}
