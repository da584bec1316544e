//! A reply as steps: what is written when. Pure, so that the script can be checked without a socket.

use super::reply::{Body, Cut, EventText, Reply, Then};
use crate::fields::Fields;
use crate::gate::Gate;
use bytes::{Bytes, BytesMut};
use std::time::Duration;

/// One thing an origin does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Wait(Duration),
    Until(Gate),
    Send(Bytes),
    /// Chunks of events until the gate opens.
    Events {
        interval: Duration,
        stop: Gate,
        event: EventText,
    },
    Echo,
    Forever,
}

/// What an origin does with one request.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) then: Then,
}

impl Plan {
    pub(super) fn of(reply: &Reply, method: &str) -> Self {
        let mut steps = reply.before.clone();
        let mut message = match &reply.body {
            Body::Raw(bytes) => vec![Step::Send(bytes.clone())],
            Body::Never => vec![Step::Forever],
            body => {
                let mut message = vec![Step::Send(head(reply.status, &framed(reply)))];
                if method != "HEAD" {
                    message.extend(body_steps(body));
                }
                message
            }
        };
        match reply.cut {
            None => {}
            Some(Cut::Head(bytes)) => message = first_bytes(message, bytes),
            Some(Cut::Body(bytes)) => {
                let body = message.split_off(1);
                message.extend(first_bytes(body, bytes));
            }
        }
        steps.extend(message);
        Self { steps, then: reply.then }
    }
}

/// The fields with what the body and the end of the connection need, unless the script said it itself.
fn framed(reply: &Reply) -> Fields {
    let mut fields = reply.fields.clone();
    let silent = fields.has("content-length") || fields.has("transfer-encoding");
    let bodiless = matches!(reply.status, 100..=199 | 204 | 304);
    match &reply.body {
        _ if silent => {}
        Body::Whole(body) if !bodiless => fields.add("content-length", body.len().to_string()),
        Body::Chunked { .. } | Body::Events { .. } => fields.add("transfer-encoding", "chunked"),
        _ => {}
    }
    if reply.then == Then::Close && !fields.has("connection") {
        fields.add("connection", "close");
    }
    fields
}

fn body_steps(body: &Body) -> Vec<Step> {
    match body {
        Body::Whole(body) | Body::UntilClose(body) => vec![Step::Send(body.clone())],
        Body::Chunked { chunks, trailers } => {
            let mut steps = Vec::with_capacity(chunks.len() * 2 + 1);
            for (delay, data) in chunks {
                if !delay.is_zero() {
                    steps.push(Step::Wait(*delay));
                }
                steps.push(Step::Send(chunk(data)));
            }
            let mut last = BytesMut::from("0\r\n");
            write_fields(&mut last, trailers);
            steps.push(Step::Send(last.freeze()));
            steps
        }
        Body::Events { interval, stop, event } => vec![
            Step::Events { interval: *interval, stop: stop.clone(), event: event.clone() },
            Step::Send(Bytes::from_static(b"0\r\n\r\n")),
        ],
        Body::Echo => vec![Step::Echo],
        Body::Raw(_) | Body::Never => Vec::new(),
    }
}

/// `steps` up to this many bytes sent.
fn first_bytes(steps: Vec<Step>, mut bytes: usize) -> Vec<Step> {
    let mut kept = Vec::new();
    for step in steps {
        match step {
            Step::Send(data) if data.len() >= bytes => {
                kept.push(Step::Send(data.slice(..bytes)));
                break;
            }
            Step::Send(data) => {
                bytes -= data.len();
                kept.push(Step::Send(data));
            }
            step => kept.push(step),
        }
    }
    kept
}

/// A head with `status` and exactly these fields.
pub(super) fn head(status: u16, fields: &Fields) -> Bytes {
    let code = http::StatusCode::from_u16(status).ok();
    let reason = code.and_then(|code| code.canonical_reason()).unwrap_or("Unnamed");
    let mut head = BytesMut::from(format!("HTTP/1.1 {status} {reason}\r\n").as_str());
    write_fields(&mut head, fields);
    head.freeze()
}

/// Field lines and the blank line.
fn write_fields(out: &mut BytesMut, fields: &Fields) {
    for (name, value) in fields.iter() {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// `data` as one chunk.
pub(super) fn chunk(data: &[u8]) -> Bytes {
    let mut out = BytesMut::from(format!("{:x}\r\n", data.len()).as_str());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(reply: &Reply, method: &str) -> String {
        let bytes = Plan::of(reply, method).steps.into_iter().filter_map(|step| match step {
            Step::Send(bytes) => Some(bytes),
            _ => None,
        });
        String::from_utf8(bytes.flatten().collect()).expect("scripts are text")
    }

    #[test]
    fn a_body_gets_its_length_and_head_gets_no_body() {
        assert_eq!(sent(&Reply::ok("hi"), "GET"), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        assert_eq!(sent(&Reply::ok("hi"), "HEAD"), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        assert_eq!(sent(&Reply::new(304), "GET"), "HTTP/1.1 304 Not Modified\r\n\r\n");
    }

    #[test]
    fn a_script_may_lie_about_its_length() {
        let reply = Reply::ok("hi").field("content-length", "9");
        assert_eq!(sent(&reply, "GET"), "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi");
    }

    #[test]
    fn chunks_and_trailers_follow_in_order() {
        let reply = Reply::new(200).chunks_of(2, Duration::ZERO, "abc").trailer("x-sum", "6");
        let expected =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 6\r\n\r\n";
        assert_eq!(sent(&reply, "GET"), expected);
    }

    #[test]
    fn an_interim_response_comes_first() {
        let reply = Reply::new(204).interim(103, &[("link", "</a>")]);
        assert_eq!(
            sent(&reply, "GET"),
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
        );
    }

    #[test]
    fn it_dies_where_it_was_told() {
        assert_eq!(sent(&Reply::dying(), "GET"), "");
        assert_eq!(sent(&Reply::ok("hello").cut(Cut::Head(5)), "GET"), "HTTP/");
        let cut = |bytes| sent(&Reply::ok("hello").cut(Cut::Body(bytes)), "GET");
        assert_eq!(cut(0), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
        assert_eq!(cut(3), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel");
        assert_eq!(Plan::of(&Reply::dying(), "GET").then, Then::HangUp);
    }
}
