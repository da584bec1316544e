//! Writes that say what they rest on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vestibule_testkit::origin::Cut;
use vestibule_testkit::{Answer, Gate, Origin, Proxy, Received, Redis, Reply, within};

const SERIALIZE: &str = "[etag]\nstrength = \"strong\"\nconcurrency = \"serialize\"\n";

/// An application without versions: documents by path.
#[derive(Default)]
struct Documents {
    texts: Mutex<BTreeMap<String, String>>,
    writes: Mutex<Vec<String>>,
}

impl Documents {
    fn holding(path: &str, text: &str) -> Arc<Self> {
        let documents = Self::default();
        documents.texts.lock().expect("unpoisoned").insert(path.to_owned(), text.to_owned());
        Arc::new(documents)
    }

    fn serve(&self, request: &Received) -> Reply {
        let mut texts = self.texts.lock().expect("unpoisoned");
        match request.method.as_str() {
            "GET" => match texts.get(&request.target) {
                Some(text) => Reply::ok(text.clone()).field("content-type", "text/plain"),
                None => Reply::new(404),
            },
            method => {
                self.writes.lock().expect("unpoisoned").push(format!("{method} {}", request.text()));
                match method {
                    "DELETE" => texts.remove(&request.target),
                    _ => texts.insert(request.target.clone(), request.text()),
                };
                Reply::new(204)
            }
        }
    }

    fn text(&self, path: &str) -> Option<String> {
        self.texts.lock().expect("unpoisoned").get(path).cloned()
    }

    fn writes(&self) -> usize {
        self.writes.lock().expect("unpoisoned").len()
    }
}

fn origin(documents: &Arc<Documents>) -> Origin {
    let documents = Arc::clone(documents);
    Origin::replying(move |request| documents.serve(request))
}

async fn serializing(documents: &Arc<Documents>) -> (Origin, Proxy) {
    let origin = origin(documents);
    let proxy = Proxy::before(crate::bin(), &origin.url(), SERIALIZE).await;
    (origin, proxy)
}

async fn tag(proxy: &Proxy, path: &str) -> String {
    let answer = proxy.get(path).await;
    assert!(answer.field("etag").starts_with("\"vst1-"), "{answer:?}");
    answer.field("etag").to_owned()
}

async fn put(proxy: &Proxy, path: &str, text: &str, name: &str, value: &str) -> Answer {
    proxy.request("PUT", path).header(name, value).body(text.to_owned()).await
}

/// ET-27: its own tags are the application's to judge, and so is a list with one of them.
#[tokio::test]
async fn what_the_application_can_judge_is_forwarded() {
    let origin = Origin::returning(204, "");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[etag]\n").await;
    let ours = "\"vst1-Tf02EDqsCve23Mow6uXldw\"";
    for (name, value, seen) in [
        ("if-match", "\"v1\"", "\"v1\""),
        ("if-match", "*", "*"),
        ("if-match", "not a tag", "not a tag"),
        ("if-none-match", "*", "*"),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("if-match", &format!("\"v1\", {ours}, W/\"v2\""), "\"v1\", W/\"v2\""),
    ] {
        let hits = origin.hits();
        assert_eq!(put(&proxy, "/", "x", name, value).await.status, 204, "{name}: {value}");
        assert_eq!((origin.hits(), origin.last().field(name)), (hits + 1, seen));
    }
}

/// ET-28.
#[tokio::test]
async fn a_write_on_a_tag_that_the_application_never_saw_is_refused() {
    let origin = Origin::returning(200, "content");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[etag]\n").await;
    let tag = proxy.get("/").await.field("etag").to_owned();
    for method in ["PUT", "PATCH", "DELETE", "POST"] {
        let refused = proxy.request(method, "/").header("if-match", &tag).body("new").await;
        assert_eq!((refused.status, refused.problem().as_str()), (412, "if-match-unsupported"), "{method}");
    }
    assert_eq!(origin.hits(), 1);
    let counted = |s: &vestibule_testkit::Scrape| {
        s.value("vestibule_etag_responses_total", &[("outcome", "precondition_failed")])
    };
    proxy.wait_metrics("four refusals", |s| counted(s) == 4.0).await;
    let refused = proxy.wait_access(5).await.into_iter().filter(|line| line["etag"] == "precondition_failed");
    assert_eq!(refused.count(), 4);
}

/// Our tag in a field that nobody can read is still one that the application cannot judge; a field without one is its own.
#[tokio::test]
async fn a_tag_of_ours_that_is_not_quoted_as_it_should_be_is_refused_too() {
    let origin = Origin::returning(200, "content");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[etag]\n").await;
    let tag = proxy.get("/").await.field("etag").trim_start_matches("W/").to_owned();
    let many = vec![tag.as_str(); 101].join(", ");
    for field in [tag.trim_matches('"'), &format!("w/{tag}"), &many] {
        let refused = put(&proxy, "/", "x", "if-match", field).await;
        assert_eq!((refused.status, refused.problem().as_str()), (412, "if-match-unsupported"), "{field}");
    }
    assert_eq!(origin.hits(), 1);
    assert_eq!(put(&proxy, "/", "x", "if-match", "vst1-short").await.status, 200);
    assert_eq!(origin.last().field("if-match"), "vst1-short");
}

/// What `explain` says of a write that goes alone: what it waits for, who judges, and what the application sees.
#[tokio::test]
async fn a_write_that_goes_alone_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = format!("[upstream]\nurl = \"http://127.0.0.1:1\"\n{SERIALIZE}");
    std::fs::write(folder.path().join("vestibule.toml"), toml).expect("a file");
    let ours = "\"vst1-eYEbJOKuIA53jPwbyIjGcA\"";
    for (field, said) in [
        (format!("if-match: {ours}"), "all tags of if-match are ours, the application sees none"),
        (format!("if-match: {ours}, \"a\""), "some tags of if-match are ours, and with them it is kept"),
        ("if-match: \"a\"".to_owned(), "judges its preconditions by a GET\n"),
    ] {
        let ran = crate::config::vestibule(folder.path(), &["explain", "PUT", "/", "-H", &field]).await;
        assert!(ran.stdout.contains("takes the lock on this URI") && ran.stdout.contains(said), "{field}: {ran:?}");
    }
}

/// ET-29.
#[tokio::test]
async fn where_it_is_required_a_write_says_what_it_rests_on() {
    let origin = Origin::returning(204, "");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[etag]\nrequire_if_match = true\n").await;
    for method in ["PUT", "PATCH", "DELETE"] {
        let refused = proxy.request(method, "/").body("x").await;
        assert_eq!((refused.status, refused.problem().as_str()), (428, "precondition-required"), "{method}");
    }
    assert_eq!(proxy.request("PATCH", "/").header("if-none-match", "*").body("x").await.status, 428);
    assert_eq!(origin.hits(), 0);
    assert_eq!(put(&proxy, "/", "x", "if-none-match", "*").await.status, 204);
    assert_eq!(put(&proxy, "/", "x", "if-match", "\"v1\"").await.status, 204);
    assert_eq!(proxy.post("/").body("x").await.status, 204);
    assert_eq!(origin.hits(), 3);
}

/// ET-30.
#[tokio::test]
async fn a_write_on_stale_content_is_refused_and_told_what_there_is() {
    let documents = Documents::holding("/a", "one");
    let (origin, proxy) = serializing(&documents).await;
    let first = tag(&proxy, "/a").await;
    assert_eq!(put(&proxy, "/a", "two", "if-match", &first).await.status, 204);
    let (seen, looked) = (origin.last(), &origin.requests()[1]);
    assert!(!seen.fields.has("if-match"), "only we could judge it");
    assert_eq!((looked.method.as_str(), looked.field("content-length"), looked.text().as_str()), ("GET", "", ""));

    let stale = put(&proxy, "/a", "three", "if-match", &first).await;
    assert_eq!((stale.status, stale.problem().as_str()), (412, "precondition-failed"));
    assert_eq!(stale.field("etag"), tag(&proxy, "/a").await, "the tag of what there is");
    assert_eq!((documents.text("/a").as_deref(), documents.writes()), (Some("two"), 1));
    assert_eq!(put(&proxy, "/a", "three", "if-match", stale.field("etag")).await.status, 204);

    let gone = proxy.request("DELETE", "/a").header("if-match", &first).await;
    assert_eq!(gone.status, 412);
    assert_eq!(proxy.request("DELETE", "/a").await.status, 204, "what rests on nothing is not judged");
    let metrics = proxy.metrics().await;
    for operation in ["lock", "unlock"] {
        let labels = [("operation", operation), ("outcome", "ok")];
        assert_eq!(metrics.value("vestibule_store_operation_duration_seconds_count", &labels), 5.0, "{operation}");
    }
}

/// What is looked at is what the client itself would see, in no other coding than its own GET.
#[tokio::test]
async fn the_look_is_the_clients_own_get() {
    let documents = Documents::holding("/a?x=1", "one");
    let (origin, proxy) = serializing(&documents).await;
    let answer = proxy
        .request("PUT", "/a?x=1")
        .header("if-match", "*")
        .header("authorization", "Bearer secret")
        .header("accept", "text/plain")
        .header("accept-language", "de")
        .header("accept-encoding", "gzip")
        .header("content-type", "text/plain")
        .header("range", "bytes=0-1")
        .header("if-range", "\"v1\"")
        .body("two")
        .await;
    assert_eq!(answer.status, 204);
    let looked = &origin.requests()[0];
    assert_eq!((looked.method.as_str(), looked.target.as_str()), ("GET", "/a?x=1"));
    for (name, value) in [("authorization", "Bearer secret"), ("accept", "text/plain"), ("accept-language", "de")] {
        assert_eq!(looked.field(name), value);
    }
    for name in ["accept-encoding", "content-type", "content-length", "range", "if-range", "if-match"] {
        assert!(!looked.fields.has(name), "{name}");
    }
    assert_eq!(origin.last().field("if-match"), "*");
    proxy.get("/a?x=1").header("accept-encoding", "gzip").await;
    assert!(!origin.last().fields.has("accept-encoding"), "nor does a GET");
}

/// ET-31: nothing is written when nothing could be seen.
#[tokio::test]
async fn what_cannot_be_seen_is_not_written() {
    let origin = Origin::replying(|request| match (request.method.as_str(), request.target.as_str()) {
        ("GET", "/401") => Reply::new(401).field("www-authenticate", "Basic realm=\"app\"").body("no"),
        ("GET", "/403") => Reply::new(403).body("never"),
        ("GET", "/429") => Reply::new(429).field("retry-after", "7").body("slowly"),
        ("GET", "/500") => Reply::new(500).field("x-error", "boom").body("it broke"),
        ("GET", "/dies") => Reply::dying(),
        _ => Reply::new(204),
    });
    let proxy = Proxy::before(crate::bin(), &origin.url(), SERIALIZE).await;
    for (path, status, text) in [("/401", 401, "no"), ("/403", 403, "never"), ("/500", 500, "it broke")] {
        let answer = put(&proxy, path, "x", "if-match", "*").await;
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
    }
    // It exists, for all anybody knows: this must not pass for a creation.
    assert_eq!(put(&proxy, "/429", "x", "if-none-match", "*").await.status, 429);
    assert_eq!(put(&proxy, "/500", "x", "if-match", "*").await.field("x-error"), "boom");
    assert_eq!(put(&proxy, "/dies", "x", "if-match", "*").await.status, 502);
    assert!(origin.requests().iter().all(|request| request.method == "GET"), "nothing was written");
    // The lock is free again each time.
    assert_eq!(proxy.request("PUT", "/500").body("x").await.status, 204);
}

/// ET-31: without the store nobody can tell who else writes.
#[tokio::test]
async fn without_the_store_nothing_is_written() {
    let redis = Redis::start().await;
    let origin = Origin::returning(204, "");
    let toml = format!("{SERIALIZE}[store]\nurl = \"{}\"\nsecret = \"test\"\n", redis.url());
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    assert_eq!(proxy.request("PUT", "/").body("x").await.status, 204);
    drop(redis);
    for (name, value) in [("if-match", "*"), ("x-nothing", "1")] {
        let refused = put(&proxy, "/", "x", name, value).await;
        assert_eq!((refused.status, refused.problem().as_str()), (503, "store-unavailable"));
        assert_eq!(refused.field("retry-after"), "1");
    }
    assert_eq!((origin.hits(), proxy.get("/").await.status), (1, 204), "reads need no store");
}

/// ET-32.
#[tokio::test]
async fn existing_and_missing_are_told_apart() {
    let documents = Documents::holding("/there", "one");
    let (_origin, proxy) = serializing(&documents).await;
    assert_eq!(put(&proxy, "/there", "two", "if-match", "*").await.status, 204);
    assert_eq!(put(&proxy, "/missing", "two", "if-match", "*").await.status, 412);
    assert_eq!(put(&proxy, "/there", "three", "if-none-match", "*").await.status, 412);
    assert_eq!(put(&proxy, "/missing", "new", "if-none-match", "*").await.status, 204);
    assert_eq!(
        (documents.text("/there").as_deref(), documents.text("/missing").as_deref()),
        (Some("two"), Some("new"))
    );
}

/// An application with tags of its own judges them, under the lock all the same.
#[tokio::test]
async fn an_application_with_tags_of_its_own_judges_them() {
    let origin = Origin::replying(|request| match request.method.as_str() {
        "GET" => Reply::ok("one").field("etag", "\"v1\""),
        _ if request.field("if-match") == "\"v1\"" => Reply::new(204),
        _ => Reply::new(412),
    });
    let proxy = Proxy::before(crate::bin(), &origin.url(), SERIALIZE).await;
    assert_eq!(put(&proxy, "/", "x", "if-match", "\"v1\"").await.status, 204);
    assert_eq!(put(&proxy, "/", "x", "if-match", "\"v0\"").await.status, 412);
    assert_eq!(origin.last().field("if-match"), "\"v0\"");
}

/// Says in `holds` that the write `slow` has come, and answers it once `gate` opens; others at once.
fn slow_at(holds: &Gate, gate: &Gate) -> Origin {
    let (holds, gate) = (holds.clone(), gate.clone());
    Origin::replying(move |request| match request.text().as_str() {
        "slow" => {
            holds.open();
            Reply::new(204).once(&gate)
        }
        _ => Reply::new(204),
    })
}

/// Others wait for `lock_wait` and no longer; a client that leaves does not end a write or its lock.
#[tokio::test]
async fn a_write_keeps_its_lock_until_its_reply_and_others_wait_in_turn() {
    let (gate, holds) = (Gate::closed(), Gate::closed());
    let origin = slow_at(&holds, &gate);
    let toml = format!("{SERIALIZE}lock_wait = \"300ms\"\n");
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let mut leaving = proxy.connect().await;
    leaving.write(proxy.request("PUT", "/a").body("slow").encoded()).await;
    within("the write to arrive", holds.opened()).await;
    drop(leaving);
    let refused = proxy.request("PUT", "/a").body("next").await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "lock-timeout"));
    assert_eq!(refused.field("retry-after"), "1");
    assert_eq!(proxy.request("PUT", "/b").body("next").await.status, 204, "another resource");
    gate.open();
    within("the lock to be free", async { while proxy.request("PUT", "/a").body("next").await.status != 204 {} }).await;
}

/// A reply that is too long to be held breaks off, or its client leaves it: the application may still be writing, so
/// nobody else writes until the lock has run out.
#[tokio::test]
async fn a_reply_that_is_not_read_to_its_end_keeps_the_lock() {
    let gate = Gate::closed();
    let origin = {
        let gate = gate.clone();
        Origin::replying(move |request| match request.text().as_str() {
            "leave" => {
                gate.open();
                Reply::new(200).chunk("x".repeat(100)).chunk_after(Duration::from_secs(30), "late")
            }
            "break" => Reply::new(200).body("x".repeat(1000)).cut(Cut::Body(100)),
            _ => Reply::new(204),
        })
    };
    let toml = format!("{SERIALIZE}max_body = \"10B\"\nlock_wait = \"300ms\"\n");
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let mut leaving = proxy.connect().await;
    leaving.write(proxy.request("PUT", "/left").body("leave").encoded()).await;
    within("the write to arrive", gate.opened()).await;
    within("its head", leaving.some()).await;
    drop(leaving);
    proxy.wait_access(1).await;
    let mut broken = proxy.connect().await;
    broken.write(proxy.request("PUT", "/broken").body("break").encoded()).await;
    proxy.wait_access(2).await;
    for path in ["/left", "/broken"] {
        let refused = proxy.request("PUT", path).body("next").await;
        assert_eq!((refused.status, refused.problem().as_str()), (503, "lock-timeout"), "{path}");
    }
}

/// Spellings that may mean one resource share its lock.
#[tokio::test]
async fn one_resource_has_one_lock_however_it_is_spelt() {
    let (gate, holds) = (Gate::closed(), Gate::closed());
    let origin = slow_at(&holds, &gate);
    let toml = format!("[server]\npath_case = \"insensitive\"\n{SERIALIZE}lock_wait = \"300ms\"\n");
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let mut first = proxy.connect().await;
    first.write(proxy.request("PUT", "/Doc").header("host", "h.example").body("slow").encoded()).await;
    within("the write to arrive", holds.opened()).await;
    for (path, host) in [("/doc", "h.example"), ("/Doc", "H.example:80"), ("/DOC", "h.example.")] {
        let refused = proxy.request("PUT", path).header("host", host).body("next").await;
        assert_eq!((refused.status, refused.problem().as_str()), (503, "lock-timeout"), "{path} {host}");
    }
    gate.open();
}

/// ET-26 of writes: `max_body` bounds what is read.
#[tokio::test]
async fn a_write_over_the_bound_is_refused() {
    let origin = Origin::returning(204, "");
    let proxy = Proxy::before(crate::bin(), &origin.url(), &format!("{SERIALIZE}max_body = \"10B\"\n")).await;
    assert_eq!(proxy.request("PUT", "/").body("0123456789").await.status, 204);
    assert_eq!(proxy.request("PUT", "/").body("0123456789x").await.status, 413);
    assert_eq!(origin.hits(), 1);
}

/// What is refused here was not executed: its key is free for the same request based on current content.
#[tokio::test]
async fn a_refused_write_leaves_its_idempotency_key_free() {
    let documents = Documents::holding("/a", "one");
    let origin = origin(&documents);
    let toml =
        format!("{SERIALIZE}[idempotency]\nmethods = [\"PUT\"]\nprincipal = [\"none\"]\nanonymous = \"share\"\n");
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let first = tag(&proxy, "/a").await;
    assert_eq!(put(&proxy, "/a", "two", "if-match", &first).await.status, 204);
    let keyed = |tag: &str| {
        let request = proxy.request("PUT", "/a").header("idempotency-key", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"");
        request.header("if-match", tag).body("three")
    };
    let refused = keyed(&first).await;
    assert_eq!((refused.status, refused.problem().as_str()), (412, "precondition-failed"));
    let current = refused.field("etag").to_owned();
    assert_eq!(keyed(&current).await.status, 204);
    let replayed = keyed(&current).await;
    assert_eq!((replayed.status, replayed.field("idempotent-replayed")), (204, "true"), "{replayed:?}");
    assert_eq!((documents.text("/a").as_deref(), documents.writes()), (Some("three"), 2));
}

/// Counts up a document that holds a number, each step based on what it has read.
async fn count_up(proxy: &Proxy, steps: usize) {
    for _ in 0..steps {
        loop {
            let read = proxy.get("/n").await;
            let next = read.text().parse::<u32>().expect("a number") + 1;
            match put(proxy, "/n", &next.to_string(), "if-match", read.field("etag")).await.status {
                204 => break,
                412 => {}
                other => panic!("{other}"),
            }
        }
    }
}

/// Two writers over two proxies.
async fn counted(stores: [&str; 2], steps: usize) -> u32 {
    let documents = Documents::holding("/n", "0");
    let origin = {
        let documents = Arc::clone(&documents);
        // As slow as a database: what a GET tells is old when it arrives.
        Origin::replying(move |request| {
            let reply = documents.serve(request);
            if request.method == "GET" { reply.after(Duration::from_millis(20)) } else { reply }
        })
    };
    let before = |store: &str| format!("{SERIALIZE}[store]\nsecret = \"test\"\n{store}");
    let one = Proxy::before(crate::bin(), &origin.url(), &before(stores[0])).await;
    let other = Proxy::before(crate::bin(), &origin.url(), &before(stores[1])).await;
    tokio::join!(count_up(&one, steps), count_up(&other, steps));
    documents.text("/n").expect("it is there").parse().expect("a number")
}

#[tokio::test]
async fn no_update_is_lost_between_proxies_that_share_a_store() {
    let redis = Redis::start().await;
    let store = format!("url = \"{}\"\n", redis.url());
    assert_eq!(counted([&store, &store], 10).await, 20);
}

/// The first condition of the page: every writer comes through proxies that share one store.
#[tokio::test]
async fn updates_are_lost_between_proxies_that_share_none() {
    let counted = counted(["", ""], 10).await;
    assert!(counted < 20, "{counted}");
}
