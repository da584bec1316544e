//! JSON judged as it is read, so that a duplicate member is judged like any other before the last one wins.

use super::names::Name;
use super::scope::Scope;
use super::{CARD, REDACTED, TRUNCATED, patterns};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// Greatest integer that every reader of JSON holds exactly (RFC 7493 section 2.2).
const MOST_INTEGER: u64 = (1 << 53) - 1;

/// What is kept of a JSON text.
///
/// # Errors
///
/// It is not JSON, has a number that no double holds, or a surrogate alone.
pub(super) fn redact(scope: Scope<'_>, text: &str) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let kept = scope.deserialize(&mut reader)?;
    reader.end()?;
    Ok(kept)
}

impl<'de> DeserializeSeed<'de> for Scope<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scope<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(number(&value.to_string(), if value <= MOST_INTEGER { value.into() } else { value.to_string().into() }))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        let exact = value.unsigned_abs() <= MOST_INTEGER;
        Ok(number(&value.to_string(), if exact { value.into() } else { value.to_string().into() }))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // Judged in full, as `4.111111111111111e15` is a card number as well; written in the shorter form.
        Ok(number(&value.to_string(), Value::from(value).to_string().into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        if let Some(hides_sibling) = self.label
            && self.redactor.hides_name(value)
        {
            hides_sibling.set(true);
        }
        Ok(self.text(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let Some(within) = self.within() else {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(TRUNCATED.into());
        };
        let mut kept = Vec::new();
        let mut truncated = false;
        while let Some(element) = elements.next_element_seed(Element(within))? {
            truncated |= element.is_none();
            kept.extend(element);
        }
        kept.extend(truncated.then(|| TRUNCATED.into()));
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let Some(within) = self.within() else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(TRUNCATED.into());
        };
        let mut object = Object::default();
        while let Some(key) = members.next_key::<String>()? {
            object.read(within, &key, &mut members)?;
        }
        Ok(object.into())
    }
}

fn number(digits: &str, number: Value) -> Value {
    if patterns::holds_card(digits) { CARD.into() } else { number }
}

/// An element of an array; `None` when no more are kept.
struct Element<'r>(Scope<'r>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        if self.0.budget.take() {
            self.0.deserialize(deserializer).map(Some)
        } else {
            deserializer.deserialize_ignored_any(IgnoredAny).map(|IgnoredAny| None)
        }
    }
}

/// The members of an object, all of them until it is read whole.
#[derive(Default)]
struct Object {
    members: Vec<(String, Value)>,
    /// Which of them are called `value`.
    values: Vec<usize>,
    /// A member `name`, `key` or `field` names something that is hidden.
    hides_values: bool,
    truncated: bool,
}

impl Object {
    fn read<'de, A: MapAccess<'de>>(&mut self, scope: Scope<'_>, key: &str, members: &mut A) -> Result<(), A::Error> {
        let fits = scope.budget.take();
        self.truncated |= !fits;
        let name = Name::of(key);
        let kept_key = scope.text(key);
        // By what it became as well, here and for labels: a second pass could not know what it was.
        let hidden = scope.redactor.names.hide(&name) || scope.redactor.hides_name(&kept_key);
        let value = if name.is_label() {
            // It counts wherever it stands, also behind the last member that is kept.
            let hides_values = Cell::new(self.hides_values);
            let label = members.next_value_seed(scope.labelling(&hides_values))?;
            self.hides_values =
                hides_values.get() || label.as_str().is_some_and(|kept| scope.redactor.hides_name(kept));
            label
        } else if hidden || !fits {
            members.next_value::<IgnoredAny>()?;
            Value::Null
        } else {
            members.next_value_seed(scope)?
        };
        if fits {
            self.values.extend(name.is_value().then_some(self.members.len()));
            self.members.push((kept_key.into_owned(), if hidden { REDACTED.into() } else { value }));
        }
        Ok(())
    }
}

impl From<Object> for Value {
    fn from(mut object: Object) -> Self {
        if object.hides_values {
            for at in object.values {
                object.members[at].1 = REDACTED.into();
            }
        }
        if object.truncated {
            object.members.push((TRUNCATED.to_owned(), TRUNCATED.into()));
        }
        // From the end, so that the last of each name wins and stands where it stood.
        let mut last_first = Map::new();
        for (key, value) in object.members.into_iter().rev() {
            last_first.entry(key).or_insert(value);
        }
        Self::Object(last_first.into_iter().rev().collect())
    }
}
