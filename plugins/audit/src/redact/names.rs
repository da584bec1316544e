//! Names whose value goes whole: an entry of `redact` occurs in them, both lower-cased and stripped to letters and
//! digits.

use super::fold::fold;

/// The entries of `redact`; empty ones hide nothing.
#[derive(Clone, Debug)]
pub(super) struct Names(Vec<Name>);

/// A name as it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Names {
    pub(super) fn new<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        Self(entries.into_iter().map(Name::of).filter(|entry| !entry.0.is_empty()).collect())
    }

    pub(super) fn hide(&self, name: &Name) -> bool {
        self.0.iter().any(|entry| name.0.contains(&entry.0))
    }
}

impl Name {
    pub(super) fn of(name: &str) -> Self {
        let mut bare = String::with_capacity(name.len());
        for c in fold(name).chars() {
            if c.is_ascii_alphanumeric() {
                bare.push(c.to_ascii_lowercase());
            } else if !c.is_ascii() && c.is_alphanumeric() {
                // By way of upper case, so that letters with two lower-case forms (ſ and s) are one.
                bare.extend(c.to_uppercase().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()));
            }
        }
        Self(bare)
    }

    /// Whether the value of such a member is the name of what its sibling `value` holds.
    pub(super) fn is_label(&self) -> bool {
        matches!(self.0.as_str(), "name" | "key" | "field")
    }

    /// Whether such a member is the sibling that goes.
    pub(super) fn is_value(&self) -> bool {
        self.0 == "value"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(entries: &[&str], name: &str) -> bool {
        Names::new(entries.iter().copied()).hide(&Name::of(name))
    }

    /// An entry anywhere in the name, whatever stands between its letters.
    #[test]
    fn a_name_is_judged_by_its_letters_and_digits() {
        let entries = ["password", "token", "set-cookie", "card", "PIN 2"];
        for name in [
            "password",
            "userPassword",
            "PASS-WORD",
            "pass\u{0}word",
            "p.a.s.s.w.o.r.d",
            "user[password]",
            "X-CSRF-Token",
            "card_no",
            "discard",
            "SetCookie",
            "pin2",
            "my_pin-2nd",
            "ｐａｓｓｗｏｒｄ",
            "paſſword",
            "pa\u{200b}ssword",
            "pin\u{ff12}",
        ] {
            assert!(hides(&entries, name), "{name}");
        }
        for name in ["", "pass", "word", "tok", "cookie", "pin", "pin 3", "пароль"] {
            assert!(!hides(&entries, name), "{name}");
        }
    }

    #[test]
    fn letters_of_any_script_count() {
        assert!(hides(&["пароль"], "Мой-ПАРОЛЬ"));
        assert!(hides(&["STRASSE"], "straße"));
        assert!(hides(&["ı"], "I"));
    }

    /// An entry without letters or digits would be found everywhere.
    #[test]
    fn an_empty_entry_hides_nothing() {
        assert!(!hides(&["", " ", "--", "\u{200b}"], "anything"));
    }
}
