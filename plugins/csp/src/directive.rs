//! The closed list of directives.

/// A directive of a policy, or [`Directive::OTHER`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Directive(u8);

/// What may stand behind the name of a directive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Takes {
    /// Sources that may be loaded: a report of it can be answered by adding one.
    Sources,
    /// Origins of pages that may hold this one; a report does not name them.
    Ancestors,
    /// Names of Trusted Types policies, or where they are required.
    Names,
    /// Anything else, or nothing.
    Else,
}

/// CSP Level 3, and what other specifications add to it; those that browsers dropped are known as well.
const ALL: [(&str, Takes); 32] = [
    ("base-uri", Takes::Sources),
    ("block-all-mixed-content", Takes::Else),
    ("child-src", Takes::Sources),
    ("connect-src", Takes::Sources),
    ("default-src", Takes::Sources),
    ("fenced-frame-src", Takes::Sources),
    ("font-src", Takes::Sources),
    ("form-action", Takes::Sources),
    ("frame-ancestors", Takes::Ancestors),
    ("frame-src", Takes::Sources),
    ("img-src", Takes::Sources),
    ("manifest-src", Takes::Sources),
    ("media-src", Takes::Sources),
    ("navigate-to", Takes::Sources),
    ("object-src", Takes::Sources),
    ("plugin-types", Takes::Else),
    ("prefetch-src", Takes::Sources),
    ("report-to", Takes::Else),
    ("report-uri", Takes::Else),
    ("require-sri-for", Takes::Else),
    ("require-trusted-types-for", Takes::Names),
    ("sandbox", Takes::Else),
    ("script-src", Takes::Sources),
    ("script-src-attr", Takes::Sources),
    ("script-src-elem", Takes::Sources),
    ("style-src", Takes::Sources),
    ("style-src-attr", Takes::Sources),
    ("style-src-elem", Takes::Sources),
    ("trusted-types", Takes::Names),
    ("upgrade-insecure-requests", Takes::Else),
    ("webrtc", Takes::Else),
    ("worker-src", Takes::Sources),
];

impl Directive {
    /// One that is not on the list.
    pub(crate) const OTHER: Self = Self(ALL.len() as u8);
    /// How many there are, [`Self::OTHER`] included.
    pub(crate) const COUNT: usize = ALL.len() + 1;

    /// The one of this name, in whatever case.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let at = ALL.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?;
        u8::try_from(at).ok().map(Self)
    }

    /// The one of this name, also as it is shown.
    pub(crate) fn of_shown(name: &str) -> Option<Self> {
        if name == Self::OTHER.as_str() { Some(Self::OTHER) } else { Self::of(name) }
    }

    /// Its name in lower case; `other` when it is not on the list.
    pub(crate) fn as_str(self) -> &'static str {
        ALL.get(self.index()).map_or("other", |(name, _)| name)
    }

    /// What it takes.
    pub(crate) fn takes(self) -> Takes {
        ALL.get(self.index()).map_or(Takes::Else, |(_, takes)| *takes)
    }

    /// Its place on the list.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Every one, [`Self::OTHER`] last.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..=Self::OTHER.0).map(Self)
    }

    /// The name on the list that is nearest to `name`, if any is near.
    pub(crate) fn nearest(name: &str) -> Option<&'static str> {
        let distance = |known: &str| strsim::damerau_levenshtein(known, &name.to_ascii_lowercase());
        let (known, distance) = ALL.iter().map(|(known, _)| (*known, distance(known))).min_by_key(|(_, d)| *d)?;
        (distance <= 3).then_some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_shown() {
        for directive in Directive::all() {
            assert_eq!(Directive::of_shown(directive.as_str()), Some(directive));
        }
        assert_eq!(Directive::all().count(), Directive::COUNT);
        assert_eq!(Directive::of("Img-SRC").map(Directive::as_str), Some("img-src"));
        assert_eq!(Directive::of("other"), None);
        assert_eq!(Directive::of_shown("nonsense"), None);
    }

    #[test]
    fn a_misspelt_name_has_a_nearest_one() {
        assert_eq!(Directive::nearest("scrpt-src"), Some("script-src"));
        assert_eq!(Directive::nearest("completely-different"), None);
    }
}
