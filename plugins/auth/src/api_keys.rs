//! API keys: known by their hashes, never written down.

use ring::digest;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use vestibule_plugin::Principal;

/// Most keys of a file.
const MAX_KEYS: usize = 100_000;
/// Characters of a presented key.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=512;
/// Characters of an id.
const ID: std::ops::RangeInclusive<usize> = 1..=64;
/// What a file is made of.
const EXPECTED: &str =
    "expected TOML of `[[key]]` tables with `id` and `sha256`; `tier`, `subject`, `scopes` may follow";

/// The keys there are.
pub(crate) struct ApiKeys {
    by_hash: BTreeMap<[u8; 32], Arc<Principal>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    sha256: String,
    tier: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

impl ApiKeys {
    /// Reads a file, or says everything that is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<String>> {
        let file: File = toml::from_str(text).map_err(|error| {
            // Its own message would quote what stands there, which may be a key that somebody wrote down in plain.
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            vec![format!("line {line}: {EXPECTED}")]
        })?;
        if file.key.len() > MAX_KEYS {
            return Err(vec![format!("{} keys; expected at most {MAX_KEYS}", file.key.len())]);
        }
        let (mut by_hash, mut ids, mut wrong) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for (place, entry) in (1..).zip(file.key) {
            let id_is_good = ID.contains(&entry.id.len())
                && entry.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            if !id_is_good {
                wrong.push(format!("key {place}: its `id` is not 1 to 64 characters of A-Z a-z 0-9 . _ -"));
            } else if !ids.insert(entry.id.clone()) {
                wrong.push(format!("key {place}: another key has the id `{}`", entry.id));
            }
            let subject_is_good = entry.subject.as_ref().is_none_or(|subject| (1..=256).contains(&subject.len()));
            if !subject_is_good {
                wrong.push(format!("key {place}: its `subject` is not 1 to 256 bytes"));
            }
            let principal = Principal {
                subject: entry.subject.as_deref().map(Arc::from),
                tier: entry.tier.as_deref().map(Arc::from),
                scopes: entry.scopes.iter().map(|scope| Box::from(scope.as_str())).collect(),
                ..Principal::of_api_key(&entry.id)
            };
            match hash(&entry.sha256) {
                None => wrong.push(format!("key {place}: its `sha256` is not 64 hexadecimal digits")),
                Some(hash) => {
                    if by_hash.insert(hash, Arc::new(principal)).is_some() {
                        wrong.push(format!("key {place}: another key has the same `sha256`"));
                    }
                }
            }
        }
        if wrong.is_empty() { Ok(Self { by_hash }) } else { Err(wrong) }
    }

    /// Whose key this is.
    pub(crate) fn find(&self, presented: &[u8]) -> Option<&Arc<Principal>> {
        if !LENGTH.contains(&presented.len()) || !presented.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let hash = digest::digest(&digest::SHA256, presented);
        // A map tells by its time at most how a hash begins, and nobody finds a key for the beginning of a hash.
        let (held, principal) = self.by_hash.get_key_value(hash.as_ref())?;
        bool::from(held.ct_eq(hash.as_ref())).then_some(principal)
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn hex(key: &str) -> String {
        digest::digest(&digest::SHA256, key.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_key_is_found_by_what_it_is() {
        let file = format!(
            "[[key]]\nid = \"ci\"\nsha256 = \"{}\"\ntier = \"gold\"\nsubject = \"robot\"\nscopes = [\"a\"]\n",
            hex(KEY).to_uppercase()
        );
        let keys = ApiKeys::read(&file).expect("a good file");
        let principal = keys.find(KEY.as_bytes()).expect("the key");
        assert_eq!(principal.api_key.as_deref(), Some("ci"));
        assert_eq!((principal.subject.as_deref(), principal.tier.as_deref()), (Some("robot"), Some("gold")));
        for wrong in ["0123456789abcdeF", "0123456789abcde", "", &"k".repeat(513)] {
            assert!(keys.find(wrong.as_bytes()).is_none());
        }
    }

    /// AU-20: too short is wrong, whatever its hash.
    #[test]
    fn a_short_key_is_none_though_its_hash_is_known() {
        let short = "0123456789abcde";
        let keys = ApiKeys::read(&format!("[[key]]\nid = \"a\"\nsha256 = \"{}\"\n", hex(short))).expect("good");
        assert!(keys.find(short.as_bytes()).is_none());
    }

    /// AU-21
    #[test]
    fn everything_that_is_wrong_is_said() {
        let key = |id: &str, hash: &str| format!("[[key]]\nid = \"{id}\"\nsha256 = \"{hash}\"\n");
        let file = [key("a", &hex("1")), key("a", &hex("2")), key("b", &hex("1")), key("c", &hex("3")[1..])].concat();
        let wrong = ApiKeys::read(&file).err().expect("a bad file");
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("id `a`") && wrong[1].contains("same `sha256`") && wrong[2].contains("64 hex"));
        for bad in ["[[key]]\nid = 7", "[[key]]\nid = \"a\"", "[[key]]\nid=\"a\"\nsha256=\"\"\nx=1", "key = 1"] {
            assert!(ApiKeys::read(bad).is_err(), "{bad}");
        }
        assert!(ApiKeys::read(&key("a b", &hex("1"))).is_err());
        assert!(ApiKeys::read("").is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_by_its_line_alone() {
        let hash = hex(KEY);
        for bad in [
            "\nkey = \"plainsecret\"".to_owned(),
            "\nplainsecret = 1".to_owned(),
            "\nplainsecret".to_owned(),
            "[[key]]\nplainsecret = 1".to_owned(),
            "[[key]]\nid = \"a\nsha256 = \"plainsecret\"".to_owned(),
            format!("[[key]]\nscopes = \"plainsecret\"\nid = \"a\"\nsha256 = \"{hash}\""),
        ] {
            let wrong = ApiKeys::read(&bad).err().expect("a bad file").concat();
            assert_eq!(wrong, format!("line 2: {EXPECTED}"), "{bad}");
        }
    }
}
