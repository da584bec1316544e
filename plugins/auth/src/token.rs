//! The shape of a token: three strict parts (RFC 7515 section 3.1), before anything in it is believed.

use crate::algorithm::Algorithm;
use crate::json;
use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Most bytes of a token.
pub(crate) const MAX_TOKEN: usize = 8 << 10;
/// Most bytes of a key id.
const MAX_KID: usize = 256;

/// No padding, no stray trailing bits, no other alphabet.
pub(crate) const STRICT: GeneralPurpose = URL_SAFE_NO_PAD;

/// A token in its parts. Nothing in it is verified.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    /// What it says it was signed with.
    pub(crate) algorithm: Algorithm,
    /// Name of the key it says it was signed with.
    pub(crate) key_id: Option<String>,
    /// What the signature is of.
    pub(crate) signed: &'a [u8],
    /// The signature.
    pub(crate) signature: Vec<u8>,
    /// Its claims.
    pub(crate) claims: Map<String, Value>,
}

/// Why a token is not even looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadShape {
    /// It is no token as they have to be.
    Malformed,
    /// Its algorithm is not among those in use.
    Algorithm,
}

impl<'a> Token<'a> {
    /// Takes a token apart; `algorithms` are those in use.
    pub(crate) fn read(text: &'a str, algorithms: &[Algorithm]) -> Result<Self, BadShape> {
        if text.len() > MAX_TOKEN {
            return Err(BadShape::Malformed);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadShape::Malformed);
        };
        let decode = |part: &str| STRICT.decode(part).map_err(|_| BadShape::Malformed);
        let object = |part: &str| json::object(&decode(part)?).ok_or(BadShape::Malformed);
        let signed = &text.as_bytes()[..header.len() + 1 + claims.len()];
        let header = object(header)?;
        let (algorithm, key_id) = read_header(&header, algorithms)?;
        Ok(Self { algorithm, key_id, signed, signature: decode(signature)?, claims: object(claims)? })
    }
}

fn read_header(header: &Map<String, Value>, algorithms: &[Algorithm]) -> Result<(Algorithm, Option<String>), BadShape> {
    // What these ask for is not understood here, so the token must be refused (RFC 7515 section 4.1.11, RFC 7797).
    if ["crit", "b64", "zip"].iter().any(|name| header.contains_key(*name)) {
        return Err(BadShape::Malformed);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(text)) if is_access_token(text) => {}
        Some(_) => return Err(BadShape::Malformed),
    }
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) if id.len() <= MAX_KID => Some(id.clone()),
        Some(_) => return Err(BadShape::Malformed),
    };
    let Some(Value::String(name)) = header.get("alg") else { return Err(BadShape::Malformed) };
    let algorithm = Algorithm::of(name).filter(|algorithm| algorithms.contains(algorithm));
    Ok((algorithm.ok_or(BadShape::Algorithm)?, key_id))
}

/// RFC 7519 section 5.1, RFC 9068 section 2.1; a token of another type was made for something else.
fn is_access_token(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        STRICT.encode(text)
    }

    fn read(header: &str, claims: &str) -> Result<(), BadShape> {
        let text = format!("{}.{}.{}", encode(header), encode(claims), encode("signature"));
        Token::read(&text, &[Algorithm::Es256, Algorithm::Rs256]).map(drop)
    }

    /// AU-04 and AU-06, as far as the header alone says so.
    #[test]
    fn an_algorithm_is_one_of_those_in_use_byte_for_byte() {
        assert_eq!(read(r#"{"alg":"ES256"}"#, "{}"), Ok(()));
        for name in ["none", "None", "NONE", "nOnE", "rs256", "ES384", "HS256", "ES256 ", ""] {
            assert_eq!(read(&format!(r#"{{"alg":"{name}"}}"#), "{}"), Err(BadShape::Algorithm), "{name}");
        }
        for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["ES256"]}"#] {
            assert_eq!(read(header, "{}"), Err(BadShape::Malformed), "{header}");
        }
    }

    /// AU-08 and AU-12
    #[test]
    fn a_header_that_asks_for_more_is_refused() {
        let good = ["", r#","typ":"JWT""#, r#","typ":"at+jwt""#, r#","typ":"application/AT+JWT""#, r#","kid":"a""#];
        for more in good {
            assert_eq!(read(&format!(r#"{{"alg":"ES256"{more}}}"#), "{}"), Ok(()), "{more}");
        }
        // Keys and addresses that a token brings along are nobody's business.
        let own = r#"{"alg":"ES256","jwk":{"kty":"EC"},"jku":"http://x","x5u":"http://x","x5c":["a"],"x5t":1}"#;
        assert_eq!(read(own, "{}"), Ok(()));
        let long = format!(r#","kid":"{}""#, "k".repeat(257));
        for more in [
            r#","crit":["exp"]"#,
            r#","b64":false"#,
            r#","zip":"DEF""#,
            r#","typ":"logout+jwt""#,
            r#","typ":"dpop+jwt""#,
            r#","typ":7"#,
            r#","kid":7"#,
            r#","kid":["a"]"#,
            r#","alg":"ES256""#,
            &long,
        ] {
            assert_eq!(read(&format!(r#"{{"alg":"ES256"{more}}}"#), "{}"), Err(BadShape::Malformed), "{more}");
        }
    }

    /// AU-12 and AU-13
    #[test]
    fn a_token_is_three_strict_parts() {
        let (header, claims) = (encode(r#"{"alg":"ES256"}"#), encode("{}"));
        let read = |text: &str| Token::read(text, &[Algorithm::Es256]).map(drop);
        assert_eq!(read(&format!("{header}.{claims}.YQ")), Ok(()));
        for text in [
            String::new(),
            "..".to_owned(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}.YQ.YQ.YQ"),
            format!("{header}.{claims}.YQ=="),
            format!("{header}.{claims}.YR"),
            format!("{header}.{claims}.+/8"),
            format!("{header}.{claims}.Y Q"),
            format!("{header}.{}.YQ", encode("[]")),
            format!("{header}.{}.YQ", encode(r#"{"sub":"a","sub":"b"}"#)),
        ] {
            assert_eq!(read(&text), Err(BadShape::Malformed), "{text}");
        }
        let padding = |length: usize| {
            let start = format!("{header}.{claims}.");
            let rest = length - start.len();
            format!("{start}{}", "A".repeat(rest))
        };
        let fits = (0..4).map(|less| MAX_TOKEN - less).find(|length| read(&padding(*length)).is_ok());
        assert!(fits.is_some());
        assert_eq!(read(&padding(MAX_TOKEN + 1)), Err(BadShape::Malformed));
    }
}
