//! A write that goes alone: under a lock on what it changes, and judged by what a GET shows.

use crate::answers;
use crate::forward;
use crate::hooks::Shared;
use crate::list::TagField;
use crate::precondition::{Preconditions, Target, Verdict};
use crate::write::{missing, tell_refused};
use crate::{date, reply, tag};
use bytes::Bytes;
use http::header::{ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED};
use http::{Method, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::{
    AccessLine, Detach, End, Ended, Facts, Failure, Fields, Flow, FullResponse, Held, HeldFlow, HeldRequest, Hold,
    Hooks, Keep, Looked, Problem, RequestHead, ResponseHead, Sent, Soon, media,
};
use vestibule_store::Locks;
use vestibule_store::locks::Lock;
use vestibule_store::records::Name;

/// A write ends by then, whatever the application does: as long as a keyed one may take by default.
const DEADLINE: Duration = Duration::from_secs(300);

/// The plugin's half of one such write.
pub(crate) struct Serialized {
    shared: Arc<Shared>,
    locks: Arc<Locks>,
    name: Name,
    preconditions: Preconditions,
    verdict: Verdict,
    lock: Option<Lock>,
    /// The reply is not held whole: it ends with the exchange, or breaks off before.
    flows: bool,
    refused: bool,
}

impl Serialized {
    pub(crate) fn new(shared: Arc<Shared>, locks: Arc<Locks>, name: Name, preconditions: Preconditions) -> Self {
        Self { shared, locks, name, preconditions, verdict: Verdict::Passes, lock: None, flows: false, refused: false }
    }

    fn refuse(&mut self, problem: Problem) -> Flow {
        self.refused = true;
        Flow::respond(problem)
    }

    fn look(&self) -> Keep {
        Keep::Whole { max: self.shared.policy.max_body, within: Some(self.shared.policy.stream_after) }
    }

    /// The tag that this content has here, which is the one that the client was given.
    fn mint(&self, looked: &Looked<'_>) -> Option<HeaderValue> {
        let policy = &self.shared.policy;
        let may = reply::may_get_tag(&Method::GET, looked.status, looked.fields, policy.max_body);
        match looked.body {
            Held::Whole { body, trailers: None } if may && (1..=policy.max_body).contains(&body.len()) => {
                Some(tag::mint(policy.strength, looked.fields, body, policy.max_body))
            }
            _ => None,
        }
    }

    fn decide(&mut self, looked: &Looked<'_>) -> Flow {
        if is_for_the_client(looked.status) {
            return Flow::respond(as_it_is(looked));
        }
        if looked.status == StatusCode::OK && looked.fields.has(&ETAG) {
            // It has versions of its own, and judges by them.
            return Flow::Continue;
        }
        let minted = self.mint(looked);
        let target = if looked.status == StatusCode::OK {
            let tag = minted.as_ref().and_then(|tag| tag::EntityTag::parse(tag.as_bytes()));
            Target::Content { tag, modified: date::single(looked.fields, &LAST_MODIFIED) }
        } else {
            Target::Nothing
        };
        self.verdict = self.preconditions.judge(target);
        if self.verdict == Verdict::Fails {
            return self.refuse(answers::precondition_failed(minted));
        }
        Flow::Continue
    }
}

/// Replies to the look that are the answer to the write as well: who must not see it must not write it, and what fails,
/// or is refused for another reason than that there is nothing, shows nothing to judge by.
fn is_for_the_client(status: StatusCode) -> bool {
    let is_absent = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    status.is_server_error() || status.is_client_error() && !is_absent
}

fn as_it_is(looked: &Looked<'_>) -> FullResponse {
    // Of a body that is too long to be kept, none is better than a part.
    let body = match looked.body {
        Held::Whole { body, .. } => body.clone(),
        Held::Flowing(_) => Bytes::new(),
    };
    let mut fields = looked.fields.clone();
    fields.remove(http::header::CONTENT_LENGTH);
    FullResponse { status: looked.status, fields, body }
}

impl Hooks for Serialized {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, _: &'a mut Facts) -> Soon<'a, Flow> {
        if let Some(problem) = missing(&self.shared, request.method, &self.preconditions) {
            return Soon::Now(self.refuse(problem));
        }
        let max = self.shared.policy.max_body;
        Soon::Now(Flow::Hold(Hold {
            request_body: Some(max),
            response: Keep::Whole { max, within: None },
            detach: Detach::Survives { deadline: DEADLINE },
        }))
    }

    fn on_request_body<'a>(&'a mut self, _: HeldRequest<'a>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        Soon::later(async move {
            let policy = &self.shared.policy;
            let trace_id = facts.trace().trace_id;
            match self.locks.take(self.name, trace_id, policy.lock_lease, policy.lock_wait).await {
                Ok(lock) => self.lock = Some(lock),
                Err(why) => return Flow::respond(answers::no_lock(&why)),
            }
            if self.preconditions.is_empty() { Flow::Continue } else { Flow::Look(self.look()) }
        })
    }

    fn on_looked<'a>(&'a mut self, looked: Looked<'a>, _: &'a Facts) -> Soon<'a, Flow> {
        Soon::Now(self.decide(&looked))
    }

    fn on_upstream_request(&mut self, fields: &mut Fields, _: &Facts) {
        if self.verdict == Verdict::PassesByOurTag {
            fields.remove(&IF_MATCH);
            fields.remove(&IF_UNMODIFIED_SINCE);
        }
        if let Some(TagField::Tags(tags)) = &self.preconditions.none_match {
            forward::take_ours_out(fields, IF_NONE_MATCH, tags);
        }
    }

    fn on_send<'a>(&'a mut self, _: &'a Facts) -> Soon<'a, Flow> {
        Soon::Now(match &self.lock {
            Some(lock) if !lock.is_held() => {
                Flow::respond(answers::store_unavailable("the lock was lost before the write was sent"))
            }
            _ => Flow::Continue,
        })
    }

    fn on_failed<'a>(&'a mut self, failure: &'a Failure, _: &'a Facts) -> Soon<'a, Flow> {
        // The application may still be writing: nobody else may, until the lock has run out.
        if failure.sent == Sent::Something
            && let Some(lock) = self.lock.take()
        {
            lock.abandon();
        }
        Soon::Now(Flow::Continue)
    }

    fn on_held_head(&mut self, response: &ResponseHead<'_>, asked: Keep, _: &Facts) -> Keep {
        if media::is_stream(&*response.fields) { Keep::Nothing } else { asked }
    }

    fn on_held<'a>(&'a mut self, _: &'a mut ResponseHead<'_>, body: Held<'a>, _: &'a Facts) -> Soon<'a, HeldFlow> {
        match (body, self.lock.take()) {
            // Free before the client hears of it, so that its next write does not meet its last one.
            (Held::Whole { .. }, Some(lock)) => Soon::later(async move {
                lock.free().await;
                HeldFlow::Continue
            }),
            (held, lock) => {
                self.flows = matches!(held, Held::Flowing(_));
                self.lock = lock;
                Soon::Now(HeldFlow::Continue)
            }
        }
    }

    fn on_end<'a>(&'a mut self, end: &'a End<'a>, _: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        if self.refused {
            tell_refused(&self.shared, line);
        }
        match self.lock.take() {
            // The application may still be writing behind a reply that nobody reads any more.
            Some(lock) if self.flows && end.ended != Ended::Ok => lock.abandon(),
            // Free now, if it is not yet.
            lock => drop(lock),
        }
        Soon::Now(())
    }
}
