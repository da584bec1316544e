//! What a client's `Connection` field may name (RFC 9110 section 7.6.1). Pure.

use http::header::{CONNECTION, HeaderName};
use vestibule_plugin::{Fields, list};

/// Most names a client may list.
const MAX_NAMES: usize = 9;

/// Why a `Connection` field is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    /// Not a token.
    #[error("an option of Connection is not a token")]
    NotAToken,
    /// It names a field that the proxy or a plugin reads or sets.
    #[error("Connection must not name `{0}`: the proxy relies on that field")]
    Protected(HeaderName),
    /// It names a pseudo-header field of HTTP/2.
    #[error("Connection must not name a pseudo-header field")]
    Pseudo,
    /// More names than anybody needs.
    #[error("Connection names more than {MAX_NAMES} fields")]
    TooMany,
}

/// The fields that `Connection` asks to drop, beyond the usual options; empty for nearly every request.
pub fn nominated(fields: &Fields, protected: &Protected) -> Result<Vec<HeaderName>, BadOption> {
    let mut names = Vec::new();
    for option in list::tokens(fields, &CONNECTION) {
        if is_usual(option) {
            continue;
        }
        if names.len() == MAX_NAMES {
            return Err(BadOption::TooMany);
        }
        if option.contains(&b':') {
            return Err(BadOption::Pseudo);
        }
        if !option.iter().all(|b| is_token_byte(*b)) {
            return Err(BadOption::NotAToken);
        }
        let name = HeaderName::from_bytes(option).map_err(|_| BadOption::NotAToken)?;
        if protected.holds(&name) {
            return Err(BadOption::Protected(name));
        }
        names.push(name);
    }
    Ok(names)
}

fn is_usual(option: &[u8]) -> bool {
    [&b"close"[..], b"keep-alive", b"upgrade", b"te", b"http2-settings"].iter().any(|u| option.eq_ignore_ascii_case(u))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Fields that nobody may ask to drop.
#[derive(Clone, Debug, Default)]
pub struct Protected {
    /// Beyond the fixed ones: identity fields and the like, as configured.
    pub configured: Vec<HeaderName>,
}

impl Protected {
    fn holds(&self, name: &HeaderName) -> bool {
        let name_str = name.as_str();
        let fixed = matches!(
            name_str,
            "host"
                | "authorization"
                | "cookie"
                | "idempotency-key"
                | "traceparent"
                | "tracestate"
                | "baggage"
                | "b3"
                | "x-request-id"
                | "forwarded"
                | "x-real-ip"
                | "via"
                | "range"
                | "origin"
                | "expect"
                | "transfer-encoding"
        );
        let prefixed = ["content-", "x-b3-", "x-forwarded-", "if-", "accept-", "x-api-key", "x-auth-"]
            .iter()
            .any(|prefix| name_str.starts_with(prefix));
        fixed || prefixed || self.configured.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn ask(value: &str) -> Result<Vec<HeaderName>, BadOption> {
        let mut fields = Fields::new();
        fields.set(CONNECTION, HeaderValue::from_str(value).expect("a field value"));
        nominated(&fields, &Protected { configured: vec![HeaderName::from_static("x-tenant")] })
    }

    #[test]
    fn usual_options_name_nothing() {
        assert_eq!(ask("close"), Ok(vec![]));
        assert_eq!(ask("Keep-Alive, , Upgrade,TE, HTTP2-Settings"), Ok(vec![]));
    }

    #[test]
    fn other_fields_are_named_unless_protected() {
        assert_eq!(ask("x-foo, close"), Ok(vec![HeaderName::from_static("x-foo")]));
        for name in
            ["authorization", "Cookie", "idempotency-key", "traceparent", "x-auth-subject", "x-tenant", "if-match"]
        {
            assert!(matches!(ask(name), Err(BadOption::Protected(_))), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(ask(":authority"), Err(BadOption::Pseudo));
        assert_eq!(ask("\"x-foo\""), Err(BadOption::NotAToken));
        assert_eq!(ask("a,b,c,d,e,f,g,h,i,j"), Err(BadOption::TooMany));
        assert_eq!(ask("close,a,b,c,d,e,f,g,h,i,close").map(|names| names.len()), Ok(9), "usual options are no names");
    }
}
