//! A request head of HTTP/1, read by the rules of the edge. Pure.

use super::refused::Why;
use crate::edge::target::{MAX_TARGET, settle};
use bytes::Bytes;
use std::borrow::Cow;
use vestibule_http1::{HeadFault, Known, Limits, Parsed, Progress, RequestHead};

/// Longest field name that the types behind hold.
const MAX_NAME: usize = 32 * 1024;

/// Reads a head at the start of `bytes` into a blank one, and gives its target in origin-form, encoded, where that is not the one
/// that came. `tls` is that of the connection.
///
/// # Errors
///
/// Why it is refused.
pub fn read(
    head: &mut RequestHead,
    bytes: &[u8],
    progress: &mut Progress,
    limits: &Limits,
    tls: bool,
) -> Result<Parsed<Option<Bytes>>, Why> {
    if head.read(bytes, progress, limits).map_err(Why::Fault)? == Parsed::Incomplete {
        return Ok(Parsed::Incomplete);
    }

    let (method, sent) = (head.method(bytes), head.target(bytes));
    let hosts = head.fields().all(bytes, Known::Host);
    let target = settle(method, sent, head.version(), tls, hosts).map_err(Why::Target)?;
    if method == b"CONNECT" {
        return Err(Why::Connect);
    }
    if target.len() > MAX_TARGET || head.fields().iter(bytes).any(|(name, _)| name.len() > MAX_NAME) {
        return Err(Why::Fault(HeadFault::TooManyBytes.into()));
    }
    let target = match target {
        Cow::Borrowed(same) if same.len() == sent.len() => None,
        Cow::Borrowed(part) => Some(Bytes::copy_from_slice(part)),
        Cow::Owned(settled) => Some(settled.into()),
    };
    Ok(Parsed::Complete(target))
}
