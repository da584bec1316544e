//! Who sent a request, as far as keys are concerned: the first of the configured kinds that is present.

use crate::names::{Names, PrincipalId};
use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use std::borrow::Cow;
use vestibule_plugin::{Facts, Fields, Principal};

/// The kind that all callers without a principal share.
pub(crate) const ANONYMOUS: &str = "anonymous";
/// The kind of a verified subject.
pub(crate) const SUBJECT: &str = "subject";
/// The kind of an accepted API key.
pub(crate) const API_KEY: &str = "api_key";
/// The kind of a client address.
pub(crate) const ADDRESS: &str = "address";
/// The one key space for all callers.
pub(crate) const NONE: &str = "none";

/// One kind of principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Of a token this proxy verified.
    Subject,
    /// That this proxy accepted.
    ApiKey,
    /// The raw credential.
    Authorization,
    /// A field that an outer layer sets.
    Header(HeaderName),
    /// A cookie that an outer layer sets.
    Cookie(String),
    /// Where it came from.
    Address,
    /// Nobody in particular.
    None,
}

impl Kind {
    /// Reads a kind as it stands in the file.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            SUBJECT => Self::Subject,
            API_KEY => Self::ApiKey,
            "authorization" => Self::Authorization,
            ADDRESS => Self::Address,
            NONE => Self::None,
            _ => match word.split_once(':')? {
                ("header", name) => Self::Header(HeaderName::from_bytes(name.as_bytes()).ok()?),
                ("cookie", name) if is_token(name) => Self::Cookie(name.to_owned()),
                _ => return None,
            },
        })
    }

    /// The field it reads.
    pub(crate) fn reads(&self) -> Option<HeaderName> {
        match self {
            Self::Authorization => Some(AUTHORIZATION),
            Self::Header(name) => Some(name.clone()),
            Self::Cookie(_) => Some(COOKIE),
            Self::Subject | Self::ApiKey | Self::Address | Self::None => None,
        }
    }

    /// What a caller sends to be one, in words.
    pub(crate) fn credential(&self) -> Option<String> {
        match self {
            Self::Subject => Some("a token".to_owned()),
            Self::ApiKey => Some("an API key".to_owned()),
            Self::Authorization => Some("`authorization`".to_owned()),
            Self::Header(name) => Some(format!("`{name}`")),
            Self::Cookie(name) => Some(format!("the cookie `{name}`")),
            Self::Address | Self::None => None,
        }
    }

    /// As it enters a hash, and as it is shown.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Subject => SUBJECT.into(),
            Self::ApiKey => API_KEY.into(),
            Self::Authorization => "authorization".into(),
            Self::Header(name) => format!("header:{name}").into(),
            Self::Cookie(name) => format!("cookie:{name}").into(),
            Self::Address => ADDRESS.into(),
            Self::None => NONE.into(),
        }
    }

    /// The caller's value of this kind, if there is one.
    fn value<'a>(&self, fields: &'a Fields, facts: &'a Facts) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Subject => subject(facts.principal()?).map(|text| text.into_bytes().into()),
            Self::ApiKey => facts.principal()?.api_key.as_deref().map(|id| id.as_bytes().into()),
            Self::Authorization => lines(fields, &AUTHORIZATION),
            Self::Header(name) => lines(fields, name),
            Self::Cookie(name) => cookie(fields, name.as_bytes()).map(Cow::Borrowed),
            Self::Address => Some(facts.address().to_string().into_bytes().into()),
            Self::None => Some(Cow::Borrowed(b"")),
        }
    }
}

/// A principal that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// Its place in the list.
    pub(crate) at: usize,
    /// Its name.
    pub(crate) id: PrincipalId,
}

/// The first of `kinds` that is present.
pub(crate) fn find(kinds: &[Kind], names: &Names, fields: &Fields, facts: &Facts) -> Option<Found> {
    kinds.iter().enumerate().find_map(|(at, kind)| {
        let value = kind.value(fields, facts)?;
        Some(Found { at, id: names.principal(&kind.name(), &value) })
    })
}

/// `ISSUER|SUBJECT`; the issuer is empty when nobody stated one, and never holds a bar of its own.
fn subject(principal: &Principal) -> Option<String> {
    let subject = principal.subject.as_deref()?;
    let issuer = principal.issuer.as_deref().unwrap_or_default().replace('|', "%7C");
    Some(format!("{issuer}|{subject}"))
}

/// All lines of a field, joined as they may be (RFC 9110 section 5.3); `None` when they say nothing.
fn lines<'a>(fields: &'a Fields, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut lines = fields.lines(name).map(<[u8]>::trim_ascii);
    let first = lines.next()?;
    let rest: Vec<&[u8]> = lines.collect();
    if first.is_empty() && rest.iter().all(|line| line.is_empty()) {
        return None;
    }
    if rest.is_empty() {
        return Some(Cow::Borrowed(first));
    }
    Some(std::iter::once(first).chain(rest).collect::<Vec<_>>().join(&b", "[..]).into())
}

/// The first cookie of this name (RFC 6265 section 5.4).
fn cookie<'a>(fields: &'a Fields, name: &[u8]) -> Option<&'a [u8]> {
    let pairs = fields.lines(&COOKIE).flat_map(|line| line.split(|&byte| byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|&byte| byte == b'=')?;
        (pair[..at] == *name).then_some(&pair[at + 1..])
    });
    values.next().filter(|value| !value.is_empty())
}

fn is_token(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use vestibule_plugin::Fields;
    use vestibule_plugin::{Claims, ClientAddress, RouteId, Secret, TraceContext};

    fn of_subject(subject: &str) -> Principal {
        let subject = Some(Arc::from(subject));
        Principal { issuer: Some("https://id.example".into()), subject, ..Principal::of_token(Claims::default()) }
    }

    fn facts() -> Facts {
        let trace = TraceContext { trace_id: 1, span_id: 1, flags: 0 };
        let address = ClientAddress::of("203.0.113.7".parse().expect("an address"), 64);
        Facts::new(RouteId(0), address, trace)
    }

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut map = Fields::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, http::HeaderValue::from_str(value).expect("a value"));
        }
        map
    }

    fn found(kinds: &[&str], lines: &[(&str, &str)], facts: &Facts) -> Option<Found> {
        let kinds: Vec<Kind> = kinds.iter().map(|word| Kind::parse(word).expect("a kind")).collect();
        find(&kinds, &Names::new(&Secret::new([1; 32]), "n"), &fields(lines), facts)
    }

    #[test]
    fn the_first_that_is_present_counts() {
        let kinds = ["subject", "api_key", "authorization", "cookie:sid", "header:x-user", "address"];
        let at = |lines: &[(&str, &str)], facts: &Facts| found(&kinds, lines, facts).map(|found| found.at);
        let mut known = facts();
        known.set_principal(Principal::of_api_key("key-1").into());
        assert_eq!(at(&[("authorization", "Bearer x")], &known), Some(1));
        assert_eq!(at(&[("authorization", "Bearer x"), ("x-user", "u")], &facts()), Some(2));
        assert_eq!(at(&[("authorization", ""), ("cookie", "a=b; sid=7"), ("x-user", "u")], &facts()), Some(3));
        assert_eq!(at(&[("cookie", "sid=; asid=1"), ("x-user", "u")], &facts()), Some(4));
        assert_eq!(at(&[], &facts()), Some(5));
        assert_eq!(found(&kinds[..5], &[], &facts()), None);
        assert_eq!(found(&kinds[..5], &[("x-user", ""), ("x-user", " ")], &facts()), None, "lines that say nothing");
    }

    /// ID-15: a refreshed token of the same subject is the same principal, and an unverified one is none.
    #[test]
    fn a_verified_subject_is_one_principal_whatever_its_token() {
        let mut known = facts();
        known.set_principal(of_subject("alice").into());
        let by = |token: &str, facts: &Facts| found(&["subject"], &[("authorization", token)], facts);
        assert!(by("Bearer one", &known).is_some());
        assert_eq!(by("Bearer one", &known), by("Bearer refreshed", &known));
        assert_eq!(by("Bearer one", &facts()), None);
        let mut other = facts();
        other.set_principal(of_subject("bob").into());
        assert_ne!(by("Bearer one", &known), by("Bearer one", &other));
    }

    #[test]
    fn values_of_different_kinds_and_names_are_different_principals() {
        let all = [
            found(&["header:a"], &[("a", "x")], &facts()),
            found(&["header:b"], &[("b", "x")], &facts()),
            found(&["cookie:a"], &[("cookie", "a=x")], &facts()),
            found(&["authorization"], &[("authorization", "x")], &facts()),
            found(&["header:a"], &[("a", "y")], &facts()),
            found(&["header:a"], &[("a", "x"), ("a", "y")], &facts()),
            found(&["address"], &[], &facts()),
            found(&["none"], &[], &facts()),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(one.is_some() && all[i + 1..].iter().all(|other| other != one), "{i}");
        }
    }

    #[test]
    fn nonsense_is_no_kind() {
        for word in ["", "Subject", "sub", "header:", "header:a b", "cookie:", "cookie:a=b", "query:x"] {
            assert_eq!(Kind::parse(word), None, "{word}");
        }
    }
}
