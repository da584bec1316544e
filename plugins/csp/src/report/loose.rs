//! What is looked at in a report. A member of an unexpected type counts as absent, and one that is not known is skipped:
//! nothing is kept of it.

use super::MAX_ELEMENTS;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Any value, as far as it matters.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Loose<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Else,
}

impl<'a> Loose<'a> {
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Else => None,
        }
    }

    /// A whole number.
    fn whole(self) -> Option<u32> {
        match self {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
            Self::Number(number) if (0.0..=f64::from(u32::MAX)).contains(&number) && number.fract() == 0.0 => {
                Some(number as u32)
            }
            Self::Text(_) | Self::Number(_) | Self::Else => None,
        }
    }
}

/// By way of its text: a number that no float holds, such as `1e400`, is an error to a visitor, and would take the whole
/// report with it.
impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw).map(|Text(text)| Self::Text(text)).map_err(D::Error::custom),
            // What is too large is infinite here, and in no range.
            Some(b'-' | b'0'..=b'9') => Ok(raw.parse().map_or(Self::Else, Self::Number)),
            _ => Ok(Self::Else),
        }
    }
}

/// The elements of an array.
pub(super) struct Batch<'a> {
    pub(super) read: Vec<&'a RawValue>,
    pub(super) unread: u64,
}

impl<'de> Deserialize<'de> for Batch<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Batch<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut batch = Batch { read: Vec::new(), unread: 0 };
                while batch.read.len() < MAX_ELEMENTS {
                    match items.next_element()? {
                        Some(item) => batch.read.push(item),
                        None => return Ok(batch),
                    }
                }
                while items.next_element::<IgnoredAny>()?.is_some() {
                    batch.unread += 1;
                }
                Ok(batch)
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

/// An object of either shape.
#[derive(Default)]
pub(super) struct Item<'a> {
    pub(super) csp_report: Option<&'a RawValue>,
    pub(super) kind: Option<Loose<'a>>,
    pub(super) body: Option<&'a RawValue>,
    pub(super) url: Option<Loose<'a>>,
    pub(super) age: Option<Loose<'a>>,
}

/// What a violation says, in the spelling of either shape.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) document: Option<Cow<'a, str>>,
    pub(super) blocked: Option<Cow<'a, str>>,
    pub(super) source: Option<Cow<'a, str>>,
    pub(super) effective: Option<Cow<'a, str>>,
    pub(super) violated: Option<Cow<'a, str>>,
    pub(super) policy: Option<Cow<'a, str>>,
    pub(super) disposition: Option<Cow<'a, str>>,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
    pub(super) status: Option<u32>,
}

/// Members that are read; of one that stands twice the last counts.
macro_rules! members {
    ($object:ident, $members:ident, $into:ident, { $($($name:literal)|+ => $set:expr,)+ }) => {
        impl<'de> Deserialize<'de> for $object<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;
                impl<'de> Visitor<'de> for Members {
                    type Value = $object<'de>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut $members: A) -> Result<Self::Value, A::Error> {
                        let mut $into = $object::default();
                        while let Some(name) = $members.next_key::<Text<'de>>()? {
                            match &*name.0 {
                                $($($name)|+ => $set,)+
                                _ => {
                                    $members.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok($into)
                    }
                }
                deserializer.deserialize_map(Members)
            }
        }
    };
}

members!(Item, members, item, {
    "csp-report" => item.csp_report = Some(members.next_value()?),
    "type" => item.kind = Some(members.next_value()?),
    "body" => item.body = Some(members.next_value()?),
    "url" => item.url = Some(members.next_value()?),
    "age" => item.age = Some(members.next_value()?),
});

members!(Fields, members, fields, {
    "document-uri" | "documentURL" => fields.document = members.next_value::<Loose<'de>>()?.text(),
    "blocked-uri" | "blockedURL" => fields.blocked = members.next_value::<Loose<'de>>()?.text(),
    "source-file" | "sourceFile" => fields.source = members.next_value::<Loose<'de>>()?.text(),
    "effective-directive" | "effectiveDirective" => fields.effective = members.next_value::<Loose<'de>>()?.text(),
    "violated-directive" | "violatedDirective" => fields.violated = members.next_value::<Loose<'de>>()?.text(),
    "original-policy" | "originalPolicy" => fields.policy = members.next_value::<Loose<'de>>()?.text(),
    "disposition" => fields.disposition = members.next_value::<Loose<'de>>()?.text(),
    "line-number" | "lineNumber" => fields.line = members.next_value::<Loose<'de>>()?.whole(),
    "column-number" | "columnNumber" => fields.column = members.next_value::<Loose<'de>>()?.whole(),
    "status-code" | "statusCode" => fields.status = members.next_value::<Loose<'de>>()?.whole(),
});

/// Borrowed where no escape is in the way.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Either)
    }
}
