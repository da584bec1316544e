//! A plugin under observation: every call is written down, passed on, and sometimes sabotaged.

use super::journal::{Call, Journal};
use super::script::{Deed, Script, answer};
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use std::sync::Arc;
use vestibule_plugin::{
    AccessLine, End, Facts, Failure, Fields, Flow, Held, HeldFlow, HeldRequest, Hooks, Keep, Plugin, RequestHead,
    ResponseHead, RouteId, Soon,
};

/// Every watched plugin adds its name to this field of the response.
pub const SEEN_BY: HeaderName = HeaderName::from_static("x-seen-by");

/// A plugin of the configuration, or a probe without one.
pub struct Watched {
    pub name: &'static str,
    pub inner: Option<Arc<dyn Plugin>>,
    pub script: Script,
    pub journal: Journal,
}

impl Plugin for Watched {
    fn attach(&self, request: &RequestHead<'_>, route: RouteId) -> Option<Box<dyn Hooks>> {
        let inner = match &self.inner {
            Some(plugin) => plugin.attach(request, route)?,
            None => Box::new(Bystander),
        };
        self.journal.record(self.name, Call::Attach, String::new());
        let concerned = self.script.only.is_none_or(|target| target == request.target);
        let script = if concerned { self.script.clone() } else { Script::default() };
        let journal = self.journal.clone();
        Some(Box::new(WatchedHooks { name: self.name, inner, script, journal }))
    }
}

/// Does nothing.
struct Bystander;
impl Hooks for Bystander {}

struct WatchedHooks {
    name: &'static str,
    inner: Box<dyn Hooks>,
    script: Script,
    journal: Journal,
}

impl WatchedHooks {
    fn note(&self, call: Call, note: impl Into<String>) {
        self.journal.record(self.name, call, note.into());
    }

    fn panic_if_told(&self, call: Call) {
        assert!(self.script.deed_at(call) != Some(Deed::Panic), "told to panic at {call:?}");
    }

    fn told(&self, call: Call) -> Option<Flow> {
        match self.script.deed_at(call)? {
            Deed::Respond(status) => Some(Flow::respond(answer(self.name, status))),
            Deed::DropBody | Deed::Panic => None,
        }
    }
}

/// `value`, at once or after what the script makes it wait for; a panic comes when the value would.
fn pace<'a, T: Send + 'a>(script: &Script, call: Call, value: Soon<'a, T>) -> Soon<'a, T> {
    let panics = script.deed_at(call) == Some(Deed::Panic);
    let gate = script.gate_at(call);
    if !script.later && gate.is_none() {
        assert!(!panics, "told to panic at {call:?}");
        return value;
    }
    Soon::later(async move {
        tokio::task::yield_now().await;
        if let Some(gate) = gate {
            gate.opened().await;
        }
        assert!(!panics, "told to panic at {call:?}, later");
        value.get().await
    })
}

impl Hooks for WatchedHooks {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        self.note(Call::Request, request.target);
        let told = self.told(Call::Request).or(self.script.hold.map(Flow::Hold));
        let value = match told {
            Some(flow) => Soon::Now(flow),
            None => self.inner.on_request(request, facts),
        };
        pace(&self.script, Call::Request, value)
    }

    fn on_request_body<'a>(&'a mut self, request: HeldRequest<'a>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        let body = &*request.body;
        self.note(Call::Body, format!("{} {}", body.len(), body.iter().map(|b| u64::from(*b)).sum::<u64>()));
        let value = match self.told(Call::Body) {
            Some(flow) => Soon::Now(flow),
            None => self.inner.on_request_body(request, facts),
        };
        pace(&self.script, Call::Body, value)
    }

    fn on_forward<'a>(&'a mut self, facts: &'a Facts) -> Soon<'a, Flow> {
        self.note(Call::Forward, "");
        let value = match self.told(Call::Forward) {
            Some(flow) => Soon::Now(flow),
            None => self.inner.on_forward(facts),
        };
        pace(&self.script, Call::Forward, value)
    }

    fn on_send<'a>(&'a mut self, facts: &'a Facts) -> Soon<'a, Flow> {
        self.note(Call::Send, "");
        let value = match self.told(Call::Send) {
            Some(flow) => Soon::Now(flow),
            None => self.inner.on_send(facts),
        };
        pace(&self.script, Call::Send, value)
    }

    fn on_failed<'a>(&'a mut self, failure: &'a Failure, facts: &'a Facts) -> Soon<'a, Flow> {
        self.note(Call::Failed, format!("{failure:?}"));
        let value = match self.told(Call::Failed) {
            Some(flow) => Soon::Now(flow),
            None => self.inner.on_failed(failure, facts),
        };
        pace(&self.script, Call::Failed, value)
    }

    fn on_upstream_request(&mut self, fields: &mut Fields, facts: &Facts) {
        self.note(Call::UpstreamRequest, "");
        self.panic_if_told(Call::UpstreamRequest);
        fields.append(SEEN_BY, HeaderValue::from_static(self.name));
        self.inner.on_upstream_request(fields, facts);
    }

    fn on_held_head(&mut self, response: &ResponseHead<'_>, asked: Keep, facts: &Facts) -> Keep {
        self.note(Call::HeldHead, "");
        self.panic_if_told(Call::HeldHead);
        self.inner.on_held_head(response, asked, facts)
    }

    fn on_held<'a>(
        &'a mut self,
        response: &'a mut ResponseHead<'_>,
        body: Held<'a>,
        facts: &'a Facts,
    ) -> Soon<'a, HeldFlow> {
        let length = match body {
            Held::Whole { body, .. } => body.len().to_string(),
            Held::Flowing(why) => format!("{why:?}"),
        };
        self.note(Call::Held, length);
        let value = match self.script.deed_at(Call::Held) {
            Some(Deed::Respond(status)) => Soon::Now(HeldFlow::Respond(Box::new(answer(self.name, status).into()))),
            Some(Deed::DropBody) => {
                *response.status = StatusCode::NOT_MODIFIED;
                Soon::Now(HeldFlow::DropBody)
            }
            Some(Deed::Panic) | None => self.inner.on_held(response, body, facts),
        };
        pace(&self.script, Call::Held, value)
    }

    fn on_response(&mut self, response: &mut ResponseHead<'_>, facts: &Facts) {
        self.note(Call::Response, response.status.as_str());
        self.panic_if_told(Call::Response);
        response.fields.append(SEEN_BY, HeaderValue::from_static(self.name));
        self.inner.on_response(response, facts);
    }

    fn on_end<'a>(&'a mut self, end: &'a End<'a>, facts: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        let status = end.status.map_or_else(|| "-".to_owned(), |status| status.as_str().to_owned());
        self.note(Call::End, format!("{} {} {status}", end.ended.as_str(), end.answered_by.as_str()));
        let value = self.inner.on_end(end, facts, line);
        pace(&self.script, Call::End, value)
    }
}
