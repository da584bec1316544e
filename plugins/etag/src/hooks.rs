//! One GET or HEAD.

use crate::conditional::Precondition;
use crate::config::{Concurrency, Policy};
use crate::if_match::IfMatch;
use crate::metrics::{Outcome, Responses};
use crate::{answers, forward, reply, tag};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use std::borrow::Cow;
use std::sync::Arc;
use vestibule_plugin::{
    AccessLine, AnsweredBy, Detach, End, Facts, Field, Fields, Flow, Held, HeldFlow, HeldRequest, Hold, Hooks, Keep,
    Looked, RequestHead, ResponseHead, Soon,
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
    /// Judged here, before the other.
    if_match: Option<IfMatch>,
    /// Whether that was done before the request was sent.
    judged: bool,
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
        let (precondition, if_match) = (Precondition::None, None);
        Self { shared, method, body, precondition, if_match, judged: false, tag: MayGetTag::No, outcome: None }
    }

    fn keep(&self) -> Keep {
        // A reply to HEAD has no body, but its status must still be open to change.
        if self.method == Method::GET {
            let Policy { max_body, stream_after, .. } = self.shared.policy;
            // What `If-Match` asks for must not depend on how fast it comes.
            let within = self.if_match.is_none().then_some(stream_after);
            Keep::Whole { max: max_body, within }
        } else {
            Keep::Nothing
        }
    }

    /// Tags the reply if it can be, and says whose its tag is.
    fn tag(&self, response: &mut ResponseHead<'_>, body: Held<'_>) -> Outcome {
        if response.fields.has(&header::ETAG) {
            return Outcome::UpstreamTag;
        }
        match self.mint(&self.tag, &*response.fields, body) {
            Some(tag) => {
                response.fields.set(header::ETAG, tag);
                Outcome::Minted
            }
            None => Outcome::Skipped,
        }
    }

    fn mint(&self, may: &MayGetTag, fields: &Fields, body: Held<'_>) -> Option<HeaderValue> {
        let Policy { strength, max_body, .. } = self.shared.policy;
        match (may, body) {
            // Another plugin may have asked for more than we do.
            (MayGetTag::Yes, Held::Whole { body, trailers: None }) if (1..=max_body).contains(&body.len()) => {
                Some(tag::mint(strength, fields, body, max_body))
            }
            _ => None,
        }
    }

    /// Whether `If-Match` stands in the way of a reply with these fields, which hold the tag that was minted, if one was.
    /// Statuses other than success win over every precondition (RFC 9110 section 13.2.1).
    fn fails(&self, status: StatusCode, fields: &Fields) -> bool {
        let Some(if_match) = &self.if_match else { return false };
        status.is_success() && !if_match.is_met(reply::tag(fields).as_ref())
    }
}

impl Hooks for Conditional {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, _facts: &'a mut Facts) -> Soon<'a, Flow> {
        self.if_match = IfMatch::of(&*request.fields);
        if self.body == RequestBody::Present {
            // Its reply streams, so nothing can be judged by it.
            if self.if_match.as_ref().is_some_and(IfMatch::is_ours_alone) {
                self.outcome = Some(Outcome::PreconditionFailed);
                return Soon::Now(Flow::respond(answers::if_match_unsupported_by_read()));
            }
            return Soon::Now(Flow::Continue);
        }
        self.precondition = Precondition::of(&*request.fields);
        // Only to be asked before a HEAD is sent, which itself shows nothing that has a tag of ours.
        let request_body = (self.if_match.is_some() && self.method == Method::HEAD).then_some(0);
        Soon::Now(Flow::Hold(Hold { request_body, response: self.keep(), detach: Detach::WithClient }))
    }

    fn on_request_body<'a>(&'a mut self, _: HeldRequest<'a>, _: &'a mut Facts) -> Soon<'a, Flow> {
        Soon::Now(Flow::Look(Keep::Whole { max: self.shared.policy.max_body, within: None }))
    }

    fn on_looked<'a>(&'a mut self, looked: Looked<'a>, _: &'a Facts) -> Soon<'a, Flow> {
        let max_body = self.shared.policy.max_body;
        let may = reply::may_get_tag(&Method::GET, looked.status, looked.fields, max_body);
        let may = if may { MayGetTag::Yes } else { MayGetTag::No };
        let mut fields = looked.fields.clone();
        if let Some(tag) = self.mint(&may, looked.fields, looked.body) {
            fields.set(header::ETAG, tag);
        }
        if self.fails(looked.status, &fields) {
            self.outcome = Some(Outcome::PreconditionFailed);
            return Soon::Now(Flow::respond(answers::read_precondition_failed(fields.value(header::ETAG))));
        }
        // It is judged; what a HEAD shows cannot be.
        self.judged = true;
        Soon::Now(Flow::Continue)
    }

    fn on_upstream_request(&mut self, fields: &mut Fields, _facts: &Facts) {
        match &self.if_match {
            Some(IfMatch::Tags(tags)) if self.body == RequestBody::Present => {
                forward::take_ours_out(fields, header::IF_MATCH, tags);
            }
            Some(_) => IfMatch::take_out(fields),
            None => forward::without_our_tags(fields, &self.precondition),
        }
        if self.shared.policy.concurrency == Concurrency::Serialize {
            // A tag that a write rests on is of the content itself, not of one of its codings.
            fields.remove(&header::ACCEPT_ENCODING);
        }
    }

    fn on_held_head(&mut self, response: &ResponseHead<'_>, asked: Keep, _facts: &Facts) -> Keep {
        let max_body = self.shared.policy.max_body;
        if reply::may_get_tag(&self.method, *response.status, &*response.fields, max_body) {
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
        if !self.judged && self.fails(*response.status, &*response.fields) {
            self.outcome = Some(Outcome::PreconditionFailed);
            let tag = response.fields.value(&header::ETAG);
            return Soon::Now(HeldFlow::Respond(Box::new(answers::read_precondition_failed(tag).into())));
        }
        if !self.precondition.is_met(*response.status, &*response.fields) {
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
        if self.body == RequestBody::Present && self.outcome.is_none() {
            let tagged = response.fields.has(&header::ETAG);
            self.outcome = Some(if tagged { Outcome::UpstreamTag } else { Outcome::Skipped });
        }
    }

    fn on_end<'a>(&'a mut self, end: &'a End<'a>, _facts: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        let is_refused = self.outcome == Some(Outcome::PreconditionFailed);
        if end.answered_by != AnsweredBy::Upstream && !is_refused {
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
