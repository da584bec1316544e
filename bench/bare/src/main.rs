//! The yardstick of the bench: pingora-proxy that passes requests through and does nothing else.
//!
//! `bare LISTEN UPSTREAM [THREADS]`, e.g. `bare 127.0.0.1:8080 127.0.0.1:3000 1`. The allocator, the connection pool
//! and every other setting are the framework's own, as for anybody who starts from its examples.

use async_trait::async_trait;
use pingora::prelude::{HttpPeer, ProxyHttp, Result, Server, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;
use std::error::Error;
use std::net::SocketAddr;

struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (listen, upstream, threads) = match args.as_slice() {
        [listen, upstream] => (listen, upstream.parse()?, 1),
        [listen, upstream, threads] => (listen, upstream.parse()?, threads.parse()?),
        _ => return Err("usage: bare LISTEN UPSTREAM [THREADS]".into()),
    };
    let conf = ServerConf { threads, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare { upstream });
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}
