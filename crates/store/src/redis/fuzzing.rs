//! What a server says as functions of bytes, for fuzzing. No part of the API.

use super::bounded::{Bounded, ReplyBound};
use super::record;
use super::script::Call;
use crate::records::{Begun, Fingerprint, Hold, Live, Name, Owner, Payer};
use redis::Value;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};

const HOLD: Hold = Hold {
    name: Name([1; 16]),
    fingerprint: Fingerprint([2; 32]),
    owner: Owner([3; 16]),
    trace_id: 4,
    payer: Payer { principal: None, address: None },
};
const PIECE: usize = 16;

/// How many bytes of a stream the parser gets to see before too much is announced.
pub fn bounded(stream: &[u8]) -> usize {
    let mut reader = pin!(Bounded::new(stream, ReplyBound::default()));
    let mut context = Context::from_waker(Waker::noop());
    let mut passed = 0;
    loop {
        let mut piece = [0; PIECE];
        let mut buffer = ReadBuf::new(&mut piece);
        match reader.as_mut().poll_read(&mut context, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => passed += buffer.filled().len(),
            _ => return passed,
        }
    }
}

/// Whether the parser takes the bytes for one whole reply.
pub fn is_reply(bytes: &[u8]) -> bool {
    redis::parse_redis_value(bytes).is_ok()
}

/// How many of the scripts take the reply for their own answer, once as it is and once under their tag.
pub fn script_answers(bytes: &[u8]) -> usize {
    let Ok(value) = redis::parse_redis_value(bytes) else { return 0 };
    let minute = Duration::from_secs(60);
    let calls = [
        Call::renew("fuzzing", &HOLD, minute, minute),
        Call::release("fuzzing", &HOLD),
        Call::forget("fuzzing", HOLD.name, Live::Spare),
    ];
    let taken = |call: &Call| {
        let tag = call.by_name().args_iter().last().map(|tag| match tag {
            redis::Arg::Simple(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        });
        let tagged = Value::Array(vec![Value::BulkString(tag.unwrap_or_default()), value.clone()]);
        [value.clone(), tagged].into_iter().filter(|value| call.answer(value.clone()).is_ok()).count()
    };
    calls.iter().map(taken).sum()
}

/// What a record of a request with this fingerprint says.
pub fn record(value: &[u8], fingerprint: [u8; 32]) -> Option<Begun> {
    record::decode(value.to_vec(), &Fingerprint(fingerprint))
}
