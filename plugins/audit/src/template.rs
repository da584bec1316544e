//! Actions and resources: texts with parameters of the route's path in them. Pure.

use crate::redact::Redactor;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use vestibule_plugin::methods;

/// Most bytes of a value that is filled in.
const MAX_VALUE: usize = 128;
/// Most bytes of a template.
const MAX_TEMPLATE: usize = 256;
/// The one parameter that is not of the path.
const METHOD: &str = "method";

/// A text with places to fill.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    Method,
    /// A parameter of the path, by its place there.
    Parameter(usize),
}

impl Template {
    /// Reads `text`, whose parameters are those of `path`. What is wrong stands under it.
    pub(crate) fn parse(text: &str, path: &PathTemplate) -> Result<Self, String> {
        if text.len() > MAX_TEMPLATE {
            return Err(format!("expected at most {MAX_TEMPLATE} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err("control characters cannot stand here".to_owned());
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("`{` is not closed by `}`")?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(match path.place(name) {
                Some(place) => Piece::Parameter(place),
                None if name == METHOD => Piece::Method,
                None => return Err(path.expected(name)),
            });
            rest = behind;
        }
        if rest.contains('}') {
            return Err("`}` closes nothing".to_owned());
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// `<route>.<method>`
    pub(crate) fn action_of(route: &str) -> Self {
        Self(vec![Piece::Text(format!("{route}.")), Piece::Method])
    }

    /// `route:<name>`
    pub(crate) fn resource_of(route: &str) -> Self {
        Self(vec![Piece::Text(format!("route:{route}"))])
    }

    /// With the parameters of `path`, as the route matched it, and the method in lower case.
    pub(crate) fn fill(&self, template: &PathTemplate, path: &str, method: &str, redactor: &Redactor) -> String {
        let mut filled = String::new();
        let values = self.0.iter().any(|piece| matches!(piece, Piece::Parameter(_))).then(|| template.values(path));
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                // Names that clients make up are no actions.
                Piece::Method if !methods::is_registered(method) => filled.push_str("_other"),
                Piece::Method => filled.extend(method.chars().map(|c| c.to_ascii_lowercase())),
                Piece::Parameter(place) => {
                    let sent = values.as_ref().and_then(|values| values.get(*place)).copied().unwrap_or_default();
                    let decoded = percent_decode_str(sent).decode_utf8_lossy();
                    let clean: Cow<'_, str> = match decoded.chars().any(char::is_control) {
                        true => decoded.chars().filter(|c| !c.is_control()).collect(),
                        false => decoded,
                    };
                    // Hidden first, then cut: half a secret is still one.
                    let hidden = redactor.named(&template.names[*place], &clean);
                    filled.push_str(&hidden[..hidden.floor_char_boundary(MAX_VALUE)]);
                }
            }
        }
        filled
    }
}

/// A route's path: which of its segments are parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PathTemplate {
    segments: Vec<Segment>,
    names: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    Literal,
    /// `prefix{name}`: the bytes before the parameter.
    One(usize),
    Rest,
}

impl PathTemplate {
    /// Of a path that the host has checked.
    pub(crate) fn new(path: &str) -> Self {
        let (mut segments, mut names) = (Vec::new(), Vec::new());
        for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
            segments.push(match segment.split_once('{') {
                None => Segment::Literal,
                Some((prefix, parameter)) => {
                    let name = parameter.trim_end_matches('}');
                    names.push(name.trim_start_matches('*').to_owned());
                    if name.starts_with('*') { Segment::Rest } else { Segment::One(prefix.len()) }
                }
            });
        }
        Self { segments, names }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| own == name)
    }

    fn expected(&self, name: &str) -> String {
        let known: Vec<String> = self.names.iter().map(|name| format!("`{{{name}}}`")).collect();
        match known.is_empty() {
            true => format!("`{{{name}}}` is not in the path of this route; only `{{method}}` is known"),
            false => {
                format!("`{{{name}}}` is not in the path of this route; expected `{{method}}` or {}", known.join(", "))
            }
        }
    }

    /// The parameters of a path that this template matches, as they stand there.
    fn values<'a>(&self, path: &'a str) -> Vec<&'a str> {
        let mut values = Vec::with_capacity(self.names.len());
        let mut rest = path.strip_prefix('/').unwrap_or(path);
        for segment in &self.segments {
            let (own, behind) = rest.split_once('/').unwrap_or((rest, ""));
            match segment {
                Segment::Literal => {}
                Segment::One(prefix) => values.push(own.get(*prefix..).unwrap_or_default()),
                Segment::Rest => values.push(rest),
            }
            rest = behind;
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(path: &str, text: &str, sent: &str) -> String {
        let path = PathTemplate::new(path);
        let template = Template::parse(text, &path).expect("a template");
        template.fill(&path, sent, "POST", &Redactor::new(["token"]))
    }

    /// AUD-06: parameters are filled, decoded once, cut and cleaned.
    #[test]
    fn parameters_are_filled() {
        assert_eq!(fill("/auth/{*rest}", "session:{rest}", "/auth/a/b"), "session:a/b");
        assert_eq!(fill("/o/{id}/x/{n}", "{method}:{n}/{id}", "/o/7/x/8"), "post:8/7");
        assert_eq!(fill("/o/v{id}", "o:{id}", "/o/v9/"), "o:9");
        assert_eq!(fill("/o/{id}", "o:{id}", "/o/a%2Fb%2541"), "o:a/b%41");
        assert_eq!(fill("/o/{id}", "o:{id}", "/o/a%0d%0ab"), "o:ab");
        assert_eq!(fill("/o/{id}", "o:{id}", &format!("/o/{}", "é".repeat(200))), format!("o:{}", "é".repeat(64)));
        assert_eq!(fill("/o/{id}", "{{id}}".trim_matches(['{', '}']), "/o/1"), "id");
    }

    #[test]
    fn parameters_are_hidden_by_name_and_by_pattern() {
        assert_eq!(fill("/reset/{reset_token}", "r:{reset_token}", "/reset/abc"), "r:[redacted]");
        assert_eq!(fill("/u/{id}", "u:{id}", "/u/eve@example.com"), "u:[email]");
    }

    #[test]
    fn unknown_parameters_are_told() {
        let path = PathTemplate::new("/o/{id}");
        for wrong in ["{nope}", "{id", "id}", "{}"] {
            assert!(Template::parse(wrong, &path).is_err(), "{wrong}");
        }
        let told = Template::parse("{nope}", &path).expect_err("unknown");
        assert_eq!(told, "`{nope}` is not in the path of this route; expected `{method}` or `{id}`");
    }
}
