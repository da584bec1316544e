//! Which tier a caller is in. Never none, so nobody is without limits by accident.

use std::collections::BTreeMap;
use std::sync::Arc;
use vestibule_plugin::{Facts, Principal};

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
    /// As the auth plugin stated it. A tier without a verified principal is nobody's.
    pub(crate) fn of(facts: &'a Facts) -> Self {
        match (facts.principal(), facts.tier()) {
            (None, _) => Self::NoCredential,
            (Some(Principal::Subject(_) | Principal::ApiKey(_)), None) => Self::Nothing,
            (Some(Principal::Subject(_) | Principal::ApiKey(_)), Some(name)) => Self::Tier(name),
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
