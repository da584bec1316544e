//! The reply on its way to the client: interim heads, the head, what was kept of the body, and what flows on behind it.

use super::call::Reply;
use super::intake::{self, Intake};
use super::keep::{Body, Rest};
use super::unread::{self, Unread};
use crate::answer::{close_when_done, write_body, write_piece};
use crate::downstream::Downstream;
use crate::exchange::Exchange;
use crate::proxy::{failure, response};
use crate::response_head::ResponseHead;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use pingora::{ErrorSource, Result};
use std::time::Duration;
use vestibule_plugin::Fields;

/// How long the rest of a request body may take once its response is complete.
const LATE_UPLOAD: Duration = Duration::from_secs(5);

/// Writes interim heads, in order.
pub async fn write_interim(downstream: &mut Downstream, heads: Vec<ResponseHead>) -> Result<()> {
    for head in heads {
        Box::pin(downstream.write_head(head)).await?;
    }
    Ok(())
}

/// Sends the reply: head, what was kept, and what flows on behind it.
pub async fn write(
    downstream: &mut Downstream,
    exchange: &mut Exchange,
    reply: Reply,
    intake: Option<Box<Intake>>,
) -> Result<()> {
    write_interim(downstream, reply.interim).await?;
    let mut head = reply.head;
    response::finish_head(head.edited(), exchange)?;
    close_when_done(downstream, exchange);

    let bodiless = exchange.request.method == Method::HEAD
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match reply.body {
        Body::Whole { bytes, trailers } => {
            if !bodiless {
                head.fields.set(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            }
            let empty = bodiless || bytes.is_empty();
            match trailers.filter(|_| !bodiless && exchange.request.takes_trailers) {
                // The head ends a stream of HTTP/2: an empty DATA frame would contradict the length that a 304 may name.
                None if empty => downstream.write_last_head(*head).await?,
                None => {
                    downstream.write_head(*head).await?;
                    write_body(downstream, exchange, bytes, true).await?;
                }
                Some(trailers) => {
                    chunk_for_trailers(&mut head.fields, exchange);
                    downstream.write_head(*head).await?;
                    write_body(downstream, exchange, bytes, false).await?;
                    downstream.write_trailers(trailers).await?;
                }
            }
        }
        Body::Flowing { first, rest } => {
            if !bodiless {
                frame_flow(&mut head, exchange);
            }
            downstream.write_head(*head).await?;
            flow(downstream, exchange, first, rest, intake).await?;
        }
    }
    downstream.finish().await
}

/// In HTTP/1.1 trailers stand behind chunks.
fn chunk_for_trailers(fields: &mut Fields, exchange: &Exchange) {
    if exchange.request.version == Version::HTTP_11 {
        fields.remove(header::CONTENT_LENGTH);
        fields.set(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// A body of unknown length is chunked for HTTP/1.1 and ends with the connection for HTTP/1.0.
fn frame_flow(head: &mut ResponseHead, exchange: &Exchange) {
    if head.fields.has(header::CONTENT_LENGTH) {
        return;
    }
    match exchange.request.version {
        Version::HTTP_11 => {
            head.fields.set(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Version::HTTP_2 => {}
        _ => {
            exchange.connection.begin_open_body();
        }
    }
}

/// Passes a body on as it comes, and the rest of the client's body the other way.
async fn flow(
    downstream: &mut Downstream,
    exchange: &mut Exchange,
    first: Vec<Bytes>,
    mut rest: Box<Rest>,
    mut intake: Option<Box<Intake>>,
) -> Result<()> {
    for chunk in first {
        write_piece(downstream, exchange, chunk, false).await?;
    }
    rest.room = None;
    let unread = Unread::of(exchange);
    loop {
        let piece = {
            let (story, mut client) = exchange.split();
            tokio::select! {
                biased;
                piece = unread::next(&mut rest, story, unread.as_ref()) => piece,
                gone = intake::attend(downstream, &mut client, intake.as_deref_mut()) => return Err(gone),
            }
        };
        match piece {
            Ok((Some(chunk), _room)) => write_piece(downstream, exchange, chunk, false).await?,
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
        Some(trailers) if exchange.request.takes_trailers => downstream.write_trailers(trailers).await?,
        _ => downstream.write_body(Bytes::new(), true).await?,
    }

    exchange.connection.end_open_body();

    if let Some(intake) = intake
        && !rest.request_is_sent()
    {
        Box::pin(send_rest(downstream, exchange, &mut rest, *intake)).await;
    }
    rest.release(&exchange.host.connector).await;
    Ok(())
}

/// The response is complete; an application that answered early may still want the rest of the body, and gets what comes
/// of it in a short while.
async fn send_rest(downstream: &mut Downstream, exchange: &mut Exchange, rest: &mut Rest, mut intake: Intake) {
    exchange.connection.mark_answered();
    let (story, mut client) = exchange.split();
    tokio::select! {
        biased;
        () = rest.send_rest(story) => {}
        // The response was whole: nobody is told of what came after it.
        _gone = intake::attend(downstream, &mut client, Some(&mut intake)) => {}
        () = tokio::time::sleep(LATE_UPLOAD) => {}
    }
}
