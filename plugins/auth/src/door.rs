//! What a route asks of its callers. Pure.

use crate::claims;
use crate::config::Mode;
use std::sync::Arc;
use vestibule_plugin::{Principal, PrincipalKind, claim};

/// What a route asks of its callers.
pub(crate) struct Door {
    pub(crate) mode: Mode,
    /// All of them.
    pub(crate) scopes: Vec<String>,
    /// Of each claim one of these values.
    pub(crate) claims: Vec<(String, Vec<String>)>,
}

/// Whether somebody passes, and as whom.
pub(crate) enum Entry {
    Known(Arc<Principal>),
    Anonymous,
    /// Nobody passes without a credential.
    Missing,
    /// The credential does not allow it.
    Forbidden,
}

impl Door {
    /// Lets a caller in or not; `None` has shown no credential.
    pub(crate) fn admit(&self, caller: Option<Arc<Principal>>) -> Entry {
        match caller {
            Some(principal) if self.lets(&principal) => Entry::Known(principal),
            Some(_) => Entry::Forbidden,
            None if self.mode == Mode::Required || self.asks() => Entry::Missing,
            None => Entry::Anonymous,
        }
    }

    /// Whether it asks for more than a name.
    fn asks(&self) -> bool {
        !(self.scopes.is_empty() && self.claims.is_empty())
    }

    fn lets(&self, principal: &Principal) -> bool {
        let has = |scope: &String| principal.scopes.iter().any(|own| **own == **scope);
        let in_claims = |(name, wanted): &(String, Vec<String>)| {
            principal.kind == PrincipalKind::Token && claims::matches(claim(&principal.claims, name), wanted)
        };
        self.scopes.iter().all(has) && self.claims.iter().all(in_claims)
    }
}
