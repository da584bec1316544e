//! `${NAME}` and `${NAME:-fallback}` in strings.

/// Why a string cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfilled {
    /// The variable is not set and there is no fallback.
    Unset(String),
    /// `${` is not followed by a name and `}`.
    Malformed,
}

/// A string with everything filled in, and what was put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) text: String,
    pub(super) values: Vec<String>,
}

/// Fills in `text`; `None` when it names no variable. As in a shell, a fallback also stands in for an empty variable.
/// A value that is put in is not looked at again.
pub(super) fn fill(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Filled>, Unfilled> {
    let mut filled = Filled { text: String::new(), values: Vec::new() };
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        filled.text.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let end = after.find('}').ok_or(Unfilled::Malformed)?;
        let (name, fallback) = match after[..end].split_once(":-") {
            Some((name, fallback)) => (name, Some(fallback)),
            None => (&after[..end], None),
        };
        if !is_name(name) {
            return Err(Unfilled::Malformed);
        }
        let value = match (variable(name), fallback) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(fallback)) => fallback.to_owned(),
            (None, None) => return Err(Unfilled::Unset(name.to_owned())),
        };
        filled.text.push_str(&value);
        filled.values.push(value);
        rest = &after[end + 1..];
    }
    if filled.values.is_empty() {
        return Ok(None);
    }
    filled.text.push_str(rest);
    Ok(Some(filled))
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_a(text: &str) -> Result<Option<String>, Unfilled> {
        let variable = |name: &str| match name {
            "A" => Some("x".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        fill(text, variable).map(|filled| filled.map(|filled| filled.text))
    }

    #[test]
    fn variables_are_filled_in_wherever_they_stand() {
        assert_eq!(with_a("plain $A }"), Ok(None));
        assert_eq!(with_a("${A}"), Ok(Some("x".into())));
        assert_eq!(with_a("a${A}b${A}c"), Ok(Some("axbxc".into())));
    }

    #[test]
    fn a_fallback_stands_in_for_what_is_unset_or_empty() {
        assert_eq!(with_a("${B:-y}"), Ok(Some("y".into())));
        assert_eq!(with_a("${EMPTY:-y}"), Ok(Some("y".into())));
        assert_eq!(with_a("${A:-y}"), Ok(Some("x".into())));
        assert_eq!(with_a("${EMPTY}"), Ok(Some(String::new())));
        assert_eq!(with_a("${B:-}"), Ok(Some(String::new())));
    }

    #[test]
    fn what_cannot_be_filled_in_is_said() {
        assert_eq!(with_a("${B}"), Err(Unfilled::Unset("B".into())));
        for text in ["${", "${A", "${}", "${1A}", "${A-B}", "${A:y}"] {
            assert_eq!(with_a(text), Err(Unfilled::Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_values_are_not_read_again(text in ".{0,40}", value in ".{0,10}") {
            let _ = fill(&text, |_| Some(value.clone()));
            let once = fill("${A}", |_| Some("${A}".to_owned()));
            prop_assert_eq!(once.map(|f| f.map(|f| f.text)), Ok(Some("${A}".to_owned())));
        }
    }
}
