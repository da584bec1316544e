//! Seeing what the target of a request holds before the request is sent: a GET by the same client, of which the client
//! hears nothing.

use super::call::{Call, CallBody, Head};
use super::keep::Body;
use crate::downstream;
use crate::exchange::Exchange;
use http::Method;
use http::header::{self, HeaderName};
use pingora::{Error, ErrorType};
use std::sync::Arc;
use tokio::time::timeout;
use vestibule_plugin::{Detach, Hold, Keep};

/// What says something of the body that is not sent along, and what would make the reply a part, a 304 or a 412, or give
/// it another coding than the next one.
static NOT_OF_A_LOOK: [HeaderName; 16] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::TRAILER,
    header::EXPECT,
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::ACCEPT_ENCODING,
];

/// Looks, and keeps as much as is `wanted`; at most the upstream's `read_timeout` in all. `head` is the client's.
pub async fn look(
    mut head: downstream::Head,
    exchange: &mut Exchange,
    wanted: Keep,
) -> Result<(Head, Body), Box<Error>> {
    head.method = Method::GET;
    for name in &NOT_OF_A_LOOK {
        head.fields.remove(name);
    }
    let patience = exchange.pipeline.upstream(exchange.story.facts.route()).settings.read_timeout;
    let hold = Hold { request_body: None, response: wanted, detach: Detach::WithClient };
    let call = Call::new(Arc::new(head), CallBody::None, hold, None, exchange);
    let late = |_elapsed| Error::explain(ErrorType::ReadTimedout, "looking at what the target holds").into_up();
    timeout(patience, call.look(&mut exchange.story, wanted)).await.map_err(late)?
}
