//! Header fields as they stood on the wire: in order, with their case.

use std::fmt;

/// Fields of a message or a trailer section, in order, names as written. Values are lossy UTF-8 without outer blanks.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The lines between a start line and the blank line, each ending in CRLF. A line without a colon is kept as a
    /// name with an empty value, so that a test can see it.
    pub fn parse(lines: &str) -> Self {
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
        };
        Self(lines.split("\r\n").filter(|line| !line.is_empty()).map(field).collect())
    }

    /// Adds a field at the end.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The first value of `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All values of `name`, whatever its case, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether there is a field `name`, whatever its case.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many lines are named `name`, whatever its case.
    pub fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// Whether one of the comma-separated members of `name` is `token`, whatever its case.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name).flat_map(|value| value.split(',')).any(|member| member.trim().eq_ignore_ascii_case(token))
    }

    /// Names and values, in order, case kept.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl From<&http::HeaderMap> for Fields {
    fn from(map: &http::HeaderMap) -> Self {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self(map.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_case_are_kept_and_lookup_ignores_case() {
        let fields = Fields::parse("Host: a\r\nX-B: 1\r\nx-b:\t2 \r\nodd line\r\n");
        assert_eq!(fields.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["Host", "X-B", "x-b", "odd line"]);
        assert_eq!(fields.all("X-b").collect::<Vec<_>>(), ["1", "2"]);
        assert!(fields.has("HOST") && !fields.has("hos"));
    }

    #[test]
    fn members_of_lists_are_found() {
        let fields: Fields = [("connection", "keep-alive, Upgrade"), ("connection", "x")].into_iter().collect();
        assert!(fields.lists("Connection", "upgrade") && fields.lists("connection", "X"));
        assert!(!fields.lists("connection", "keep"));
    }
}
