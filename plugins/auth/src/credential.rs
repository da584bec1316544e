//! Where a credential may be: one `Authorization: Bearer`, one API key field, and nowhere else.

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HeaderName, ORIGIN};
use vestibule_plugin::{Fields, RequestHead};

/// What a request brings along.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Presented<'a> {
    /// A bearer token (RFC 6750 section 2.1); bytes that are no text make an empty one, which is malformed.
    pub(crate) token: Option<&'a str>,
    /// An API key.
    pub(crate) api_key: Option<&'a [u8]>,
}

/// Two credentials where one belongs, or an empty one: nobody can tell which was meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ambiguous;

/// Which credentials are ours to look at.
#[derive(Clone, Copy)]
pub(crate) struct Ours<'a> {
    pub(crate) tokens: bool,
    pub(crate) api_key_field: Option<&'a HeaderName>,
}

/// A browser's question whether it may ask (Fetch standard, CORS-preflight fetch): it carries no credential by design.
pub(crate) fn is_preflight(request: &RequestHead<'_>) -> bool {
    let fields = &*request.fields;
    *request.method == Method::OPTIONS && fields.has(&ORIGIN) && fields.has(&ACCESS_CONTROL_REQUEST_METHOD)
}

/// Finds what a request brings along.
pub(crate) fn read<'a>(fields: &'a Fields, ours: Ours<'_>) -> Result<Presented<'a>, Ambiguous> {
    let mut presented = Presented::default();
    if ours.tokens {
        presented.token = match one(fields, &AUTHORIZATION)? {
            Some(line) => bearer(line)?,
            None => None,
        };
    }
    if let Some(field) = ours.api_key_field {
        presented.api_key = one(fields, field)?;
    }
    Ok(presented)
}

fn one<'a>(fields: &'a Fields, name: &HeaderName) -> Result<Option<&'a [u8]>, Ambiguous> {
    let line = fields.only(name).map_err(|_repeated| Ambiguous)?;
    Ok(line.map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()))
}

/// The token of a line; `None` when it has another scheme.
fn bearer(line: &[u8]) -> Result<Option<&str>, Ambiguous> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = line.split_at(line.len().min(SCHEME.len()));
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Ok(None);
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = &rest[spaces..];
    // A tab ends the name of a scheme as a space does (RFC 9110 section 5.6.2), but no token stands behind it: what is left
    // is malformed.
    if spaces == 0 && !matches!(rest.first(), None | Some(b'\t')) {
        // Another scheme, whose name begins alike.
        return Ok(None);
    }
    if token.is_empty() || token.contains(&b',') {
        return Err(Ambiguous);
    }
    Ok(Some(std::str::from_utf8(token).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    static KEY: HeaderName = HeaderName::from_static("x-api-key");

    const OURS: Ours<'static> = Ours { tokens: true, api_key_field: Some(&KEY) };

    fn of(lines: &[(&HeaderName, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        fields
    }

    fn token(line: &str) -> Result<Option<String>, Ambiguous> {
        read(&of(&[(&AUTHORIZATION, line)]), OURS).map(|presented| presented.token.map(str::to_owned))
    }

    /// AU-14 and AU-15
    #[test]
    fn a_token_stands_behind_its_scheme() {
        for line in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c", "Bearer a.b.c "] {
            assert_eq!(token(line), Ok(Some("a.b.c".to_owned())), "{line}");
        }
        for line in ["", "Basic YTpi", "Bearerx a.b.c", "Bear", "DPoP a.b.c"] {
            assert_eq!(token(line), Ok(None), "{line}");
        }
        for line in ["Bearer", "Bearer ", "Bearer a, Bearer b", "bearer a,b"] {
            assert_eq!(token(line), Err(Ambiguous), "{line}");
        }
        assert_eq!(token("Bearer\ta.b.c"), Ok(Some("\ta.b.c".to_owned())), "malformed: only spaces part them");
        assert_eq!(token("Bearer a b"), Ok(Some("a b".to_owned())), "no token, but one credential");
    }

    #[test]
    fn of_two_lines_none_is_taken() {
        for two in [
            [(&AUTHORIZATION, "Bearer a"), (&AUTHORIZATION, "Bearer a")],
            [(&AUTHORIZATION, "Basic a"), (&AUTHORIZATION, "Bearer a")],
            [(&KEY, "a"), (&KEY, "b")],
        ] {
            assert_eq!(read(&of(&two), OURS), Err(Ambiguous), "{two:?}");
        }
        let both = of(&[(&AUTHORIZATION, "Bearer a"), (&KEY, "b")]);
        assert_eq!(read(&both, OURS), Ok(Presented { token: Some("a"), api_key: Some(b"b") }), "two kinds");
    }

    #[test]
    fn bytes_that_are_no_text_are_no_absent_token() {
        let mut fields = Fields::new();
        fields.append(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer a.\xff.c").expect("a value"));
        assert_eq!(read(&fields, OURS).map(|presented| presented.token), Ok(Some("")));
    }

    #[test]
    fn what_is_not_ours_is_not_looked_at() {
        let mut fields = Fields::new();
        for _ in 0..2 {
            fields.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
            fields.append(&KEY, HeaderValue::from_static("b"));
        }
        assert_eq!(read(&fields, Ours { tokens: false, api_key_field: None }), Ok(Presented::default()));
    }
}
