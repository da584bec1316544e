//! Who is calling, through the whole program: what is a credential, what makes it good, and who hears of it.

mod credentials;
mod feeds;
pub(crate) mod issuer;
mod keys;
mod refusals;
mod tokens;

use issuer::{Issuer, Pen, claims};
use vestibule_testkit::{Answer, Origin, Proxy, Request, Setup};

/// Fetches of the key set.
const REFRESHES: &str = "vestibule_auth_jwks_refreshes_total";

/// An application, and a proxy that verifies what the issuer signs.
struct Stage {
    origin: Origin,
    proxy: Proxy,
    issuer: Issuer,
}

impl Stage {
    /// `lines` are further ones of `[auth]` and tables behind it.
    async fn new(issuer: Issuer, lines: &str) -> Self {
        let origin = Origin::returning(200, "ok");
        let proxy = before(&origin, &format!("{}{lines}", issuer.toml())).await;
        let stage = Self { origin, proxy, issuer };
        stage.wait_for_keys().await;
        stage
    }

    /// With one key, and every algorithm in use.
    async fn with(lines: &str) -> (Self, Pen) {
        let pen = Pen::es256("one");
        let stage = Self::new(Issuer::publishing(&[&pen]), lines).await;
        (stage, pen)
    }

    async fn wait_for_keys(&self) {
        self.proxy.wait_metrics("keys", |scrape| scrape.value("vestibule_auth_jwks_keys", &[]) > 0.0).await;
    }

    fn bearing(&self, token: &str) -> Request {
        self.proxy.get("/").header("authorization", format!("Bearer {token}"))
    }

    /// Asserts that a token is refused, without the application hearing of it.
    async fn refuses(&self, token: &str, what: &str) {
        let hits = self.origin.hits();
        let answer = self.bearing(token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "invalid-token"), "{what}: {}", answer.text());
        assert_eq!(self.origin.hits(), hits, "{what}");
    }

    /// Asserts that a token is good.
    async fn accepts(&self, token: &str, what: &str) {
        let answer = self.bearing(token).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    }

    /// How often a decision was made.
    async fn decided(&self, outcome: &str) -> f64 {
        self.proxy.metrics().await.value("vestibule_auth_decisions_total", &[("outcome", outcome)])
    }
}

async fn before(origin: &Origin, toml: &str) -> Proxy {
    Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await
}

/// All challenges of an answer.
fn challenges(answer: &Answer) -> Vec<&str> {
    answer.fields.all("www-authenticate").collect()
}
