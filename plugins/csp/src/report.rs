//! Reports as browsers send them: two shapes in, violations out. What is not needed is skipped, not read.

mod loose;
mod nesting;

use crate::directive::Directive;
use loose::{Fields, Item, Loose};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;

/// Elements of a batch that are read.
pub(crate) const MAX_ELEMENTS: usize = 100;
/// Arrays and objects inside each other.
const MAX_DEPTH: usize = 8;
/// A report that waited longer in a browser says nothing about what is served now.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Largest line and column that is believed.
const MAX_POSITION: u32 = 10_000_000;
/// Largest status that is believed.
const MAX_STATUS: u32 = 999;

/// Types of the Reporting API that are counted and dropped.
pub(crate) const OTHER_TYPES: [&str; 10] = [
    "deprecation",
    "intervention",
    "crash",
    "coep",
    "coop",
    "permissions-policy-violation",
    "document-policy-violation",
    "integrity-violation",
    "network-error",
    "other",
];

/// Whether a policy was enforced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Disposition {
    Enforce,
    Report,
    Unknown,
}

impl Disposition {
    pub(crate) const ALL: [Self; 3] = [Self::Enforce, Self::Report, Self::Unknown];

    /// As it is shown.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Report => "report",
            Self::Unknown => "unknown",
        }
    }

    /// As browsers say it.
    fn of(text: Option<&str>) -> Self {
        match text {
            Some("enforce") => Self::Enforce,
            Some("report" | "reporting") => Self::Report,
            _ => Self::Unknown,
        }
    }
}

/// What a browser refused, or would have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Violation<'a> {
    pub(crate) directive: Directive,
    pub(crate) disposition: Disposition,
    pub(crate) blocked: Cow<'a, str>,
    /// Whether it is a URL is not known yet.
    pub(crate) document: Cow<'a, str>,
    pub(crate) source: Cow<'a, str>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
    pub(crate) status: Option<u32>,
    /// Text of the policy.
    pub(crate) policy: Option<Cow<'a, str>>,
    /// How long ago it was.
    pub(crate) age: Duration,
}

/// One element of what was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Element<'a> {
    Violation(Box<Violation<'a>>),
    /// Of a type in [`OTHER_TYPES`].
    Other(&'static str),
    Invalid,
}

/// What was sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reports<'a> {
    /// The first [`MAX_ELEMENTS`].
    pub(crate) elements: Vec<Element<'a>>,
    /// How many came behind them.
    pub(crate) unread: u64,
}

/// It is no report of any shape, for this reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Reads the body of a request.
pub(crate) fn read(body: &[u8]) -> Result<Reports<'_>, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed("the body is not UTF-8"))?;
    if nesting::depth(body) > MAX_DEPTH {
        return Err(Malformed("the body is nested more than 8 levels deep"));
    }
    let not_json = |_| Malformed("the body is not JSON");
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'[') => {
            let batch: loose::Batch<'_> = serde_json::from_str(text).map_err(not_json)?;
            Ok(Reports { elements: batch.read.into_iter().map(element).collect(), unread: batch.unread })
        }
        Some(b'{') => {
            let item: Item<'_> = serde_json::from_str(text).map_err(not_json)?;
            let element = match (&item.csp_report, &item.kind, &item.body) {
                (Some(report), ..) if is_object(report) => of_fields(report, None, Duration::ZERO),
                (_, Some(_), Some(_)) => of_item(item),
                _ => return Err(Malformed("the body is no report of a known shape")),
            };
            Ok(Reports { elements: vec![element], unread: 0 })
        }
        _ => {
            let _: serde::de::IgnoredAny = serde_json::from_str(text).map_err(not_json)?;
            Err(Malformed("the body is no report of a known shape"))
        }
    }
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

fn element(raw: &RawValue) -> Element<'_> {
    serde_json::from_str(raw.get()).map_or(Element::Invalid, of_item)
}

/// Of the Reporting API.
fn of_item(item: Item<'_>) -> Element<'_> {
    let Some(Loose::Text(kind)) = item.kind else { return Element::Invalid };
    if kind != "csp-violation" {
        let known = OTHER_TYPES.iter().find(|known| **known == kind);
        return Element::Other(known.copied().unwrap_or("other"));
    }
    let age = match item.age {
        None => Some(Duration::ZERO),
        Some(Loose::Number(millis)) => Duration::try_from_secs_f64(millis / 1000.0).ok().filter(|age| *age <= MAX_AGE),
        Some(_) => None,
    };
    match (item.body, age) {
        (Some(body), Some(age)) if is_object(body) => of_fields(body, item.url.and_then(Loose::text), age),
        _ => Element::Invalid,
    }
}

/// `url` stands in for the document's.
fn of_fields<'a>(raw: &'a RawValue, url: Option<Cow<'a, str>>, age: Duration) -> Element<'a> {
    let Ok(fields) = serde_json::from_str::<Fields<'_>>(raw.get()) else { return Element::Invalid };
    let first_word = |text: &Cow<'_, str>| text.split_ascii_whitespace().next().map(str::to_owned);
    let effective = fields.effective.filter(|name| !name.trim().is_empty());
    let directive = effective.as_ref().and_then(first_word).or_else(|| fields.violated.as_ref().and_then(first_word));
    let told = |text: &Cow<'_, str>| !text.is_empty();
    let document = fields.document.filter(told).or(url.filter(told));
    let (Some(directive), Some(document)) = (directive, document) else { return Element::Invalid };
    Element::Violation(Box::new(Violation {
        directive: Directive::of(&directive).unwrap_or(Directive::OTHER),
        disposition: Disposition::of(fields.disposition.as_deref()),
        blocked: fields.blocked.unwrap_or_default(),
        document,
        source: fields.source.unwrap_or_default(),
        line: fields.line.filter(|line| *line <= MAX_POSITION),
        column: fields.column.filter(|column| *column <= MAX_POSITION),
        status: fields.status.filter(|status| *status <= MAX_STATUS),
        policy: fields.policy,
        age,
    }))
}

#[cfg(test)]
mod tests;
