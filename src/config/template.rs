//! Path templates of routes: `{name}` is one segment, `{*name}` the rest.

use crate::config::settings::PathCase;
use matchit::{InsertError, Router};
use std::collections::BTreeSet;

/// Most bytes of a template.
const MAX_BYTES: usize = 1024;

/// Why a text is no template; stands under it.
pub(super) fn refusal(path: &str) -> Option<String> {
    if path.len() > MAX_BYTES {
        return Some(format!("expected at most {MAX_BYTES} bytes"));
    }
    if !path.starts_with('/') {
        return Some("a path starts with `/`".to_owned());
    }
    let literal = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@/{}".contains(c);
    if let Some(other) = path.chars().find(|c| !literal(*c)) {
        let why = "a path that needs it is matched by `{name}` or `{*name}`";
        return Some(format!("`{}` cannot stand in a path; {why}", other.escape_default()));
    }
    if path.contains("//") {
        return Some("repeated `/` are merged before matching, so this never matches".to_owned());
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Some("`.` and `..` are resolved before matching, so this never matches".to_owned());
    }
    if path.contains("{{") || path.contains("}}") {
        return Some("braces stand around a name, as in `{id}`".to_owned());
    }
    let mut names = BTreeSet::new();
    for name in parameters(path) {
        let plain = name.strip_prefix('*').unwrap_or(name);
        if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Some("the name in braces consists of letters, digits and `_`".to_owned());
        }
        if !names.insert(plain) {
            return Some(format!("`{plain}` stands here twice"));
        }
    }
    match Router::new().insert(path, ()) {
        Ok(()) => None,
        Err(InsertError::InvalidCatchAll) => Some("`{*name}` is the end of a path".to_owned()),
        Err(InsertError::InvalidParamSegment) => Some("a segment holds one `{name}`, and nothing after it".to_owned()),
        Err(_) => Some("braces stand around a name, as in `{id}`".to_owned()),
    }
}

fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).map(|rest| rest.split_once('}').map_or(rest, |(name, _)| name))
}

/// The template with its parameters numbered and, where paths are folded, its letters lowered: templates of one shape
/// match the same paths.
pub fn shape(path: &str, path_case: PathCase) -> String {
    let mut shape = String::with_capacity(path.len());
    let mut pieces = path.split('{');
    let fold = |text: &str| match path_case {
        PathCase::Sensitive => text.to_owned(),
        PathCase::Insensitive => text.to_ascii_lowercase(),
    };
    shape.push_str(&fold(pieces.next().unwrap_or_default()));
    for (number, piece) in pieces.enumerate() {
        let (name, literal) = piece.split_once('}').unwrap_or((piece, ""));
        let rest = if name.starts_with('*') { "*" } else { "" };
        shape.push_str(&format!("{{{rest}p{number}}}{}", fold(literal)));
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn templates_are_told_from_what_never_matches() {
        for path in ["/", "/a", "/a/", "/a/{id}", "/a/{id}/b", "/{*rest}", "/a-{id}", "/v1.2/~x/(a)", "/a/{id}/{*rest}"]
        {
            assert_eq!(refusal(path), None, "{path}");
        }
        for path in [
            "",
            "a",
            "/a b",
            "/a%20b",
            "/a?x",
            "/a;b",
            "/ä",
            "//a",
            "/a/../b",
            "/./a",
            "/{",
            "/{}",
            "/{*}",
            "/{a}{b}",
            "/{a}b",
            "/{*rest}/a",
            "/{a}/{a}",
            "/{{a}}",
            "/}",
            "/{a b}",
        ] {
            assert!(refusal(path).is_some(), "{path}");
        }
    }

    #[test]
    fn names_of_parameters_do_not_make_another_shape() {
        let shape = |path| super::shape(path, PathCase::Sensitive);
        assert_eq!(shape("/a/{id}/{*rest}"), shape("/a/{x}/{*y}"));
        assert_ne!(shape("/a/{id}"), shape("/a/{*id}"));
        assert_ne!(shape("/a"), shape("/A"));
        assert_eq!(super::shape("/A/{Id}", PathCase::Insensitive), "/a/{p0}");
    }

    proptest! {
        #[test]
        fn the_shape_of_a_template_is_a_template(path in "(/[a-c{}*.]{0,4}){1,4}") {
            if refusal(&path).is_none() {
                prop_assert_eq!(refusal(&shape(&path, PathCase::Sensitive)), None);
            }
        }
    }
}
