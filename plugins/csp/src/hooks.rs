//! What the plugin does in an exchange: adds the header, or takes reports.

use crate::answers;
use crate::header::{Policy, Scheme};
use crate::intake::Intake;
use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use std::sync::Arc;
use vestibule_plugin::{
    Detach, Facts, Fields, Flow, HeldRequest, Hold, Hooks, Keep, RequestHead, ResponseHead, Soon, list, media,
};

/// Media types that reports come as; what they are is decided by their shape.
const TYPES: [&str; 4] = ["application/csp-report", "application/reports+json", "application/json", "text/plain"];

/// A page that may get a policy.
pub(crate) struct Page {
    policy: Arc<Policy>,
    scheme: Scheme,
}

impl Page {
    /// The answer to this request.
    pub(crate) fn new(policy: &Arc<Policy>, request: &RequestHead<'_>) -> Self {
        Self { policy: Arc::clone(policy), scheme: Scheme::of(request.scheme) }
    }
}

impl Hooks for Page {
    fn dresses_every_response(&self) -> bool {
        true
    }

    fn on_response(&mut self, response: &mut ResponseHead<'_>, _: &Facts) {
        self.policy.add(*response.status, response.fields, self.scheme);
    }
}

/// Reports that are brought.
pub(crate) struct Delivery {
    intake: Arc<Intake>,
    /// A problem may be told as a page, too.
    page: Option<Page>,
}

impl Delivery {
    pub(crate) fn new(intake: &Arc<Intake>, page: Option<Page>) -> Self {
        Self { intake: Arc::clone(intake), page }
    }

    fn judge(&self, request: &RequestHead<'_>, facts: &Facts) -> Flow {
        match *request.method {
            Method::POST => {}
            Method::OPTIONS => return Flow::respond(answers::preflight()),
            _ => return Flow::respond(answers::wrong_method()),
        }
        if !is_report(&*request.fields) {
            return Flow::respond(answers::wrong_type());
        }
        let max_body = self.intake.max_body();
        if request.body_length.is_some_and(|length| length > max_body.0) {
            return Flow::respond(answers::too_large(max_body));
        }
        if !self.intake.admits(facts.address()) {
            return Flow::respond(answers::taken());
        }
        Flow::Hold(Hold {
            // Bounded when the file was loaded.
            request_body: Some(usize::try_from(max_body.0).unwrap_or(usize::MAX)),
            response: Keep::Nothing,
            detach: Detach::WithClient,
        })
    }
}

impl Hooks for Delivery {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        Soon::Now(self.judge(request, facts))
    }

    fn on_request_body<'a>(&'a mut self, request: HeldRequest<'a>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        Soon::Now(match self.intake.take(request.body, facts.address()) {
            Ok(()) => Flow::respond(answers::taken()),
            Err(malformed) => Flow::respond(answers::malformed(malformed)),
        })
    }

    fn dresses_every_response(&self) -> bool {
        self.page.is_some()
    }

    fn on_response(&mut self, response: &mut ResponseHead<'_>, facts: &Facts) {
        if let Some(page) = &mut self.page {
            page.on_response(response, facts);
        }
    }
}

/// Whether a request says that it brings reports as they are.
fn is_report(fields: &Fields) -> bool {
    let media_type = fields.only(&CONTENT_TYPE).ok().flatten();
    media_type.is_some_and(|media_type| TYPES.iter().any(|known| media::is(media_type, known)))
        && list::tokens(fields, &CONTENT_ENCODING).all(|coding| coding.eq_ignore_ascii_case(b"identity"))
}
