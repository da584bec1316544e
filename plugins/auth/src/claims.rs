//! What a token claims, and whether that is acceptable. Pure.

use serde_json::Value;
use std::time::{Duration, SystemTime};
use vestibule_plugin::Claims;

/// Most bytes of a subject.
const MAX_SUBJECT: usize = 256;

/// What tokens have to claim.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Rules {
    /// Who issues them; `None`: anybody with a key.
    pub(crate) issuer: Option<String>,
    /// Whom they are for: one of these; none: anybody.
    pub(crate) audience: Vec<String>,
    /// How far clocks may be apart.
    pub(crate) leeway: Duration,
    /// How long they live at most.
    pub(crate) max_lifetime: Option<Duration>,
}

/// Why claims are not acceptable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadClaims {
    /// One that is needed is absent or of another kind.
    Unreadable,
    Issuer,
    Audience,
    NotYetValid,
    Lifetime,
    /// All else is right.
    Expired,
}

/// Seconds since 1970.
pub(crate) fn seconds(at: SystemTime) -> f64 {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

impl Rules {
    /// The second from which on the token counts no more, or why it does not count at `now`.
    pub(crate) fn check(&self, claims: &Claims, now: f64) -> Result<f64, BadClaims> {
        let Some(exp) = number(claims, "exp")? else { return Err(BadClaims::Unreadable) };
        let (nbf, iat) = (number(claims, "nbf")?, number(claims, "iat")?);
        match claims.get("sub") {
            None => {}
            Some(Value::String(subject)) if (1..=MAX_SUBJECT).contains(&subject.len()) => {}
            Some(_) => return Err(BadClaims::Unreadable),
        }
        self.check_parties(claims)?;
        let leeway = self.leeway.as_secs_f64();
        if nbf.is_some_and(|nbf| now < nbf - leeway) || iat.is_some_and(|iat| iat > now + leeway) {
            return Err(BadClaims::NotYetValid);
        }
        if self.max_lifetime.is_some_and(|most| exp - iat.unwrap_or(now) > most.as_secs_f64()) {
            return Err(BadClaims::Lifetime);
        }
        let end = exp + leeway;
        if now < end { Ok(end) } else { Err(BadClaims::Expired) }
    }

    /// Whether it looks worth asking for keys: nothing in it is believed yet.
    pub(crate) fn look_right(&self, claims: &Claims, now: f64) -> bool {
        let fresh = matches!(number(claims, "exp"), Ok(Some(exp)) if now < exp + self.leeway.as_secs_f64());
        fresh && self.check_parties(claims).is_ok()
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), BadClaims> {
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(BadClaims::Issuer);
        }
        let ours = |audience: &Value| audience.as_str().is_some_and(|text| self.audience.iter().any(|own| own == text));
        let meant = self.audience.is_empty()
            || match claims.get("aud") {
                Some(Value::Array(audiences)) => audiences.iter().all(Value::is_string) && audiences.iter().any(ours),
                Some(audience) => ours(audience),
                None => false,
            };
        if meant { Ok(()) } else { Err(BadClaims::Audience) }
    }
}

fn number(claims: &Claims, name: &str) -> Result<Option<f64>, BadClaims> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => number.as_f64().map(Some).ok_or(BadClaims::Unreadable),
        Some(_) => Err(BadClaims::Unreadable),
    }
}

/// What the token may do: the words of `scope` (RFC 8693 section 4.2), or `scp`, text or list.
pub(crate) fn scopes(claims: &Claims) -> Vec<Box<str>> {
    let words = |text: &str| text.split_ascii_whitespace().map(Box::from).collect::<Vec<_>>();
    let of = |claim: Option<&Value>| match claim {
        Some(Value::String(text)) => words(text),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(Box::from).collect(),
        _ => Vec::new(),
    };
    let mut all = claims.get("scope").and_then(Value::as_str).map(words).unwrap_or_default();
    all.extend(of(claims.get("scp")));
    all
}

/// Whether a claim is one of `wanted`, or a list that contains one.
pub(crate) fn matches(claim: Option<&Value>, wanted: &[String]) -> bool {
    let is = |value: &Value| value.as_str().is_some_and(|text| wanted.iter().any(|one| one == text));
    match claim {
        Some(Value::Array(items)) => items.iter().any(is),
        Some(value) => is(value),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: f64 = 1_000_000.0;

    fn rules() -> Rules {
        Rules {
            issuer: Some("https://id.example".into()),
            audience: vec!["shop".into()],
            leeway: Duration::from_secs(5),
            max_lifetime: Some(Duration::from_secs(3600)),
        }
    }

    /// Good claims with some of them replaced; null takes one away.
    fn claims(changed: Value) -> Claims {
        let mut all = Claims::new();
        for (name, value) in [("iss", json!("https://id.example")), ("aud", json!("shop")), ("exp", json!(NOW + 60.0))]
        {
            all.insert(name.into(), value);
        }
        let Value::Object(changed) = changed else { panic!("an object") };
        for (name, value) in changed {
            match value {
                Value::Null => all.shift_remove(&name),
                value => all.insert(name, value),
            };
        }
        all
    }

    fn check(changed: Value) -> Result<(), BadClaims> {
        rules().check(&claims(changed), NOW).map(drop)
    }

    /// AU-09
    #[test]
    fn times_count_with_leeway() {
        assert_eq!(check(json!({"exp": NOW - 4.0})), Ok(()));
        assert_eq!(check(json!({"exp": NOW - 5.0})), Err(BadClaims::Expired));
        assert_eq!(check(json!({"exp": NOW - 6.0})), Err(BadClaims::Expired));
        assert_eq!(check(json!({"nbf": NOW + 4.0})), Ok(()));
        assert_eq!(check(json!({"nbf": NOW + 6.0})), Err(BadClaims::NotYetValid));
        assert_eq!(check(json!({"iat": NOW + 6.0})), Err(BadClaims::NotYetValid));
        assert_eq!(check(json!({"iat": NOW, "exp": NOW + 3600.0})), Ok(()));
        assert_eq!(check(json!({"iat": NOW, "exp": NOW + 3601.0})), Err(BadClaims::Lifetime));
        assert_eq!(check(json!({"exp": NOW + 3601.0})), Err(BadClaims::Lifetime));
        let unbounded = Rules { max_lifetime: None, ..rules() };
        assert!(unbounded.check(&claims(json!({"exp": NOW * 9.0})), NOW).is_ok());
    }

    /// AU-10
    #[test]
    fn an_end_is_a_number() {
        assert_eq!(check(json!({"exp": NOW + 0.5})), Ok(()));
        assert_eq!(check(json!({"exp": null})), Err(BadClaims::Unreadable));
        assert_eq!(check(json!({"exp": "123"})), Err(BadClaims::Unreadable));
        assert_eq!(check(json!({"exp": -1})), Err(BadClaims::Expired));
        let mut absent = claims(json!({}));
        absent.insert("exp".into(), Value::Null);
        assert_eq!(rules().check(&absent, NOW).map(drop), Err(BadClaims::Unreadable));
    }

    /// AU-11
    #[test]
    fn issuer_and_audience_are_byte_for_byte() {
        for iss in [json!(null), json!("https://other"), json!(["https://id.example"]), json!("https://id.example/")] {
            assert_eq!(check(json!({ "iss": iss })), Err(BadClaims::Issuer));
        }
        for aud in [json!("shop"), json!(["other", "shop"])] {
            assert_eq!(check(json!({ "aud": aud })), Ok(()));
        }
        for aud in [json!("other"), json!(null), json!(["other"]), json!(7), json!(["shop", 7]), json!([])] {
            assert_eq!(check(json!({ "aud": aud })), Err(BadClaims::Audience));
        }
    }

    #[test]
    fn a_subject_is_a_text_of_bounded_length() {
        for sub in [json!(""), json!(7), json!(["a"]), json!("s".repeat(257))] {
            assert_eq!(check(json!({ "sub": sub })), Err(BadClaims::Unreadable));
        }
        assert_eq!(check(json!({"sub": "s".repeat(256)})), Ok(()));
    }

    /// AU-19
    #[test]
    fn scopes_are_words_or_a_list() {
        let of = |value: Value| scopes(&claims(value)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of(json!({"scope": "a  b"})), ["a", "b"]);
        assert_eq!(of(json!({"scp": "a b"})), ["a", "b"]);
        assert_eq!(of(json!({"scp": ["a b", "c", 7]})), ["a b", "c"]);
        assert_eq!(of(json!({"scope": ["a"]})), Vec::<String>::new());
    }
}
