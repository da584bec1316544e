//! Every way an exchange can end × every lane, each with every plugin attached.

use super::journal::Call;
use super::rig::{HELD, HOLDER, Rig, STREAM, assert_invariant, chain};
use super::script::{Deed, SURVIVES, Script};
use vestibule_testkit::h2::Reason;
use vestibule_testkit::origin::Cut;
use vestibule_testkit::{Certs, Gate, H2Client, H2Request, Origin, Raw, Received, Reply};

/// More than any lane keeps and any socket buffer takes.
const LARGE: usize = 32 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Stream,
    Held,
    Detached,
}

impl Lane {
    fn toml(self) -> &'static str {
        if self == Self::Held { HELD } else { STREAM }
    }

    fn holder(self) -> Script {
        match self {
            Self::Detached => Script::holding(None, SURVIVES),
            Self::Stream | Self::Held => Script::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Proxied,
    ProxiedWithoutBody,
    AnsweredOnRequest(&'static str),
    AnsweredOnForward(&'static str),
    AnsweredOnceHeld,
    BodyDropped,
    RefusedByTheEdge,
    ConnectRefused,
    UpstreamSilentlyGone,
    UpstreamDiesInsideItsHead,
    UpstreamDiesInsideItsBody,
    UpstreamTooSlow,
    ClientLeavesBeforeTheHead,
    ClientLeavesInsideTheBody,
    StreamReset,
    ConnectionLost,
    Drained,
}

impl Ending {
    fn all(lane: Lane) -> Vec<Self> {
        use Ending::*;
        let mut all = vec![Proxied, ProxiedWithoutBody];
        all.extend(chain(lane.toml()).into_iter().flat_map(|name| [AnsweredOnRequest(name), AnsweredOnForward(name)]));
        if lane != Lane::Stream {
            all.extend([AnsweredOnceHeld, BodyDropped]);
        }
        all.extend([
            RefusedByTheEdge,
            ConnectRefused,
            UpstreamSilentlyGone,
            UpstreamDiesInsideItsHead,
            UpstreamDiesInsideItsBody,
            UpstreamTooSlow,
            ClientLeavesBeforeTheHead,
            ClientLeavesInsideTheBody,
            StreamReset,
            ConnectionLost,
            Drained,
        ]);
        all
    }

    /// What on_end is told: how it ended, who answered, the status that left.
    fn told(self, lane: Lane) -> Option<String> {
        use Ending::*;
        let by = |name, status| Some(format!("ok {name} {status}"));
        match self {
            Proxied | Drained => by("upstream", 200),
            ProxiedWithoutBody => by("upstream", 204),
            AnsweredOnRequest(name) | AnsweredOnForward(name) => by(name, 418),
            AnsweredOnceHeld => by(answerer(lane), 418),
            BodyDropped => by("upstream", 304),
            RefusedByTheEdge => Some("refused edge 400".to_owned()),
            ConnectRefused | UpstreamSilentlyGone | UpstreamDiesInsideItsHead => {
                Some("upstream_error edge 502".to_owned())
            }
            // A reply that is kept whole is found broken before its head has left.
            UpstreamDiesInsideItsBody if lane == Lane::Stream => Some("upstream_error upstream 200".to_owned()),
            UpstreamDiesInsideItsBody => Some("upstream_error edge 502".to_owned()),
            UpstreamTooSlow => Some("timeout edge 504".to_owned()),
            ClientLeavesBeforeTheHead => Some("client_gone edge -".to_owned()),
            ClientLeavesInsideTheBody => Some("client_gone upstream 200".to_owned()),
            // Whether a detached call ends before the loss is noticed is a race that changes nothing.
            StreamReset | ConnectionLost if lane == Lane::Detached => None,
            StreamReset | ConnectionLost => Some("client_gone edge -".to_owned()),
        }
    }

    fn scripts(self, lane: Lane) -> Vec<(&'static str, Script)> {
        use Ending::*;
        let deed = match self {
            AnsweredOnRequest(name) => Some((name, Call::Request, Deed::Respond(418))),
            AnsweredOnForward(name) => Some((name, Call::Forward, Deed::Respond(418))),
            AnsweredOnceHeld => Some((answerer(lane), Call::Held, Deed::Respond(418))),
            BodyDropped => Some((answerer(lane), Call::Held, Deed::DropBody)),
            _ => None,
        };
        match deed {
            Some((HOLDER, call, deed)) => vec![(HOLDER, lane.holder().and(call, deed))],
            Some((name, call, deed)) => vec![(HOLDER, lane.holder()), (name, Script::doing(call, deed))],
            None => vec![(HOLDER, lane.holder())],
        }
    }

    fn reply(self, gate: &Gate) -> Reply {
        use Ending::*;
        match self {
            ProxiedWithoutBody => Reply::new(204),
            UpstreamSilentlyGone => Reply::dying(),
            UpstreamDiesInsideItsHead => Reply::ok("hello").cut(Cut::Head(20)),
            UpstreamDiesInsideItsBody => Reply::ok("hello").cut(Cut::Body(2)),
            UpstreamTooSlow => Reply::never(),
            ClientLeavesBeforeTheHead | StreamReset | ConnectionLost | Drained => Reply::ok("late").once(gate),
            ClientLeavesInsideTheBody => Reply::ok(vec![b'.'; LARGE]),
            _ => Reply::ok("hello"),
        }
    }
}

/// The one that sees the held reply: where both hold, the inner one is asked first.
fn answerer(lane: Lane) -> &'static str {
    if lane == Lane::Held { "etag" } else { HOLDER }
}

async fn nowhere() -> String {
    let origin = Origin::returning(200, "");
    let address = origin.address();
    let relay = vestibule_testkit::Relay::to(address);
    relay.set(vestibule_testkit::Fault::Refuse).await;
    let url = format!("http://{}", relay.address());
    // Kept for the rest of the process, so that the port stays ours and closed.
    std::mem::forget((origin, relay));
    url
}

async fn check(lane: Lane, ending: Ending) {
    let case = format!("{lane:?} {ending:?}");
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |_: &Received| ending.reply(&held));
    let upstream = if ending == Ending::ConnectRefused { nowhere().await } else { origin.url() };
    let certs = Certs::new();
    let over_h2 = matches!(ending, Ending::StreamReset | Ending::ConnectionLost);
    let tls = if over_h2 { format!("[server]\ntls = {}\n", certs.tls_toml()) } else { String::new() };
    let patience = if ending == Ending::UpstreamTooSlow { "[upstream]\nread_timeout = \"200ms\"\n" } else { "" };
    let rig = Rig::start(&upstream, &format!("{tls}{}{patience}", lane.toml()), &ending.scripts(lane)).await;

    let journal = if ending == Ending::Drained {
        let mut raw = Raw::connect(rig.address()).await;
        raw.write(rig.request("GET", "/").encoded()).await;
        origin.wait_hits(1).await;
        let opening = async {
            gate.open();
            raw.answer().await
        };
        let (journal, answer) = tokio::join!(rig.drain(), opening);
        assert_eq!((answer.status, answer.text()), (200, "late".to_owned()), "{case}");
        journal
    } else {
        drive(lane, ending, &rig, &origin, &gate, &certs).await;
        rig.finish().await
    };
    assert_invariant(&case, &journal, None);
    if let Some(told) = ending.told(lane) {
        assert_eq!(journal.note("trace", Call::End), told, "{case}");
    }
    assert_order(&case, ending, &chain(lane.toml()), &journal.who(Call::Request), &journal.who(Call::Forward));
}

async fn drive(lane: Lane, ending: Ending, rig: &Rig, origin: &Origin, gate: &Gate, certs: &Certs) {
    let status = |told: &str| told.rsplit(' ').next().and_then(|status| status.parse::<u16>().ok());
    match ending {
        Ending::RefusedByTheEdge => {
            assert_eq!(rig.request("GET", "/a%zz").await.status, 400);
        }
        Ending::ClientLeavesBeforeTheHead => {
            let mut raw = Raw::connect(rig.address()).await;
            raw.write(rig.request("GET", "/").encoded()).await;
            origin.wait_hits(1).await;
            raw.finish_writing().await;
            assert!(raw.closed().await.is_empty(), "nobody is told anything");
            gate.open();
        }
        Ending::ClientLeavesInsideTheBody => {
            let mut raw = Raw::connect(rig.address()).await;
            raw.write(rig.request("GET", "/").encoded()).await;
            assert_eq!(raw.head_of_answer().await.status, 200);
            raw.some().await;
        }
        Ending::StreamReset | Ending::ConnectionLost => {
            let client = H2Client::connect_tls(rig.address(), certs).await;
            let stream = client.open(H2Request::new("GET", "/")).await.expect("a stream");
            origin.wait_hits(1).await;
            if ending == Ending::StreamReset {
                stream.reset(Reason::CANCEL);
                if lane != Lane::Detached {
                    rig.journal.wait_ends().await;
                }
            }
            drop(client);
            if lane == Lane::Detached {
                gate.open();
            }
        }
        Ending::UpstreamDiesInsideItsBody if lane == Lane::Stream => {
            let answer = rig.request("GET", "/").await;
            assert_ne!(answer.body_end, vestibule_testkit::BodyEnd::Complete);
        }
        _ => {
            let answer = rig.request("GET", "/").await;
            let told = ending.told(lane).expect("an ending that is not a race");
            assert_eq!(Some(answer.status), status(&told), "{ending:?}");
        }
    }
}

/// Inward hooks run from the outside in, as far as the request came.
fn assert_order(case: &str, ending: Ending, chain: &[&str], requested: &[&str], forwarded: &[&str]) {
    let upto = |name| chain.iter().position(|other| *other == name).map_or(0, |at| at + 1);
    let (asked, last_word) = match ending {
        Ending::AnsweredOnRequest(name) => (upto(name), 0),
        Ending::AnsweredOnForward(name) => (chain.len(), upto(name)),
        // Those that only watch see what the edge refuses.
        Ending::RefusedByTheEdge => (upto("observer"), 0),
        _ => (chain.len(), chain.len()),
    };
    assert_eq!(requested, &chain[..asked], "{case}: on_request, outermost first");
    assert_eq!(forwarded, &chain[..last_word], "{case}: on_forward, outermost first, once for all attempts");
}

async fn check_all(lane: Lane) {
    for ending in Ending::all(lane) {
        check(lane, ending).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hook_learns_every_end_once_in_the_stream_lane() {
    check_all(Lane::Stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hook_learns_every_end_once_in_the_held_lane() {
    check_all(Lane::Held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hook_learns_every_end_once_when_the_call_outlives_the_client() {
    check_all(Lane::Detached).await;
}

/// The field that each adds stands in the order of the rows.
#[tokio::test]
async fn hooks_run_inward_from_the_outside_and_outward_from_the_inside() {
    for toml in [STREAM, HELD] {
        let origin = Origin::returning(200, "hello");
        let rig = Rig::start(&origin.url(), toml, &[]).await;
        let answer = rig.request("GET", "/").await;
        let chain = chain(toml);
        let outward: Vec<_> = chain.iter().rev().copied().collect();
        assert_eq!(origin.last().fields.all("x-seen-by").collect::<Vec<_>>(), chain);
        assert_eq!(answer.fields.all("x-seen-by").collect::<Vec<_>>(), outward);
        let journal = rig.finish().await;
        assert_eq!(journal.who(Call::UpstreamRequest), chain);
        if toml == HELD {
            assert_eq!((journal.who(Call::HeldHead), journal.who(Call::Held)), (vec!["etag"], vec!["etag"]));
        }
    }
}

/// A hook may take its time anywhere it is asked: nothing depends on an answer at hand.
#[tokio::test]
async fn hooks_that_answer_later_are_awaited() {
    let origin = Origin::returning(200, "hello");
    let scripts: Vec<_> = chain(HELD).into_iter().map(|name| (name, Script::default().later())).collect();
    let rig = Rig::start(&origin.url(), HELD, &scripts).await;
    let answer = rig.request("GET", "/").await;
    assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
    assert!(answer.field("etag").starts_with("W/\"vst1-"));
    let journal = rig.finish().await;
    assert_invariant("later", &journal, None);
}
