//! What hides secrets, for fuzzing. No part of the API.

pub use crate::redact::{MOST_STRING_BYTES, Redactor};
