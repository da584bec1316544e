//! The parameters of a query string, taken out one by one; whatever is wrong with them is gathered.

use super::{FieldError, Problem};
use crate::text::Invalid;

/// What is left of a query, and what was wrong so far.
#[derive(Debug)]
pub(crate) struct Params {
    rest: Vec<(String, Result<String, Invalid>)>,
    errors: Vec<FieldError>,
}

impl Params {
    /// Splits `name=value&…`, percent-decoded, `+` being a space.
    pub(crate) fn of(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let rest = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (String::from_utf8_lossy(&decode(name)).into_owned(), utf8(value))
        });
        Self { rest: rest.collect(), errors: Vec::new() }
    }

    /// One parameter; `None` when it is not there, and after an error.
    pub(crate) fn read<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Invalid>) -> Option<T> {
        let mut given: Vec<_> = self.rest.extract_if(.., |(other, _)| other == name).map(|(_, value)| value).collect();
        let only = match given.len() {
            0 => return None,
            1 => given.remove(0),
            _ => Err(Invalid::new("must be given once")),
        };
        let parsed = only.and_then(|text| parse(&text));
        parsed.map_err(|reason| self.errors.push(FieldError::of(name, &reason))).ok()
    }

    /// Takes down what is wrong with a parameter in the light of the others.
    pub(crate) fn refuse(&mut self, name: &str, reason: &'static str) {
        self.errors.push(FieldError::of(name, &Invalid::new(reason)));
    }

    /// `built`, unless there was an error. Parameters nobody took are errors too.
    pub(crate) fn finish<T>(mut self, built: T) -> Result<T, Problem> {
        for (name, _) in &self.rest {
            self.errors.push(FieldError::of(name, &Invalid::new("is not a known parameter")));
        }
        if self.errors.is_empty() { Ok(built) } else { Err(Problem::invalid(self.errors)) }
    }
}

fn utf8(text: &str) -> Result<String, Invalid> {
    String::from_utf8(decode(text)).map_err(|_| Invalid::new("must be UTF-8"))
}

/// A `%` without two hexadecimal digits stands for itself, as in the URL standard.
fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        let (byte, after) = match rest {
            [] => return decoded,
            [b'+', after @ ..] => (b' ', after),
            [b'%', high, low, after @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', &rest[1..]),
            },
            [byte, after @ ..] => (*byte, after),
        };
        decoded.push(byte);
        rest = after;
    }
}

fn digit(hex: u8) -> Option<u8> {
    char::from(hex).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percent_and_plus_are_decoded() {
        assert_eq!(utf8("a+b%20c%2B%c3%A4"), Ok("a b c+ä".to_owned()));
        assert_eq!(utf8("100%"), Ok("100%".to_owned()));
        assert_eq!(utf8("%zz%4"), Ok("%zz%4".to_owned()));
        assert!(utf8("%ff").is_err());
    }

    #[test]
    fn empty_pairs_are_nothing() {
        assert!(Params::of(Some("&&")).finish(()).is_ok());
        assert!(Params::of(None).finish(()).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in ".{0,40}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(utf8(&encoded), Ok(text));
        }

        #[test]
        fn any_query_is_read_without_panic(text in ".{0,80}") {
            let mut params = Params::of(Some(&text));
            params.read("page", |value| Ok(value.to_owned()));
            let _ = params.finish(());
        }
    }
}
