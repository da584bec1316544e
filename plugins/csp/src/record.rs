//! What is kept of a violation: these fields and no others.

use crate::clean::{self, Cleaned, Paths};
use crate::directive::{Directive, Takes};
use crate::noise::{Noise, Place, Places};
use crate::report::{Disposition, Violation};
use crate::stamp::Stamp;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::sync::Arc;
use std::time::SystemTime;
use url::Url;

/// What a browser says instead of a URL when nothing was to be loaded.
const KEYWORDS: [&str; 5] = ["inline", "eval", "wasm-eval", "trusted-types-sink", "trusted-types-policy"];

/// What all reports of a group have in common, and the details of the first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Details {
    pub(crate) directive: Directive,
    pub(crate) disposition: Disposition,
    /// `None` for what found no room of its own.
    pub(crate) places: Option<Kept>,
}

/// Where something was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) blocked: Cleaned,
    pub(crate) document: Cleaned,
    pub(crate) source: Option<Cleaned>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
    pub(crate) status: Option<u32>,
    /// Digest of the policy's text.
    pub(crate) policy: Option<u64>,
}

/// A violation as it is kept, and when it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sighting {
    pub(crate) details: Details,
    pub(crate) at: Stamp,
}

/// What becomes of a violation before it is counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Judged {
    /// Nobody here can do anything about it.
    Noise,
    /// It names no page.
    Invalid,
    Sighting(Box<Sighting>),
}

/// Judges a violation and cleans what is kept of it. `digest` is that of its policy.
pub(crate) fn judge(
    violation: &Violation<'_>,
    digest: Option<u64>,
    noise: &Noise,
    paths: Paths,
    now: SystemTime,
) -> Judged {
    let parse = |text: &str| Url::parse(text).ok();
    let [blocked, source, document] =
        [&violation.blocked, &violation.source, &violation.document].map(|text| parse(text));
    let places = Places {
        blocked: Place { text: &violation.blocked, url: blocked.as_ref() },
        source: Place { text: &violation.source, url: source.as_ref() },
        document: Place { text: &violation.document, url: document.as_ref() },
    };
    if noise.covers(&places) {
        return Judged::Noise;
    }
    // Told only now: the page of an extension may be named by its scheme alone.
    let Some(document) = places.document.url else { return Judged::Invalid };
    let cleaned = |place: &Place<'_>| match place.url {
        Some(url) => Some(clean::clean(url, paths)),
        // Where a browser tells no more of a URL the scheme stands alone.
        None => clean::scheme(place.text).map(Cleaned::word),
    };
    let other = || Cleaned::word(clean::OTHER);
    let kept = Kept {
        blocked: match keyword(&violation.blocked) {
            Some(keyword) => Cleaned::word(keyword),
            None => cleaned(&places.blocked).unwrap_or_else(other),
        },
        document: clean::clean(document, paths),
        source: cleaned(&places.source),
        line: violation.line,
        column: violation.column,
        status: violation.status,
        policy: digest,
    };
    let Violation { directive, disposition, age, .. } = *violation;
    let details = Details { directive, disposition, places: Some(kept) };
    Judged::Sighting(Box::new(Sighting { details, at: Stamp::before(now, age) }))
}

fn keyword(blocked: &str) -> Option<&'static str> {
    let blocked = blocked.trim();
    if blocked.is_empty() {
        return Some("unknown");
    }
    KEYWORDS.iter().find(|keyword| keyword.eq_ignore_ascii_case(blocked)).copied()
}

impl Details {
    /// The source that would permit it, as it is written in a policy.
    pub(crate) fn allow(&self) -> Option<String> {
        let blocked = &self.places.as_ref()?.blocked;
        // A mark is not the name of a host.
        let usable = self.directive.takes() == Takes::Sources && blocked.is_url() && !blocked.origin().contains('{');
        usable.then(|| format!("{} {}", self.directive.as_str(), blocked.origin()))
    }
}

/// What is delivered and shown: a group, how often it was reported, and between which moments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) details: Arc<Details>,
    pub(crate) count: u64,
    pub(crate) first_seen: Stamp,
    pub(crate) last_seen: Stamp,
}

impl Record {
    /// The digest of its policy, as it is shown.
    pub(crate) fn policy(&self) -> Option<String> {
        self.details.places.as_ref()?.policy.map(|digest| format!("{digest:016x}"))
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { details, count, first_seen, last_seen } = self;
        let places = details.places.as_ref();
        let mut record = serializer.serialize_struct("Record", 14)?;
        record.serialize_field("directive", details.directive.as_str())?;
        record.serialize_field("disposition", details.disposition.as_str())?;
        record.serialize_field("blocked", &places.map(|kept| kept.blocked.text.as_str()))?;
        record.serialize_field("document", &places.map(|kept| kept.document.text.as_str()))?;
        record.serialize_field("source", &places.and_then(|kept| kept.source.as_ref()).map(|url| url.text.as_str()))?;
        record.serialize_field("line", &places.and_then(|kept| kept.line))?;
        record.serialize_field("column", &places.and_then(|kept| kept.column))?;
        record.serialize_field("status", &places.and_then(|kept| kept.status))?;
        record.serialize_field("policy", &self.policy())?;
        record.serialize_field("count", count)?;
        record.serialize_field("first_seen", first_seen)?;
        record.serialize_field("last_seen", last_seen)?;
        record.serialize_field("overflow", &places.is_none())?;
        record.serialize_field("allow", &details.allow())?;
        record.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use std::time::Duration;

    fn violation<'a>(directive: &str, blocked: &'a str) -> Violation<'a> {
        Violation {
            directive: Directive::of(directive).expect("a directive"),
            disposition: Disposition::Report,
            blocked: Cow::Borrowed(blocked),
            document: Cow::Borrowed("https://u:p@app.example.com/orders/17?t=secret"),
            source: Cow::Borrowed(""),
            line: Some(12),
            column: Some(4),
            status: Some(200),
            policy: None,
            age: Duration::from_secs(60),
        }
    }

    fn kept(directive: &str, blocked: &str) -> Sighting {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_341_660);
        match judge(&violation(directive, blocked), Some(0x9f2c), &Noise::default(), Paths::Kept, now) {
            Judged::Sighting(sighting) => *sighting,
            other => panic!("{blocked}: {other:?}"),
        }
    }

    fn blocked(text: &str) -> String {
        kept("img-src", text).details.places.expect("places").blocked.text
    }

    #[test]
    fn what_was_blocked_is_a_keyword_a_scheme_or_a_clean_url() {
        for (sent, shown) in [
            ("inline", "inline"),
            ("wasm-eval", "wasm-eval"),
            ("trusted-types-sink", "trusted-types-sink"),
            ("data", "data"),
            ("data:image/png;base64,AAAA", "data"),
            ("blob", "blob"),
            ("", "unknown"),
            ("somebody", "other"),
            ("not a url", "other"),
            ("https://", "other"),
            ("https://x:y@cdn.example.net/a/17.png?k=v", "https://cdn.example.net/a/{id}.png"),
        ] {
            assert_eq!(blocked(sent), shown, "{sent}");
        }
    }

    #[test]
    fn credentials_are_no_scheme_in_any_place() {
        let sent = || Cow::Borrowed("alice.smith:hunter@intranet/");
        let violation =
            Violation { blocked: sent(), document: sent(), source: sent(), ..violation("img-src", "inline") };
        let judged = judge(&violation, None, &Noise::default(), Paths::Kept, SystemTime::UNIX_EPOCH);
        let Judged::Sighting(sighting) = judged else { panic!("{judged:?}") };
        let kept = sighting.details.places.expect("places");
        let source = kept.source.expect("a source");
        assert_eq!([&*kept.blocked.text, &*kept.document.text, &*source.text], ["other"; 3]);
    }

    #[test]
    fn what_would_permit_it_is_proposed_where_a_source_can() {
        let allow = |directive, blocked| kept(directive, blocked).details.allow();
        assert_eq!(
            allow("img-src", "https://cdn.example.net/a.png").as_deref(),
            Some("img-src https://cdn.example.net")
        );
        assert_eq!(allow("connect-src", "wss://a.example:8443/x").as_deref(), Some("connect-src wss://a.example:8443"));
        for (directive, blocked) in [
            ("script-src-elem", "inline"),
            ("script-src", "eval"),
            ("img-src", "data"),
            ("img-src", "https://203.0.113.7/"),
            ("img-src", "https://42.example.net/"),
            ("frame-ancestors", "https://a.example/"),
            ("require-trusted-types-for", "trusted-types-sink"),
        ] {
            assert_eq!(allow(directive, blocked), None, "{directive} {blocked}");
        }
    }

    #[test]
    fn a_record_has_these_members_in_this_order() {
        let Sighting { details, at } = kept("img-src", "https://cdn.example.net/a.png");
        let record = Record { details: Arc::new(details), count: 3, first_seen: at, last_seen: at };
        let expected = concat!(
            r#"{"directive":"img-src","disposition":"report","blocked":"https://cdn.example.net/a.png","#,
            r#""document":"https://app.example.com/orders/{id}","source":null,"line":12,"column":4,"status":200,"#,
            r#""policy":"0000000000009f2c","count":3,"first_seen":"2026-11-22T10:00:00Z","#,
            r#""last_seen":"2026-11-22T10:00:00Z","overflow":false,"allow":"img-src https://cdn.example.net"}"#
        );
        assert_eq!(serde_json::to_string(&record).expect("JSON"), expected);
        let details = Details { places: None, ..(*record.details).clone() };
        let overflow = serde_json::to_value(Record { details: Arc::new(details), ..record }).expect("JSON");
        for (member, value) in [
            ("overflow", true.into()),
            ("blocked", serde_json::Value::Null),
            ("document", serde_json::Value::Null),
            ("allow", serde_json::Value::Null),
        ] {
            assert_eq!(overflow[member], value, "{member}");
        }
    }

    #[test]
    fn noise_is_told_before_anything_is_kept() {
        let noise = violation("img-src", "chrome-extension");
        let judged = judge(&noise, None, &Noise::default(), Paths::Kept, SystemTime::UNIX_EPOCH);
        assert_eq!(judged, Judged::Noise);
        // Of an extension's page sometimes the scheme is all that is told; of any other page it is not enough.
        let noise =
            Noise { origins: vec![Url::parse("https://a.example").expect("a URL").origin()], ..Noise::default() };
        for (document, expected) in [("moz-extension", Judged::Noise), ("nonsense", Judged::Invalid)] {
            let violation = Violation { document: Cow::Borrowed(document), ..violation("img-src", "inline") };
            assert_eq!(judge(&violation, None, &noise, Paths::Kept, SystemTime::UNIX_EPOCH), expected, "{document}");
        }
    }
}
