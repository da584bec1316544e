//! A write where the application judges what it rests on.

use crate::answers;
use crate::config::Policy;
use crate::forward;
use crate::hooks::Shared;
use crate::list::TagField;
use crate::metrics::Outcome;
use crate::precondition::Preconditions;
use crate::tag;
use http::Method;
use http::header::IF_MATCH;
use std::borrow::Cow;
use std::sync::Arc;
use vestibule_plugin::{AccessLine, End, Facts, Field, Fields, Flow, Hooks, Problem, RequestHead, Soon};

/// The plugin's half of one write.
pub(crate) struct Write {
    shared: Arc<Shared>,
    preconditions: Preconditions,
    refused: bool,
}

impl Write {
    pub(crate) fn new(shared: Arc<Shared>, preconditions: Preconditions) -> Self {
        Self { shared, preconditions, refused: false }
    }
}

/// Whether a write rests on our tags alone, or on a field that holds one and that nobody can read: an application that
/// ignores what it cannot read would write over a version that the client never saw.
pub(crate) fn rests_on_ours(preconditions: &Preconditions, fields: &Fields) -> bool {
    let is_malformed = preconditions.matches == Some(TagField::Malformed);
    let holds_ours = || fields.lines(&IF_MATCH).any(tag::is_within);
    preconditions.rests_on_ours_alone() || is_malformed && holds_ours()
}

/// What a write is refused with that does not say what it rests on, where it has to.
pub(crate) fn missing(shared: &Shared, method: &Method, preconditions: &Preconditions) -> Option<Problem> {
    must_say(&shared.policy, method, preconditions).then(|| answers::precondition_required(method))
}

/// Whether a write has to say what it rests on, and does not.
pub(crate) fn must_say(policy: &Policy, method: &Method, preconditions: &Preconditions) -> bool {
    let is_creation = *method == Method::PUT && preconditions.none_match == Some(TagField::Any);
    policy.require_if_match && is_change(method) && preconditions.matches.is_none() && !is_creation
}

/// Whether a method changes what its target holds (RFC 9110 section 9.3, RFC 5789).
pub(crate) fn is_change(method: &Method) -> bool {
    matches!(*method, Method::PUT | Method::PATCH | Method::DELETE)
}

/// Counts a write that was refused, and says so in the access line.
pub(crate) fn tell_refused(shared: &Shared, line: &mut AccessLine) {
    shared.responses.count(Outcome::PreconditionFailed);
    line.add("etag", || Field::Text(Cow::Borrowed(Outcome::PreconditionFailed.as_str())));
}

impl Hooks for Write {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, _: &'a mut Facts) -> Soon<'a, Flow> {
        let problem = missing(&self.shared, request.method, &self.preconditions)
            .or_else(|| rests_on_ours(&self.preconditions, &*request.fields).then(answers::if_match_unsupported));
        Soon::Now(match problem {
            Some(problem) => {
                self.refused = true;
                Flow::respond(problem)
            }
            None => Flow::Continue,
        })
    }

    fn on_upstream_request(&mut self, fields: &mut Fields, _: &Facts) {
        if let Some(TagField::Tags(tags)) = &self.preconditions.matches {
            forward::take_ours_out(fields, IF_MATCH, tags);
        }
    }

    fn on_end<'a>(&'a mut self, _: &'a End<'a>, _: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        if self.refused {
            tell_refused(&self.shared, line);
        }
        Soon::Now(())
    }
}
