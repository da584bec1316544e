//! The end of a story: every plugin that took part learns it, once, and the access line is written.

use super::{InFlight, Request, Story};
use crate::downstream::connection::Connection;
use crate::host::Host;
use crate::pipeline::Pipeline;
use crate::telemetry::access::{Access, Sender};
use futures::FutureExt;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::{AccessLine, AnsweredBy, Denial, End, Ended, Event, Monotonic, Soon};

/// What is needed to end a story.
pub struct Closing {
    pub(super) in_flight: Option<InFlight>,
    pub(super) host: Arc<Host>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) connection: Arc<Connection>,
    pub(super) began: Monotonic,
    pub(super) request: Arc<Request>,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) open_ended: bool,
}

/// A story on its way back from a task to the exchange that lent it. When that is gone, nobody takes it, wherever it
/// is by then: it ends by itself.
pub struct Returning(Option<(Story, Closing)>);

impl Returning {
    /// Of a call that is over.
    pub fn new(story: Story, closing: Closing) -> Self {
        Self(Some((story, closing)))
    }

    /// Takes it, and with it the duty to end it.
    pub fn take(mut self) -> Option<(Story, Closing)> {
        self.0.take()
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        let Some((mut story, closing)) = self.0.take() else { return };
        if story.ended != Some(Ended::Drained) {
            story.ended = Some(if *closing.host.cut_off.borrow() { Ended::Drained } else { Ended::ClientGone });
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { story.close(closing).await });
        }
    }
}

impl Story {
    /// Tells every attached hook the end and writes the access line.
    pub async fn close(&mut self, closing: Closing) {
        let now = closing.host.clock.now();
        self.end_attempt(now, None);
        let until = if closing.open_ended { self.head_at.unwrap_or(now) } else { now };

        let settings = closing.pipeline.log();
        let is_read = settings.access || self.hooks.iter().any(|attached| attached.hooks.reads_line());
        let mut line = if is_read { AccessLine::wanted() } else { AccessLine::unwanted() };

        let end = End {
            method: &closing.request.method,
            version: closing.request.version,
            status: self.status,
            ended: self.ended.unwrap_or(Ended::Ok),
            answered_by: self.answered_by,
            problem: self.problem,
            reason: self.reason.as_deref(),
            began: closing.began,
            duration: until.since(closing.began),
            first_byte: self.head_at.map(|at| at.since(closing.began)),
            attempts: &self.attempts,
            request_bytes: closing.request_bytes,
            response_bytes: closing.response_bytes,
        };

        for attached in self.hooks.iter_mut().rev() {
            // One that panics keeps nobody else from learning the end.
            let (hooks, end, facts, line) = (&mut attached.hooks, &end, &self.facts, &mut line);
            if let Some(Soon::Later(told)) = unless_it_panics(move || hooks.on_end(end, facts, line)) {
                let _ = AssertUnwindSafe(told).catch_unwind().await;
            }
        }

        // What a plugin serves itself is between it and the client: nobody accounts for it, and nothing tells who it was.
        let is_own = closing.pipeline.owner(self.facts.route()).is_some();
        if let (AnsweredBy::Plugin(by), Some(slug), Some(status)) = (end.answered_by, self.problem, end.status)
            && !is_own
        {
            closing.pipeline.tell(&Event::Denied(Denial {
                by,
                slug,
                reason: end.reason,
                status,
                route: self.facts.route(),
                client: self.facts.address(),
            }));
        }

        // Those of heads that never became a request are bounded; whatever else came of it, nobody asked for them.
        let refused = closing.request.unread.is_some();
        if settings.access && (!refused || closing.host.log.gives_refusal_a_line(closing.pipeline.number())) {
            let upstream: Duration = self.attempts.iter().map(|attempt| attempt.duration).sum();
            closing.host.log.access(&Access {
                end: &end,
                facts: &self.facts,
                line: &line,
                route: closing.pipeline.route_name(self.facts.route()),
                path: Cow::Borrowed(closing.request.path()),
                tls: closing.connection.tls,
                upstream,
                unread: closing.request.unread.unwrap_or_default(),
                sender: (!is_own)
                    .then_some(Sender { user_agent: closing.request.user_agent.as_ref(), client: settings.client }),
                generation: closing.pipeline.number(),
            });
        }

        self.hooks.clear();
    }
}

/// What `hook` says; `None` when it panics.
fn unless_it_panics<T>(hook: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(hook)).ok()
}
