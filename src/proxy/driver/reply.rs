//! The reply on its way to the client: interim heads, the head, what was kept of the body, and what flows on behind it.

use super::call::Reply;
use super::intake::{self, Intake};
use super::keep::{Body, Rest};
use super::unread::{self, Unread};
use crate::answer::{close_when_done, write_body, write_piece};
use crate::connections::Reason;
use crate::exchange::Exchange;
use crate::proxy::{failure, response};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession as Session;
use pingora::{ErrorSource, Result};
use std::time::Duration;
use vestibule_plugin::ResponseHead;

/// How long the rest of a request body may take once its response is complete.
const LATE_UPLOAD: Duration = Duration::from_secs(5);

/// Writes interim heads, in order.
pub async fn write_interim(session: &mut Session, heads: Vec<ResponseHeader>) -> Result<()> {
    for head in heads {
        let written = Box::pin(session.write_response_header(Box::new(head)));
        written.await.map_err(pingora::Error::into_down)?;
    }
    Ok(())
}

/// Sends the reply: head, what was kept, and what flows on behind it.
pub async fn write(
    session: &mut Session,
    exchange: &mut Exchange,
    reply: Reply,
    intake: Option<Box<Intake>>,
) -> Result<()> {
    write_interim(session, reply.interim).await?;
    let mut head = reply.head;
    response::finish_head(ResponseHead { status: &mut head.status, fields: &mut head.headers }, exchange)?;
    close_when_done(session, exchange);

    let reason = head.extensions.remove::<Reason>();
    let mut head = Box::new(ResponseHeader::from(*head));
    if let Some(Reason(reason)) = reason {
        // It was valid when it came.
        let _ = head.set_reason_phrase(Some(&reason));
    }
    if exchange.request.version != Version::HTTP_2 {
        head.set_version(Version::HTTP_11);
    }

    let bodiless = exchange.request.method == Method::HEAD
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match reply.body {
        Body::Whole { bytes, trailers } => {
            if !bodiless {
                head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()))?;
            }
            let ends = trailers.is_none() || exchange.request.version != Version::HTTP_2;
            let empty = bodiless || bytes.is_empty();
            if empty
                && ends
                && let Session::H2(h2) = session
            {
                // The head ends the stream: an empty DATA frame would contradict the length that a 304 may name.
                return h2.write_response_header(head, true).map_err(pingora::Error::into_down);
            }
            session.write_response_header(head).await.map_err(pingora::Error::into_down)?;
            if !empty {
                write_body(session, exchange, bytes, ends).await?;
            }
            if let Some(trailers) = trailers.filter(|_| !ends) {
                session.write_response_trailers(trailers).await.map_err(pingora::Error::into_down)?;
            }
        }
        Body::Flowing { first, rest } => {
            if !bodiless {
                frame_flow(&mut head, exchange, session);
            }
            session.write_response_header(head).await.map_err(pingora::Error::into_down)?;
            flow(session, exchange, first, rest, intake).await?;
        }
    }
    session.finish_body().await.map_err(pingora::Error::into_down)
}

/// A body of unknown length is chunked for HTTP/1.1 and ends with the connection for HTTP/1.0.
fn frame_flow(head: &mut ResponseHeader, exchange: &Exchange, session: &mut Session) {
    if head.headers.contains_key(header::CONTENT_LENGTH) {
        return;
    }
    match exchange.request.version {
        Version::HTTP_11 => {
            // Cannot fail: name and value are valid.
            let _ = head.insert_header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Version::HTTP_2 => {}
        _ => {
            session.set_keepalive(None);
            exchange.connection.begin_open_body();
        }
    }
}

/// Passes a body on as it comes, and the rest of the client's body the other way.
async fn flow(
    session: &mut Session,
    exchange: &mut Exchange,
    first: Vec<Bytes>,
    mut rest: Box<Rest>,
    mut intake: Option<Box<Intake>>,
) -> Result<()> {
    for chunk in first {
        write_piece(session, exchange, chunk, false).await?;
    }
    rest.room = None;
    let unread = Unread::of(exchange);
    loop {
        let piece = {
            let (story, mut client) = exchange.split();
            tokio::select! {
                biased;
                piece = unread::next(&mut rest, story, unread.as_ref()) => piece,
                gone = intake::attend(session, &mut client, intake.as_deref_mut()) => return Err(gone),
            }
        };
        match piece {
            Ok((Some(chunk), _room)) => write_piece(session, exchange, chunk, false).await?,
            Ok((None, _)) => break,
            Err(error) if error.esource == ErrorSource::Downstream => return Err(error),
            Err(error) => {
                exchange.story.end_attempt(exchange.host.clock.now(), Some(failure::error_type(&error)));
                return Err(error.into_up());
            }
        }
    }

    let trailers = rest.trailers().await.map_err(pingora::Error::into_up)?;
    exchange.story.end_attempt(exchange.host.clock.now(), None);
    match trailers {
        Some(trailers) if exchange.request.version == Version::HTTP_2 => {
            session.write_response_trailers(trailers).await.map_err(pingora::Error::into_down)?;
        }
        _ => session.write_response_body(Bytes::new(), true).await.map_err(pingora::Error::into_down)?,
    }

    exchange.connection.end_open_body();

    if let Some(intake) = intake
        && !rest.request_is_sent()
    {
        Box::pin(send_rest(session, exchange, &mut rest, *intake)).await;
    }
    rest.release(&exchange.host.connector).await;
    Ok(())
}

/// The response is complete; an application that answered early may still want the rest of the body, and gets what comes
/// of it in a short while.
async fn send_rest(session: &mut Session, exchange: &mut Exchange, rest: &mut Rest, mut intake: Intake) {
    exchange.connection.mark_answered();
    let (story, mut client) = exchange.split();
    tokio::select! {
        biased;
        () = rest.send_rest(story) => {}
        // The response was whole: nobody is told of what came after it.
        _gone = intake::attend(session, &mut client, Some(&mut intake)) => {}
        () = tokio::time::sleep(LATE_UPLOAD) => {}
    }
}
