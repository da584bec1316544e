//! The complete configuration as TOML: every default filled in, secrets masked or, for the hash, not.

use crate::config::mask::{Authority, MASK, hide_credentials};
use crate::config::schema::View;
use crate::config::secret_keys::{self, Why};
use crate::config::tree::Node;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use toml::{Table, Value as Toml};

/// Tables in the order they are shown, secrets included.
#[derive(Default)]
pub(super) struct Effective {
    tables: Table,
}

impl Effective {
    /// Adds a table, or the list of routes.
    pub(super) fn add(&mut self, name: &str, value: Toml) {
        self.tables.insert(name.to_owned(), value);
    }

    /// As an operator may see it. It parses again.
    pub(super) fn masked(&self, schema: View<'_>) -> String {
        let mut tree = Node::from(Toml::Table(self.tables.clone()));
        secret_keys::visit(&mut tree, schema, &mut |why, secret| {
            if why != Why::Secret {
                return;
            }
            secret.each_scalar(&mut |scalar, _| {
                if !matches!(scalar, Toml::String(text) if text.is_empty()) {
                    *scalar = Toml::String(MASK.to_owned());
                }
            });
        });
        tree.each_scalar(&mut |scalar, _| {
            if let Toml::String(text) = scalar {
                *text = hide_credentials(text, Authority::Strict);
            }
        });
        toml::to_string(&tree.to_toml()).unwrap_or_default()
    }

    /// 12 hexadecimal digits over everything, `secrets` that were read from files included.
    pub(super) fn hash<'a>(&self, secrets: impl Iterator<Item = &'a [u8]>) -> String {
        let mut hash = Sha256::new();
        hash.update(toml::to_string(&self.tables).unwrap_or_default());
        for secret in secrets {
            hash.update(Sha256::digest(secret));
        }
        hash.finalize().iter().take(6).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
