//! Which part of a list, and the one shape every list has.

use serde::Serialize;

use super::Params;
use crate::text::Invalid;

/// The size of a page when none is asked for.
pub(crate) const DEFAULT_PAGE_SIZE: u32 = 20;
/// The largest page.
pub(crate) const MAX_PAGE_SIZE: u32 = 100;
const MAX_PAGE: u32 = 1_000_000;

/// A page from 1 to 1,000,000 of 1 to 100 items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    number: u32,
    size: u32,
}

impl Page {
    /// Reads `page` and `page_size`, default 1 and 20.
    pub(crate) fn read(params: &mut Params) -> Self {
        let number = params.read("page", |text| within(text, MAX_PAGE)).unwrap_or(1);
        let size = params.read("page_size", |text| within(text, MAX_PAGE_SIZE)).unwrap_or(DEFAULT_PAGE_SIZE);
        Self { number, size }
    }

    /// Counted from 1.
    #[cfg(test)]
    pub(crate) const fn number(self) -> u32 {
        self.number
    }

    /// The most items it can have.
    pub(crate) const fn size(self) -> u32 {
        self.size
    }

    /// The number of items before it.
    pub(crate) fn offset(self) -> i64 {
        i64::from(self.number - 1) * i64::from(self.size)
    }
}

fn within(text: &str, max: u32) -> Result<u32, Invalid> {
    // `parse` alone would take a sign.
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| Invalid::new(format!("must be a number from 1 to {max}")))
}

/// PaginatedResponse: the items of one page and the number of all.
#[derive(Debug, Serialize)]
pub(crate) struct Paginated<T> {
    items: Vec<T>,
    page: u32,
    page_size: u32,
    total: i64,
}

impl<T> Paginated<T> {
    /// `items` and `total` must come from one snapshot.
    pub(crate) fn new(items: Vec<T>, page: Page, total: i64) -> Self {
        Self { items, page: page.number, page_size: page.size, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Option<Page> {
        let mut params = Params::of(Some(query));
        let page = Page::read(&mut params);
        params.finish(page).ok()
    }

    #[test]
    fn both_ends_of_a_range_are_part_of_it() {
        assert_eq!(page("page=1000000&page_size=100"), Some(Page { number: 1_000_000, size: 100 }));
        assert_eq!(page("page=1&page_size=1"), Some(Page { number: 1, size: 1 }));
        assert_eq!(page("page=007"), Some(Page { number: 7, size: 20 }));
    }

    #[test]
    fn the_offset_of_the_last_page_fits() {
        assert_eq!(page("page=1000000&page_size=100").map(Page::offset), Some(99_999_900));
    }

    /// UP-02: what is not a number in range, once.
    #[test]
    fn everything_else_is_refused() {
        for value in
            ["0", "-1", "+1", "x", "", "1.0", "1e3", "0x1", "1000001", "99999999999999999999", "%31%00", "1&page=1"]
        {
            assert_eq!(page(&format!("page={value}")), None, "{value}");
        }
        for value in ["0", "101", "x", "1&page_size=1"] {
            assert_eq!(page(&format!("page_size={value}")), None, "{value}");
        }
    }
}
