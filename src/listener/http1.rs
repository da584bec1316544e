//! HTTP/1 on one connection: exchange after exchange until it ends.

use super::Listener;
use crate::downstream::http1::Http1;
use crate::downstream::{App, Downstream};

/// Serves until either side is done with the connection.
pub async fn serve<A: App>(listener: &Listener<A>, mut http1: Box<Http1>) {
    let mut draining = listener.draining.clone();
    loop {
        let head = tokio::select! {
            biased;
            head = http1.next() => head,
            // No request is under way.
            _ = draining.wait_for(|draining| *draining) => None,
        };
        let Some(head) = head else { return };
        if *draining.borrow() {
            http1.close_after();
        }

        let mut downstream = Downstream::Http1(http1);
        let served = listener.app().serve(&mut downstream, head).await;
        let Downstream::Http1(back) = downstream else { return };
        http1 = back;

        if !http1.go_on(served).await {
            return;
        }
        if *draining.borrow() {
            // Requests that the client has sent ahead are not served, and must not cost it the reply that is on its way.
            return Box::pin(http1.close()).await;
        }
    }
}
