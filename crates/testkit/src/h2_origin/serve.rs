//! One connection to an HTTP/2 origin, and its streams.

use super::reply::{End, H2Reply};
use crate::fields::Fields;
use crate::origin::{Received, State};
use crate::wire::{BodyEnd, Io};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Long enough for a frame to leave before the reset that follows it.
const FLUSH: Duration = Duration::from_millis(20);

/// Chooses replies.
pub(super) type Choose = Arc<dyn Fn(&Received) -> H2Reply + Send + Sync>;

/// When the reply is chosen.
#[derive(Clone)]
pub(super) enum Script {
    /// Once the whole request is there.
    AtEnd(Choose),
    /// Once its head is there.
    AtHead(Choose),
    /// Where `refuses` says so, REFUSED_STREAM as soon as its head is there; else once the whole request is.
    Picky { refuses: Arc<dyn Fn(&Received) -> bool + Send + Sync>, choose: Choose },
}

/// Serves until the connection ends; its streams end with it.
pub(super) async fn serve(io: Box<dyn Io>, number: usize, script: &Script, state: &Arc<State>) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1000).initial_window_size(1 << 20).initial_connection_window_size(8 << 20);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    let going_away = Arc::new(Notify::new());
    let mut streams = JoinSet::new();
    let mut nth_on_connection = 0;
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = going_away.notified() => {
                connection.graceful_shutdown();
                continue;
            }
        };
        while streams.try_join_next().is_some() {}
        let Some(Ok((request, respond))) = accepted else { return };
        nth_on_connection += 1;
        let mut received = head(&request);
        (received.connection, received.nth_on_connection) = (number, nth_on_connection);
        let (script, state, going_away) = (script.clone(), Arc::clone(state), Arc::clone(&going_away));
        streams.spawn(stream(received, request.into_body(), respond, script, state, going_away));
    }
}

fn head(request: &Request<RecvStream>) -> Received {
    let uri = request.uri();
    Received {
        method: request.method().to_string(),
        target: uri.path_and_query().map_or_else(|| "*".to_owned(), ToString::to_string),
        version: "HTTP/2.0".to_owned(),
        authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
        fields: Fields::from(request.headers()),
        ..Received::default()
    }
}

async fn stream(
    mut received: Received,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    script: Script,
    state: Arc<State>,
    going_away: Arc<Notify>,
) {
    state.arrived(&mut received);
    // The library resets the stream when this is dropped before its end.
    let mut unread = None;
    let script = match script {
        Script::Picky { refuses, .. } if refuses(&received) => Script::AtHead(Arc::new(|_| H2Reply::refused())),
        Script::Picky { choose, .. } => Script::AtEnd(choose),
        script => script,
    };
    let reply = match script {
        Script::AtHead(choose) => {
            let reply = choose(&received);
            if reply.leaves_upload {
                unread = Some(body);
            } else {
                let state = Arc::clone(&state);
                tokio::spawn(async move { read_body(&mut received, &mut body, &state).await });
            }
            reply
        }
        Script::AtEnd(choose) | Script::Picky { choose, .. } => {
            read_body(&mut received, &mut body, &state).await;
            if received.body_end != BodyEnd::Complete {
                state.count(|counts| counts.aborted += 1);
                return;
            }
            choose(&received)
        }
    };
    if reply.goes_away {
        going_away.notify_one();
    }
    if perform(reply, &mut respond).await.is_err() {
        state.count(|counts| counts.aborted += 1);
    }
    drop(unread);
}

async fn read_body(received: &mut Received, body: &mut RecvStream, state: &State) {
    let mut data = Vec::new();
    received.body_end = loop {
        match body.data().await {
            Some(Ok(piece)) => {
                // A stream that ended meanwhile has no window to give back.
                let _ = body.flow_control().release_capacity(piece.len());
                state.count(|counts| counts.body_bytes += piece.len() as u64);
                data.extend_from_slice(&piece);
            }
            Some(Err(_)) => break BodyEnd::CutOff,
            None => break BodyEnd::Complete,
        }
    };
    if received.body_end == BodyEnd::Complete {
        match body.trailers().await {
            Ok(trailers) => received.trailers = trailers.as_ref().map(Fields::from).unwrap_or_default(),
            Err(_) => received.body_end = BodyEnd::CutOff,
        }
    }
    received.body = data.into();
    state.read(received);
}

/// Does what the reply says; an error when the other side ended the stream meanwhile.
async fn perform(reply: H2Reply, respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    let due = async {
        if let Some(gate) = &reply.once {
            gate.opened().await;
        }
        tokio::time::sleep(reply.delay).await;
        if reply.end == End::Never {
            pending::<()>().await;
        }
    };
    tokio::select! {
        () = due => {}
        ended = poll_fn(|cx| respond.poll_reset(cx)) => return Err(ended_by(ended)),
    }
    let Some((status, fields)) = &reply.head else {
        respond.send_reset(if let End::Reset(reason) = reply.end { reason } else { Reason::NO_ERROR });
        return Ok(());
    };
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(*status).expect("a script with a status of three digits");
    *response.headers_mut() = map(fields);
    let bare = reply.chunks.is_empty() && reply.trailers.is_empty() && reply.end == End::Orderly;
    let send = respond.send_response(response, bare)?;
    if bare { Ok(()) } else { send_body(reply, send).await }
}

async fn send_body(reply: H2Reply, mut send: SendStream<Bytes>) -> Result<(), h2::Error> {
    let ends_with_data = reply.trailers.is_empty() && reply.end == End::Orderly;
    let last = reply.chunks.len().saturating_sub(1);
    for (n, (delay, data)) in reply.chunks.into_iter().enumerate() {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            ended = poll_fn(|cx| send.poll_reset(cx)) => return Err(ended_by(ended)),
        }
        send.send_data(data, ends_with_data && n == last)?;
    }
    match reply.end {
        End::Reset(reason) => {
            // A reset discards what is still queued, and the library tells nobody when it has sent a frame.
            tokio::time::sleep(FLUSH).await;
            send.send_reset(reason);
            Ok(())
        }
        _ if ends_with_data => Ok(()),
        _ => send.send_trailers(map(&reply.trailers)),
    }
}

/// The other side's reset, or the connection's end, as one error.
fn ended_by(ended: Result<Reason, h2::Error>) -> h2::Error {
    ended.map_or_else(|error| error, h2::Error::from)
}

pub(crate) fn map(fields: &Fields) -> HeaderMap {
    let field = |(name, value): (&str, &str)| {
        let name: HeaderName = name.parse().unwrap_or_else(|_| panic!("no field name: {name:?}"));
        let value: HeaderValue = value.parse().unwrap_or_else(|_| panic!("no field value: {value:?}"));
        (name, value)
    };
    fields.iter().map(field).fold(HeaderMap::new(), |mut map, (name, value)| {
        map.append(name, value);
        map
    })
}
