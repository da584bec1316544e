//! What the engine gets to read: a head that it cannot read differently. Pure.

use super::refused::Why;
use crate::edge::target::{BadTarget, MAX_TARGET, settle};
use tokio::io::ReadBuf;
use vestibule_http1::{Framing, HeadFault, Known, Limits, Parsed, Progress, read_request};

/// Longest field name that the engine is given.
const MAX_NAME: usize = 32 * 1024;

/// A head on its way to the engine.
#[derive(Default)]
pub struct Handover {
    bytes: Vec<u8>,
    taken: usize,
}

impl Handover {
    /// Of this head.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, taken: 0 }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// Gives as much as there is room for.
    pub fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let size = buf.remaining().min(self.bytes.len() - self.taken);
        buf.put_slice(&self.bytes[self.taken..self.taken + size]);
        self.taken += size;
        if self.is_empty() {
            // A connection at rest holds nothing.
            *self = Self::default();
        }
    }
}

/// What the guard makes of a whole head.
pub enum Verdict {
    /// The engine may read it as it came; its length and framing.
    AsItCame(usize, Framing),
    /// The engine reads `head` instead of so many bytes.
    Rewritten(usize, Framing, Vec<u8>),
}

/// Reads a head by the rules of the edge, and makes of it what the engine can only read the same.
pub fn judge(bytes: &[u8], progress: &mut Progress, limits: &Limits, tls: bool) -> Result<Option<Verdict>, Why> {
    let head = match read_request(bytes, progress, limits).map_err(Why::Fault)? {
        Parsed::Complete(head) => head,
        Parsed::Incomplete => return Ok(None),
    };

    let (method, sent) = (head.method(bytes), head.target(bytes));
    if method == b"CONNECT" {
        return Err(Why::Connect);
    }
    let target = settle(method, sent, head.version(), tls, head.fields().all(bytes, Known::Host));
    let target = target.map_err(|bad| match bad {
        BadTarget::Host => Why::BadHost,
        BadTarget::OtherAuthority => Why::BadTarget("the target names another authority than Host"),
        BadTarget::Form => Why::BadTarget("the target is neither a path nor an http or https URL"),
        BadTarget::Asterisk => Why::BadTarget("`*` is a target for OPTIONS only"),
    })?;

    let carried = &*target;
    // The engine's types hold no longer ones.
    if carried.len() > MAX_TARGET || head.fields().iter(bytes).any(|(name, _)| name.len() > MAX_NAME) {
        return Err(Why::Fault(HeadFault::TooManyBytes.into()));
    }
    if carried == sent {
        return Ok(Some(Verdict::AsItCame(head.len(), head.framing())));
    }

    let at = sent.as_ptr() as usize - bytes.as_ptr() as usize;
    let rewritten = [&bytes[..at], carried, &bytes[at + sent.len()..head.len()]].concat();
    Ok(Some(Verdict::Rewritten(head.len(), head.framing(), rewritten)))
}
