//! Text from a client, made safe to store. Lengths count Unicode scalars.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

/// Why a value cannot be what it was given for, in words for the client. Completes "this field …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid(Cow<'static, str>);

impl Invalid {
    /// A reason; it must not repeat the value.
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text without U+0000 whose length lies in `scalars`.
pub(crate) fn bounded(text: &str, scalars: RangeInclusive<usize>) -> Result<String, Invalid> {
    // PostgreSQL cannot store U+0000 and SQLite can; refusing it keeps both alike.
    if text.contains('\0') {
        return Err(Invalid::new("must not contain U+0000"));
    }
    if !scalars.contains(&text.chars().count()) {
        return Err(Invalid::new(match scalars.start() {
            0 => format!("must have at most {} characters", scalars.end()),
            least => format!("must have {least} to {} characters", scalars.end()),
        }));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_counts_scalars_and_not_bytes() {
        assert!(bounded("äöü", 1..=3).is_ok());
        assert!(bounded("äöüß", 1..=3).is_err());
    }

    #[test]
    fn both_ends_of_a_length_are_part_of_it() {
        assert!(bounded("", 1..=2).is_err());
        assert!(bounded("a", 1..=2).is_ok());
        assert!(bounded("ab", 1..=2).is_ok());
        assert!(bounded("abc", 1..=2).is_err());
    }

    #[test]
    fn u_0000_is_refused() {
        assert!(bounded("a\0b", 0..=9).is_err());
    }
}
