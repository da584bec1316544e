//! Interim responses (RFC 9110 section 15.2) on their way to a client that waits.

use crate::response_head::ResponseHead;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::task::Poll;

/// Interim heads that have come and were not passed on yet.
#[derive(Default)]
pub struct InterimResponses(Mutex<Vec<ResponseHead>>);

impl InterimResponses {
    /// Adds one.
    pub fn put(&self, head: ResponseHead) {
        self.0.lock().push(head);
    }

    /// Takes all there are, maybe none.
    pub fn take(&self) -> Vec<ResponseHead> {
        std::mem::take(&mut *self.0.lock())
    }

    /// Takes all there are, once there are any. Wakes nobody: it is for the task that runs the call, asked after the call.
    pub async fn received(&self) -> Vec<ResponseHead> {
        poll_fn(|_| {
            let heads = self.take();
            if heads.is_empty() { Poll::Pending } else { Poll::Ready(heads) }
        })
        .await
    }
}
