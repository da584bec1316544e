//! The two halves of a plugin: the long-lived one and the one of an exchange.

use crate::{
    AccessLine, AdminCall, AdminReply, End, Event, Facts, Failure, Fields, Flow, Held, HeldFlow, HeldRequest, Keep,
    Looked, RequestHead, ResponseHead, RouteId, Soon,
};
use bytes::Bytes;
use http::HeaderName;
use std::any::Any;
use std::path::PathBuf;

/// How a request field is kept from being forged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// Only the proxy says it: what a client sends under this name, in whatever spelling, is removed before any hook
    /// reads the request.
    Ours,
    /// A client says it under this name alone: a spelling with `_` for `-`, which some servers take for the same, is
    /// removed.
    Exact,
}

/// The long-lived half: built once per configuration, shared by every exchange.
pub trait Plugin: Any + Send + Sync {
    /// Attaches to one exchange. `None`: not ours; it costs nothing more.
    fn attach(&self, request: &RequestHead<'_>, route: RouteId) -> Option<Box<dyn Hooks>>;

    /// Request fields beyond the usual ones that decisions rest on: a client may not have them dropped by naming them in
    /// `Connection`.
    fn reads(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Request fields that must not be forged.
    fn guards(&self) -> Vec<(HeaderName, Guard)> {
        Vec::new()
    }

    /// Files that it read when it was built; a change of one calls for a reload where files are watched.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Why requests should not come yet, in a word that `/readyz` shows.
    fn unready(&self) -> Option<&'static str> {
        None
    }

    /// Response fields that the application says to this plugin alone: they leave no response, on whichever route.
    fn keeps_to_itself(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Says what it would do with a request, and does nothing: no store is asked, nothing is charged. It states the facts
    /// that it would state, for those further inside. A line, or several. `None`: it would not take part. Where it `would
    /// answer` the request itself, it says so in these words, and nobody further inside is asked.
    fn explain(&self, _request: &RequestHead<'_>, _route: RouteId, _facts: &mut Facts) -> Option<String> {
        None
    }

    /// Takes what it needs of the machine, before the configuration it was built from serves. `before` is what serves until
    /// then under the same name: what it holds may be shared. A sentence says why it cannot be; then the process does not
    /// start, or goes on with the configuration it has.
    fn prepare(&self, _before: Option<&dyn Plugin>) -> Result<(), String> {
        Ok(())
    }

    /// The configuration this was built from serves from now on. Once; one that is only checked, or fails, never gets
    /// here. `before` is what served until now under the same name: what it has learned may be taken over.
    fn on_install(&self, _before: Option<&dyn Plugin>) {}

    /// Hears of what happened outside an exchange, or at its door.
    fn on_event(&self, _event: &Event<'_>) {}

    /// The last exchange is over and the process ends: what is still in hand is put where it belongs, soon.
    fn on_stop(&self) -> Soon<'_, ()> {
        Soon::Now(())
    }

    /// How it is doing, for `GET /status`, under its name.
    fn status(&self) -> Option<serde_json::Value> {
        None
    }

    /// Templates of what [`Self::admin`] answers, below this plugin's own path, e.g. `{policy}/{key}`.
    fn admin_paths(&self) -> &'static [&'static str] {
        &[]
    }

    /// Answers a call on the admin listener below this plugin's own path; `None`: no such path.
    fn admin<'a>(&'a self, _call: &'a AdminCall<'a>) -> Option<Soon<'a, AdminReply>> {
        None
    }
}

/// The per-exchange half. State lives in the implementor's own fields, never in a shared bag.
///
/// Hooks do not fail: what to do when a store is down is the operator's choice, so it is a [`Flow`].
pub trait Hooks: Send + Sync {
    /// Decides on the request head. Outermost first.
    fn on_request<'a>(&'a mut self, _request: &'a mut RequestHead<'_>, _facts: &'a mut Facts) -> Soon<'a, Flow> {
        Soon::Now(Flow::Continue)
    }

    /// Decides on the whole request body. Runs only after [`Flow::Hold`] with a `request_body` from this plugin.
    fn on_request_body<'a>(&'a mut self, _request: HeldRequest<'a>, _facts: &'a mut Facts) -> Soon<'a, Flow> {
        Soon::Now(Flow::Continue)
    }

    /// Decides on what the target holds, after [`Flow::Look`]. Not called when no reply came: then the request is answered
    /// as if that had been its own.
    fn on_looked<'a>(&'a mut self, _looked: Looked<'a>, _facts: &'a Facts) -> Soon<'a, Flow> {
        Soon::Now(Flow::Continue)
    }

    /// The last word before the first upstream attempt: everything else has said yes.
    fn on_forward<'a>(&'a mut self, _facts: &'a Facts) -> Soon<'a, Flow> {
        Soon::Now(Flow::Continue)
    }

    /// Edits what the upstream sees. Runs once per attempt on a fresh copy of the client's head.
    fn on_upstream_request(&mut self, _fields: &mut Fields, _facts: &Facts) {}

    /// The last word before an attempt: a connection is there, and no byte has been written on it. Outermost first; runs
    /// only after [`Flow::Hold`].
    fn on_send<'a>(&'a mut self, _facts: &'a Facts) -> Soon<'a, Flow> {
        Soon::Now(Flow::Continue)
    }

    /// Sees that the call came to no reply, before anybody is told; [`Flow::Respond`] says it otherwise. Innermost
    /// first; runs only after [`Flow::Hold`], and only if one of the attempts was allowed.
    fn on_failed<'a>(&'a mut self, _failure: &'a Failure, _facts: &'a Facts) -> Soon<'a, Flow> {
        Soon::Now(Flow::Continue)
    }

    /// Sees the upstream's final head and says how much of the body it needs. Runs only after [`Flow::Hold`];
    /// `asked` is what this plugin asked for then.
    fn on_held_head(&mut self, _response: &ResponseHead<'_>, asked: Keep, _facts: &Facts) -> Keep {
        asked
    }

    /// Decides on the held response before its first byte leaves. Innermost first; runs only after [`Flow::Hold`].
    fn on_held<'a>(
        &'a mut self,
        _response: &'a mut ResponseHead<'_>,
        _body: Held<'a>,
        _facts: &'a Facts,
    ) -> Soon<'a, HeldFlow> {
        Soon::Now(HeldFlow::Continue)
    }

    /// Sees a piece of the request body as it leaves for the upstream, or as it comes where the body is held.
    fn on_upload(&mut self, _piece: &Bytes) {}

    /// Whether its [`on_response`](Self::on_response) also sees what was answered before the request came to it, such as a
    /// refusal at the edge. Its edits must then not rest on any other hook having run.
    fn dresses_every_response(&self) -> bool {
        false
    }

    /// Edits the head of the final response, whoever wrote it. Innermost first; must not change the status.
    fn on_response(&mut self, _response: &mut ResponseHead<'_>, _facts: &Facts) {}

    /// Whether it reads the access line of what others have added, though nobody may write that line.
    fn reads_line(&self) -> bool {
        false
    }

    /// The exchange is over. Exactly once for every attached hook, whatever happened. `line` is the access line.
    fn on_end<'a>(&'a mut self, _end: &'a End<'a>, _facts: &'a Facts, _line: &'a mut AccessLine) -> Soon<'a, ()> {
        Soon::Now(())
    }
}
