//! The order of a list. The id ends every order, so pages neither overlap nor skip.

use super::Params;
use crate::text::Invalid;

const MAX_KEYS: usize = 3;

/// Something a resource can be sorted by.
pub(crate) trait SortField: Copy + PartialEq + 'static {
    /// Every field, in the order an error lists them.
    const ALL: &'static [Self];
    /// The field that tells newer from older, which sorts when nothing is asked for.
    const NEWEST: Self;

    /// Its name in `sort`, which is the name of its column.
    fn name(self) -> &'static str;
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// One to three different fields, each with a direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sort<F>(Vec<(F, Direction)>);

impl<F: SortField> Default for Sort<F> {
    fn default() -> Self {
        Self(vec![(F::NEWEST, Direction::Descending)])
    }
}

impl<F: SortField> Sort<F> {
    /// Reads `sort`, fields separated by commas, `-` before a field for descending.
    pub(crate) fn read(params: &mut Params) -> Self {
        params.read("sort", Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let mut keys: Vec<(F, Direction)> = Vec::with_capacity(MAX_KEYS);
        for key in text.split(',') {
            let (name, direction) = match key.strip_prefix('-') {
                Some(name) => (name, Direction::Descending),
                None => (key, Direction::Ascending),
            };
            let field = F::ALL.iter().copied().find(|field| field.name() == name).ok_or_else(Self::refused)?;
            if keys.len() == MAX_KEYS || keys.iter().any(|(other, _)| *other == field) {
                return Err(Self::refused());
            }
            keys.push((field, direction));
        }
        Ok(Self(keys))
    }

    fn refused() -> Invalid {
        let names: Vec<_> = F::ALL.iter().map(|field| field.name()).collect();
        Invalid::new(format!("must be one to three different fields of {}, each with or without -", names.join(", ")))
    }

    /// What follows `ORDER BY`. The id takes the direction of the last field.
    pub(crate) fn order_by(&self) -> String {
        let last = self.0.last().map_or(Direction::Ascending, |(_, direction)| *direction);
        let fields = self.0.iter().map(|(field, direction)| (field.name(), *direction));
        let keys = fields.chain([("id", last)]).map(|(name, direction)| match direction {
            Direction::Ascending => name.to_owned(),
            Direction::Descending => format!("{name} DESC"),
        });
        keys.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Column(&'static str);

    impl SortField for Column {
        const ALL: &'static [Self] = &[Column("created_at"), Column("a"), Column("b"), Column("c")];
        const NEWEST: Self = Self::ALL[0];

        fn name(self) -> &'static str {
            self.0
        }
    }

    #[test]
    fn the_default_is_newest_first() {
        assert_eq!(Sort::<Column>::default().order_by(), "created_at DESC, id DESC");
    }

    #[test]
    fn the_id_breaks_ties() {
        let sort = Sort::<Column>::parse("a,-b,c").expect("accepted");
        assert_eq!(sort.order_by(), "a, b DESC, c, id");
    }

    #[test]
    fn what_is_unknown_repeated_or_too_much_is_refused() {
        for text in ["", "x", "id", "--a", "A", "a,", "a,a", "a,-a", "a,b,c,created_at", "a b", " a"] {
            assert!(Sort::<Column>::parse(text).is_err(), "{text}");
        }
    }
}
