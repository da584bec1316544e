//! The codec from outside: every rule, and what holds for all heads.

mod chunks;
mod properties;
mod requests;
mod responses;

use vestibule_http1::{Limits, Parsed, Progress, RequestFault, RequestHead, read_request};

const LIMITS: Limits = Limits { max_bytes: 64 * 1024, max_fields: 256 };

/// Reads a request head that is there as a whole.
fn request(bytes: &[u8]) -> Result<Parsed<RequestHead>, RequestFault> {
    read_request(bytes, &mut Progress::default(), &LIMITS)
}

/// Reads it as it grows byte by byte.
fn trickled(bytes: &[u8]) -> Result<Parsed<RequestHead>, RequestFault> {
    let mut progress = Progress::default();
    for end in 0..bytes.len() {
        match read_request(&bytes[..end], &mut progress, &LIMITS)? {
            Parsed::Incomplete => {}
            complete => return Ok(complete),
        }
    }
    read_request(bytes, &mut progress, &LIMITS)
}
