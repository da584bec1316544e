//! Which tier a caller is in. Never none, so nobody is without limits by accident.

use std::collections::BTreeMap;
use std::sync::Arc;
use vestibule_plugin::{Facts, PrincipalKind, claim};

/// The tiers there are, by number.
#[derive(Debug)]
pub(crate) struct Tiers {
    names: Vec<Arc<str>>,
    by_name: BTreeMap<Arc<str>, TierId>,
    anonymous: TierId,
    default: TierId,
}

/// Number of a tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TierId(pub(crate) usize);

/// What a credential says about its tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claimed<'a> {
    /// There is no credential.
    NoCredential,
    /// It says nothing.
    Nothing,
    /// It names this one.
    Tier(&'a str),
}

/// The tier of a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Resolved {
    /// Which.
    pub(crate) tier: TierId,
    /// Whether the caller named one that does not exist.
    pub(crate) unknown: bool,
}

impl<'a> Claimed<'a> {
    /// As the auth plugin stated it.
    /// A token names it in the claim `tier_claim`.
    pub(crate) fn of(facts: &'a Facts, tier_claim: &str) -> Self {
        let Some(principal) = facts.principal() else { return Self::NoCredential };
        match principal.kind {
            PrincipalKind::Token => match claim(&principal.claims, tier_claim) {
                None => Self::Nothing,
                // What is no text is no name of a tier.
                Some(value) => Self::Tier(value.as_str().unwrap_or("")),
            },
            PrincipalKind::ApiKey => principal.tier.as_deref().map_or(Self::Nothing, Self::Tier),
        }
    }
}

impl Tiers {
    /// Tiers of these names. `None` when one of the two named is not among them.
    pub(crate) fn new(names: Vec<Arc<str>>, anonymous: &str, default: &str) -> Option<Self> {
        let by_name: BTreeMap<_, _> = names.iter().enumerate().map(|(i, name)| (Arc::clone(name), TierId(i))).collect();
        let (anonymous, default) = (*by_name.get(anonymous)?, *by_name.get(default)?);
        Some(Self { names, by_name, anonymous, default })
    }

    /// The tier of a caller with this claim.
    pub(crate) fn resolve(&self, claimed: Claimed<'_>) -> Resolved {
        let known = |tier| Resolved { tier, unknown: false };
        match claimed {
            Claimed::NoCredential => known(self.anonymous),
            Claimed::Nothing => known(self.default),
            Claimed::Tier(name) => match self.by_name.get(name) {
                Some(tier) => known(*tier),
                None => Resolved { tier: self.default, unknown: true },
            },
        }
    }

    /// A tier's name.
    pub(crate) fn name(&self, tier: TierId) -> &Arc<str> {
        &self.names[tier.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RL-10: `"nonsense"` and a tier that is not a string count as unknown, an absent one does not; none is unlimited.
    #[test]
    fn whoever_claims_no_known_tier_gets_the_default_one() {
        let names = ["anonymous", "free", "gold"].map(Arc::from).to_vec();
        let tiers = Tiers::new(names, "anonymous", "free").expect("both exist");
        let of = |claimed| {
            let Resolved { tier, unknown } = tiers.resolve(claimed);
            (&**tiers.name(tier), unknown)
        };
        assert_eq!(of(Claimed::NoCredential), ("anonymous", false));
        assert_eq!(of(Claimed::Nothing), ("free", false));
        assert_eq!(of(Claimed::Tier("gold")), ("gold", false));
        assert_eq!(of(Claimed::Tier("nonsense")), ("free", true));
        assert_eq!(of(Claimed::Tier("7")), ("free", true));
        assert_eq!(of(Claimed::Tier("")), ("free", true));
    }

    #[test]
    fn a_tier_that_does_not_exist_cannot_be_the_fallback() {
        let names = vec![Arc::from("anonymous")];
        assert!(Tiers::new(names.clone(), "anonymous", "free").is_none());
        assert!(Tiers::new(names, "nobody", "anonymous").is_none());
    }
}
