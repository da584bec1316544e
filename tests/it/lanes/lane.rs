//! The two lanes, and a proxy before an origin in each.

use vestibule_testkit::{Alpn, Answer, Certs, H2Client, H2Request, Proxy, Raw, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Stream,
    /// GET and HEAD only.
    Held,
}

impl Lane {
    pub const BOTH: [Self; 2] = [Self::Stream, Self::Held];

    pub fn toml(self) -> &'static str {
        match self {
            Self::Stream => "",
            Self::Held => "[etag]\n",
        }
    }

    /// A proxy before `url`, with `more` in its file.
    pub async fn before(self, url: &str, more: &str) -> Proxy {
        Proxy::before(crate::bin(), url, &format!("{more}{}", self.toml())).await
    }

    /// One that speaks TLS, so that HTTP/2 clients can come.
    pub async fn before_tls(self, url: &str, certs: &Certs, more: &str) -> Proxy {
        self.before(url, &format!("[server]\ntls = {}\n{more}", certs.tls_toml())).await
    }
}

/// How a client comes to a proxy that speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Http1,
    Http2,
}

impl Client {
    pub const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    /// Sends each request on one connection, one after the other. Of HTTP/1 answers the framing is checked by reading.
    pub async fn ask(self, proxy: &Proxy, certs: &Certs, requests: &[(&str, &str)]) -> Vec<Answer> {
        let mut answers = Vec::new();
        match self {
            Self::Http1 => {
                let mut raw = Raw::connect_tls(proxy.address(), certs, &[Alpn::Http11]).await;
                for (method, target) in requests {
                    answers.push(Request::new(proxy.address(), method, target).on(&mut raw).await);
                }
            }
            Self::Http2 => {
                let client = H2Client::connect_tls(proxy.address(), certs).await;
                for (method, target) in requests {
                    answers.push(client.send(H2Request::new(method, target)).await);
                }
            }
        }
        answers
    }
}
