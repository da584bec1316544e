//! A plugin that panics costs its own request a 500, and nobody else anything.

use super::journal::Call;
use super::rig::{HELD, HOLDER, Rig, STREAM, assert_invariant, chain};
use super::script::{Deed, SURVIVES, Script};
use vestibule_plugin::Detach;
use vestibule_testkit::{Certs, Gate, H2Client, H2Request, Origin, Raw, Reply};

/// Hooks that every plugin of a chain runs in both lanes.
const COMMON: [Call; 4] = [Call::Request, Call::Forward, Call::UpstreamRequest, Call::Response];

async fn check(toml: &str, scripts: Vec<(&'static str, Script)>, who: &'static str, call: Call, method: &str) {
    let lane = if toml == HELD { "held" } else { "stream" };
    let case = format!("{who} panics at {call:?}, {lane}, {}", scripts.len());
    let origin = Origin::returning(200, "hello");
    let rig = Rig::start(&origin.url(), toml, &scripts).await;
    let mut raw = Raw::connect(rig.address()).await;
    let request = rig.request(method, "/");
    let request = if method == "POST" { request.body("body") } else { request };
    raw.write(request.encoded()).await;
    let answer = raw.try_answer_to(method).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!((answer.status, answer.problem()), (500, "internal".to_owned()), "{case}");
    let journal = rig.finish().await;
    assert_invariant(&case, &journal, Some(who));
    assert_eq!(journal.note("trace", Call::End), "upstream_error edge 500", "{case}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_any_hook_of_any_plugin_is_a_500_in_both_lanes() {
    for toml in [STREAM, HELD] {
        for who in chain(toml) {
            for call in COMMON {
                check(toml, vec![(who, Script::doing(call, Deed::Panic))], who, call, "GET").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_holding_is_a_500_whether_or_not_the_call_survives_its_client() {
    for detach in [Detach::WithClient, SURVIVES] {
        for call in [Call::Body, Call::Forward, Call::UpstreamRequest, Call::HeldHead, Call::Held, Call::Response] {
            for later in [false, true] {
                let script = Script::holding(Some(1000), detach).and(call, Deed::Panic);
                let script = if later { script.later() } else { script };
                check(STREAM, vec![(HOLDER, script)], HOLDER, call, "POST").await;
            }
        }
    }
}

#[tokio::test]
async fn a_panic_at_the_end_keeps_nobody_else_from_learning_it() {
    for who in chain(HELD) {
        for later in [false, true] {
            let origin = Origin::returning(200, "hello");
            let script = Script::doing(Call::End, Deed::Panic);
            let script = if later { script.later() } else { script };
            let rig = Rig::start(&origin.url(), HELD, &[(who, script)]).await;
            let answer = rig.request("GET", "/").await;
            assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()), "{who}");
            assert_invariant(&format!("{who} panics at the end"), &rig.finish().await, None);
        }
    }
}

#[tokio::test]
async fn two_plugins_that_panic_on_the_way_out_are_both_left_out() {
    let origin = Origin::returning(200, "hello");
    let broken = Script::doing(Call::Response, Deed::Panic);
    let rig = Rig::start(&origin.url(), STREAM, &[(HOLDER, broken.clone()), ("metrics", broken)]).await;
    let answer = rig.request("GET", "/").await;
    assert_eq!((answer.status, answer.problem()), (500, "internal".to_owned()));
    assert_eq!(answer.fields.all("x-seen-by").collect::<Vec<_>>(), ["rate_limit", "observer", "trace"]);
}

/// a 500 there and nothing elsewhere, not even on the same HTTP/2 connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_beside_a_panic_are_served() {
    let certs = Certs::new();
    for toml in [STREAM, HELD] {
        for call in COMMON {
            let gate = Gate::closed();
            let held = gate.clone();
            let origin = Origin::replying(move |_| Reply::ok("hello").once(&held));
            let script = Script::doing(call, Deed::Panic).for_target("/boom");
            let toml = format!("[server]\ntls = {}\n{toml}", certs.tls_toml());
            let rig = Rig::start(&origin.url(), &toml, &[(HOLDER, script)]).await;
            let client = H2Client::connect_tls(rig.address(), &certs).await;
            let slow = client.open(H2Request::new("GET", "/slow")).await.expect("a stream");
            origin.wait_hits(1).await;
            gate.open();
            assert_eq!(client.get("/boom").await.status, 500, "{call:?}");
            assert_eq!(slow.answer().await.expect("a response").text(), "hello", "{call:?}");
            assert_eq!(client.get("/after").await.text(), "hello", "{call:?}");
        }
    }
}
