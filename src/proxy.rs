//! The way of a request, from its head to its end.
//!
//! ```text
//! read the head ── request::enter    edge rules, client address, route, attach
//!              ── request::admit    plugins inward; answers here; the call (driver.rs)
//!              ── failure::give_up  when it failed: what the client is told
//!              ── exchange.finish   the end, once
//! ```
//!
//! The engine makes connections: TLS to clients and upstreams, and HTTP/2 to upstreams. Its request loop and its HTTP/1 are
//! not used: they decide by method what may be sent again, end a body twice, and read what they should refuse.

mod driver;
mod explain;
pub mod failure;
mod judge;
mod provenance;
pub mod refused_head;
mod request;
pub mod resend;
mod response;
pub mod wire;

pub use explain::explain;
pub use failure::cause_of;
pub use judge::Refusal;

use crate::answer::let_upload_end;
use crate::downstream::{App, Downstream, Head, Served};
use crate::exchange::Exchange;
use crate::host::Host;
use futures::FutureExt;
use pingora::Result;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The proxy, as a listener serves it.
pub struct Proxy {
    host: Arc<Host>,
}

impl Proxy {
    /// Of this process.
    pub fn new(host: Arc<Host>) -> Self {
        Self { host }
    }
}

impl App for Proxy {
    /// One exchange: everything about a request but its place on the connection.
    async fn serve(&self, downstream: &mut Downstream, head: Arc<Head>) -> Served {
        let (connection, began) = (Arc::clone(downstream.connection()), downstream.began());
        // Boxed: it is moved about.
        let mut exchange = Box::new(Exchange::new(Arc::clone(&self.host), connection, began, head));

        let served = match exchange_on(downstream, &mut exchange).await {
            Ok(()) => Served::Whole,
            Err(error) => {
                failure::give_up(downstream, &mut exchange, &error).await;
                Served::Failed
            }
        };
        exchange.finish().await;
        let_upload_end(downstream).await;
        served
    }
}

/// From the head to the last byte of a response.
async fn exchange_on(downstream: &mut Downstream, exchange: &mut Exchange) -> Result<()> {
    unless_it_panics(|| request::enter(downstream, exchange))?;
    // A plugin that panics costs its own request a 500, and nobody else anything.
    match AssertUnwindSafe(request::admit(downstream, exchange)).catch_unwind().await {
        Ok(answered) => answered,
        Err(_) => failure::panicked(downstream, exchange).await,
    }
}

/// Runs `hooks`; an error when one of them panics.
fn unless_it_panics(hooks: impl FnOnce()) -> Result<()> {
    catch_unwind(AssertUnwindSafe(hooks)).map_err(|_| failure::panic_error())
}
