//! The request head that one attempt sends.

use super::call::Call;
use crate::connections::{RequestHead, Switch, UpstreamConnection};
use crate::exchange::Story;
use crate::proxy::wire;
use http::header;
use std::borrow::Cow;
use vestibule_plugin::Names;

/// Fields that the edge and the plugins usually add to a head. There is room for more; it is made again then.
const ROOM: usize = 10;

/// Fields that are written by whoever writes the head.
static WRITTEN_ANEW: Names<2> = Names::new(["content-length", "host"]);

/// Prepares the client's head for `connection`: what was meant for the hop to here goes, what the proxy tells the
/// application comes, and plugins edit the rest. Who writes it frames the body.
pub fn upstream_head<'c>(call: &'c Call, story: &mut Story, connection: &UpstreamConnection) -> RequestHead<'c> {
    let mut fields = call.head.fields.copy(ROOM);
    wire::strip_request_hops(&mut fields);
    if !call.forwards_expectation(connection) {
        fields.remove(header::EXPECT);
    }
    wire::add_forwarding_fields(&mut fields, &call.request, call.pipeline.via.as_ref());

    for attached in &mut story.hooks {
        attached.enter().on_upstream_request(&mut fields, &story.facts);
        attached.leave();
    }

    fields.remove_all(&WRITTEN_ANEW);
    let authority = match &call.request.authority {
        Some(authority) => Cow::Borrowed(authority.as_bytes()),
        // Only HTTP/1.0 may come without one.
        None => Cow::Owned(call.upstream(story).authority().into()),
    };
    RequestHead {
        method: &call.head.method,
        fields,
        target: call.request.target.as_bytes(),
        authority,
        scheme: if connection.is_tls() { "https" } else { "http" },
        switch: if call.request.upgrade { Switch::Asked } else { Switch::NotAsked },
    }
}
