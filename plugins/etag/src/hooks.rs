//! One GET or HEAD.

use crate::conditional::Precondition;
use crate::config::{Concurrency, Policy};
use crate::metrics::{Outcome, Responses};
use crate::{forward, reply, tag};
use http::header::{self, HeaderName};
use http::{Method, StatusCode};
use std::borrow::Cow;
use std::sync::Arc;
use vestibule_plugin::{
    AccessLine, AnsweredBy, Detach, End, Facts, Field, Fields, Flow, Held, HeldFlow, Hold, Hooks, Keep, RequestHead,
    ResponseHead, Soon,
};

/// What describes a body, and so has no place on a 304 (RFC 9110 section 15.4.5).
static ABOUT_A_BODY: [HeaderName; 13] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
    header::CONTENT_DISPOSITION,
    header::ACCEPT_RANGES,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// What all exchanges of a route share.
pub(crate) struct Shared {
    /// What runs there.
    pub(crate) policy: Policy,
    /// What is counted.
    pub(crate) responses: Responses,
}

/// The plugin's half of one exchange.
pub(crate) struct Conditional {
    shared: Arc<Shared>,
    method: Method,
    body: RequestBody,
    precondition: Precondition,
    tag: MayGetTag,
    outcome: Option<Outcome>,
}

/// Whether the request has a body. Then it streams, and the reply with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestBody {
    Present,
    Absent,
}

/// What the head of the reply said.
enum MayGetTag {
    Yes,
    No,
}

impl Conditional {
    /// For a GET or HEAD.
    pub(crate) fn new(shared: Arc<Shared>, method: Method, body: RequestBody) -> Self {
        Self { shared, method, body, precondition: Precondition::None, tag: MayGetTag::No, outcome: None }
    }

    fn keep(&self) -> Keep {
        // A reply to HEAD has no body, but its status must still be open to change.
        if self.method == Method::GET {
            let Policy { max_body, stream_after, .. } = self.shared.policy;
            Keep::Whole { max: max_body, within: Some(stream_after) }
        } else {
            Keep::Nothing
        }
    }

    /// Tags the reply if it can be, and says whose its tag is.
    fn tag(&self, response: &mut ResponseHead<'_>, body: Held<'_>) -> Outcome {
        if response.fields.map().contains_key(header::ETAG) {
            return Outcome::UpstreamTag;
        }
        let Policy { strength, max_body, .. } = self.shared.policy;
        match (&self.tag, body) {
            // Another plugin may have asked for more than we do.
            (MayGetTag::Yes, Held::Whole { body, trailers: None }) if (1..=max_body).contains(&body.len()) => {
                let tag = tag::mint(strength, response.fields.map(), body, max_body);
                response.fields.set(header::ETAG, tag);
                Outcome::Minted
            }
            _ => Outcome::Skipped,
        }
    }
}

impl Hooks for Conditional {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, _facts: &'a mut Facts) -> Soon<'a, Flow> {
        if self.body == RequestBody::Present {
            return Soon::Now(Flow::Continue);
        }
        self.precondition = Precondition::of(request.fields.map());
        Soon::Now(Flow::Hold(Hold { request_body: None, response: self.keep(), detach: Detach::WithClient }))
    }

    fn on_upstream_request(&mut self, fields: &mut dyn Fields, _facts: &Facts) {
        forward::without_our_tags(fields, &self.precondition);
        if self.shared.policy.concurrency == Concurrency::Serialize {
            // A tag that a write rests on is of the content itself, not of one of its codings.
            fields.remove(&header::ACCEPT_ENCODING);
        }
    }

    fn on_held_head(&mut self, response: &ResponseHead<'_>, asked: Keep, _facts: &Facts) -> Keep {
        let max_body = self.shared.policy.max_body;
        if reply::may_get_tag(&self.method, *response.status, response.fields.map(), max_body) {
            self.tag = MayGetTag::Yes;
            asked
        } else {
            self.tag = MayGetTag::No;
            Keep::Nothing
        }
    }

    fn on_held<'a>(
        &'a mut self,
        response: &'a mut ResponseHead<'_>,
        body: Held<'a>,
        _facts: &'a Facts,
    ) -> Soon<'a, HeldFlow> {
        let outcome = self.tag(response, body);
        if !self.precondition.is_met(*response.status, response.fields.map()) {
            self.outcome = Some(outcome);
            return Soon::Now(HeldFlow::Continue);
        }
        self.outcome = Some(Outcome::NotModified);
        *response.status = StatusCode::NOT_MODIFIED;
        for name in &ABOUT_A_BODY {
            response.fields.remove(name);
        }
        Soon::Now(HeldFlow::DropBody)
    }

    fn on_response(&mut self, response: &mut ResponseHead<'_>, _facts: &Facts) {
        if self.body == RequestBody::Present {
            let tagged = response.fields.map().contains_key(header::ETAG);
            self.outcome = Some(if tagged { Outcome::UpstreamTag } else { Outcome::Skipped });
        }
    }

    fn on_end<'a>(&'a mut self, end: &'a End<'a>, _facts: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        if end.answered_by != AnsweredBy::Upstream {
            return Soon::Now(());
        }
        // None: no reply of the upstream came this far.
        if let Some(outcome) = self.outcome {
            self.shared.responses.count(outcome);
            line.add("etag", || Field::Text(Cow::Borrowed(outcome.as_str())));
        }
        Soon::Now(())
    }
}
