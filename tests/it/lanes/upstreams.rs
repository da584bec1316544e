//! Every kind of upstream, and that its connections are used again.

use super::lane::Lane;
use vestibule_testkit::{Certs, Counts, H2Origin, H2Reply, Origin, Over, Proxy, Raw, Received, Reply};

/// An origin of any kind that says which method and target reached it.
enum Upstream {
    One(Origin),
    Two(H2Origin),
}

impl Upstream {
    fn all(certs: &Certs) -> Vec<(&'static str, Self)> {
        let say = |request: &Received| format!("{} {} {}", request.method, request.target, request.text());
        vec![
            ("http", Self::One(Origin::replying(move |request| Reply::ok(say(request))))),
            ("http over tls", Self::One(Origin::tls(certs, move |request| Reply::ok(say(request))))),
            ("unix", Self::One(Origin::unix(move |request| Reply::ok(say(request))))),
            ("h2 over tls", Self::Two(H2Origin::replying(Over::Tls(certs), move |request| H2Reply::ok(say(request))))),
            ("h2c", Self::Two(H2Origin::replying(Over::Cleartext, move |request| H2Reply::ok(say(request))))),
        ]
    }

    fn url(&self) -> String {
        match self {
            Self::One(origin) => origin.url(),
            Self::Two(origin) => origin.url(),
        }
    }

    fn counts(&self) -> Counts {
        match self {
            Self::One(origin) => origin.counts(),
            Self::Two(origin) => origin.counts(),
        }
    }

    fn last(&self) -> Received {
        match self {
            Self::One(origin) => origin.last(),
            Self::Two(origin) => origin.last(),
        }
    }
}

#[tokio::test]
async fn every_kind_of_upstream_is_spoken_to_on_one_connection() {
    let certs = Certs::new();
    for lane in Lane::BOTH {
        for (kind, upstream) in Upstream::all(&certs) {
            let case = format!("{lane:?}, {kind}");
            let url = upstream.url();
            let tls = if url.starts_with("https") {
                format!("ca_file = {:?}\nserver_name = \"localhost\"\n", certs.ca_file())
            } else {
                String::new()
            };
            let proxy = lane.before(&url, &format!("[upstream]\n{tls}")).await;
            let mut raw = proxy.connect().await;
            for n in 0..4 {
                let target = format!("/a%20b/{n}?q=1&q=%2F");
                let answer = proxy.get(&target).header("host", "app.test").on(&mut raw).await;
                assert_eq!((answer.status, answer.text()), (200, format!("GET {target} ")), "{case}");
            }
            assert_eq!(upstream.counts().connections, 1, "{case}: connections for four requests");
            let last = upstream.last();
            let host = if last.version == "HTTP/2.0" { last.authority.as_str() } else { last.field("host") };
            assert_eq!(host, "app.test", "{case}: the host the client asked for");

            let answer = proxy.post("/p").body("hello").on(&mut raw).await;
            assert_eq!(answer.text(), "POST /p hello", "{case}");
            let answer = proxy.post("/p").chunked(["he", "llo"]).on(&mut raw).await;
            assert_eq!(answer.text(), "POST /p hello", "{case}");
        }
    }
}

/// the certificate's chain and name are always verified.
#[tokio::test]
async fn an_upstream_with_the_wrong_certificate_is_not_spoken_to() {
    let certs = Certs::new();
    let stranger = Certs::new();
    let origin = Origin::tls(&certs, |_| Reply::ok("secret"));
    for lane in Lane::BOTH {
        for (case, ca, name) in [("unknown authority", &stranger, "localhost"), ("wrong name", &certs, "other.test")] {
            let toml = format!("[upstream]\nca_file = {:?}\nserver_name = {name:?}\n", ca.ca_file());
            let proxy = lane.before(&origin.url(), &toml).await;
            let answer = proxy.get("/").await;
            assert_eq!((answer.status, answer.problem().as_str()), (502, "upstream-unreachable"), "{lane:?}, {case}");
        }
    }
    assert_eq!(origin.hits(), 0);
}

#[tokio::test]
async fn clients_side_by_side_share_a_connection_to_an_http2_upstream() {
    let origin = H2Origin::replying(Over::Cleartext, |request| H2Reply::ok(request.target.clone()));
    for lane in Lane::BOTH {
        let proxy = lane.before(&origin.url(), "").await;
        assert_eq!(proxy.get("/warm").await.status, 200);
        // Workers that look for the connection in the moment in which another takes it make their own, which on a slow
        // machine may be many at first.
        let mut made = Vec::new();
        while made.last().is_none_or(|made| *made > 4) {
            assert!(made.len() < 5, "{lane:?}: {made:?} connections for 20 requests each");
            let before = origin.counts().connections;
            ask_side_by_side(&proxy, 20).await;
            made.push(origin.counts().connections - before);
        }
    }
}

async fn ask_side_by_side(proxy: &Proxy, clients: usize) {
    let mut asking: Vec<Raw> = Vec::new();
    for n in 0..clients {
        let mut raw = proxy.connect().await;
        raw.write(proxy.get(&format!("/{n}")).encoded()).await;
        asking.push(raw);
    }
    for (n, raw) in asking.iter_mut().enumerate() {
        assert_eq!(raw.answer().await.text(), format!("/{n}"));
    }
}
