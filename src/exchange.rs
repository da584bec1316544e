//! One request and its response: the state the proxy keeps for it, and its end, which comes exactly once.

mod closing;
mod provenance;
mod request;
mod story;

pub use closing::{Closing, Returning};
pub use provenance::Provenance;
pub use request::Request;
pub use story::{Attached, Story};

use crate::downstream::Head;
use crate::downstream::connection::Connection;
use crate::edge::threats::Threat;
use crate::host::Host;
use crate::memory_budget::Holder;
use crate::pipeline::Pipeline;
use crate::proxy::Refusal;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vestibule_plugin::meter::Exemplar;
use vestibule_plugin::{ClientAddress, Ended, Event, Facts, Monotonic, RouteId, TraceContext};

/// The state of one exchange.
pub struct Exchange {
    /// The process.
    pub host: Arc<Host>,
    /// The configuration this exchange began with, and ends with.
    pub pipeline: Arc<Pipeline>,
    /// What is known of the client's connection, or stream.
    pub connection: Arc<Connection>,
    /// First byte of the head.
    pub began: Monotonic,
    /// The head as it came, and as plugins have changed it. Nobody else has it before the call is made.
    pub head: Arc<Head>,
    /// What the edge read in it.
    pub request: Arc<Request>,
    /// All that may outlive this exchange.
    pub story: Story,
    /// Bytes of request body read.
    pub request_bytes: u64,
    /// Bytes of response body sent.
    pub response_bytes: u64,
    /// The response is an event stream or a tunnel: its time is the time to its head.
    pub open_ended: bool,
    /// What the edge blocked, until it is counted.
    pub threat: Option<Threat>,
    /// What the edge found wrong, until it is answered.
    pub refusal: Option<Box<Refusal>>,
    in_flight: Option<InFlight>,
    over: bool,
}

/// The client's side of an exchange, apart from its story.
pub struct ClientSide<'a> {
    /// What is known of the client's connection, or stream.
    pub connection: &'a Connection,
    /// The head.
    pub request: &'a Request,
    /// Bytes of request body read.
    pub request_bytes: &'a mut u64,
    /// Most bytes of it.
    pub limit: Option<u64>,
    /// Bytes a second that it must average.
    pub floor: u64,
}

/// Counts an exchange until its end has been told; a drain waits for it.
pub struct InFlight(Arc<Host>);

impl InFlight {
    fn new(host: &Arc<Host>) -> Self {
        host.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(host))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Exchange {
    /// A new exchange on `connection`, under the configuration of this moment.
    pub fn new(host: Arc<Host>, connection: Arc<Connection>, began: Monotonic, head: Arc<Head>) -> Self {
        let pipeline = host.pipeline();
        let facts = Facts::new(RouteId::UNMATCHED, ClientAddress::Local, draw_trace());
        Self {
            in_flight: Some(InFlight::new(&host)),
            host,
            pipeline,
            connection,
            began,
            head,
            request: Arc::default(),
            story: Story::new(facts),
            request_bytes: 0,
            response_bytes: 0,
            open_ended: false,
            threat: None,
            refusal: None,
            over: false,
        }
    }

    /// The route's name.
    pub fn route_name(&self) -> &str {
        self.pipeline.route_name(self.story.facts.route())
    }

    /// Who holds what is kept of its reply.
    pub fn reply_holder(&self) -> Holder {
        Holder::of_reply(self.story.facts.address(), self.connection.replies().cloned())
    }

    /// Counts what the edge blocked in this exchange.
    pub fn blocked(&self, threat: Threat) {
        let trace = self.story.facts.trace();
        let exemplar = trace.is_sampled().then(|| Exemplar {
            trace_id: trace.trace_id,
            span_id: trace.span_id,
            at: self.host.clock.wall(),
        });
        self.host.threats.blocked_in(threat, exemplar.as_ref());
        let (route, client) = (self.story.facts.route(), self.story.facts.address());
        self.pipeline.tell(&Event::Blocked { kind: threat.as_str(), route, client });
    }

    /// Lends the story to a task that may outlive this exchange. Until it is given back, the task ends it.
    pub fn lend(&mut self) -> (Story, Closing) {
        self.over = true;
        (self.take_story(), self.closing())
    }

    /// Takes the story back, and with it the duty to end it.
    pub fn take_back(&mut self, story: Story, closing: Closing) {
        self.over = false;
        self.story = story;
        self.in_flight = closing.in_flight;
    }

    /// Ends the exchange: every attached hook learns it, once, innermost first, and the access line is written.
    pub async fn finish(&mut self) {
        if !mem::replace(&mut self.over, true) {
            let closing = self.closing();
            self.story.close(closing).await;
        }
    }

    fn take_story(&mut self) -> Story {
        let facts = Facts::new(self.story.facts.route(), self.story.facts.address(), *self.story.facts.trace());
        mem::replace(&mut self.story, Story::new(facts))
    }

    fn closing(&mut self) -> Closing {
        Closing {
            in_flight: self.in_flight.take(),
            host: Arc::clone(&self.host),
            pipeline: Arc::clone(&self.pipeline),
            connection: Arc::clone(&self.connection),
            began: self.began,
            request: Arc::clone(&self.request),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            open_ended: self.open_ended,
        }
    }
}

impl Drop for Exchange {
    /// A future that was dropped or panicked ends here: the hooks still learn it.
    fn drop(&mut self) {
        if mem::replace(&mut self.over, true) {
            return;
        }
        let mut story = self.take_story();
        let ended = if self.connection.had_slow_body() {
            self.blocked(Threat::SlowBody);
            Ended::Timeout
        } else if *self.host.cut_off.borrow() {
            Ended::Drained
        } else {
            Ended::ClientGone
        };
        story.ended.get_or_insert(ended);
        let closing = self.closing();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { story.close(closing).await });
        }
    }
}

/// A trace context of this exchange's own; the trace plugin replaces it when the caller brought one.
fn draw_trace() -> TraceContext {
    let trace_id = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(1..));
    TraceContext { trace_id, span_id: fastrand::u64(1..), flags: TraceContext::RANDOM }
}
