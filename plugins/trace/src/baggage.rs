//! `baggage` (W3C Baggage, section 3.3): opaque here, carried on up to the limits the specification gives.

use vestibule_plugin::list;

/// Most members that go on.
pub const MOST_MEMBERS: usize = 64;
/// Most bytes that go on.
pub const MOST_BYTES: usize = 8192;

/// The one line to send for these lines, byte for byte; beyond either bound whole members are cut from the end. `None`
/// when there is nothing to send, or a byte is neither printable ASCII nor a tab.
pub fn join<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    for line in lines {
        if !line.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e)) {
            return None;
        }
        if list::tokens_of_line(line).next().is_none() {
            continue;
        }
        if !joined.is_empty() {
            joined.push(b',');
        }
        joined.extend_from_slice(line);
    }
    joined.truncate(fitting(&joined));
    (!joined.is_empty()).then_some(joined)
}

/// Length of the longest run of whole members, from the front, that is within both bounds.
fn fitting(joined: &[u8]) -> usize {
    let mut end = 0;
    let mut members = 0;
    let mut fits = 0;
    for member in joined.split(|byte| *byte == b',') {
        end += member.len();
        members += usize::from(!list::trim(member).is_empty());
        if members > MOST_MEMBERS || end > MOST_BYTES {
            break;
        }
        fits = end;
        end += 1;
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(lines: &[&str]) -> Option<String> {
        join(lines.iter().map(|line| line.as_bytes())).map(|line| String::from_utf8(line).expect("ASCII"))
    }

    #[test]
    fn lines_are_joined_and_nothing_else_is_touched() {
        assert_eq!(joined(&["a=1 ;p , b = %20"]).as_deref(), Some("a=1 ;p , b = %20"));
        assert_eq!(joined(&["a=1", "", "b=2"]).as_deref(), Some("a=1,b=2"));
        assert_eq!(joined(&["", " ,"]), None);
    }

    #[test]
    fn whole_members_are_cut_from_the_end() {
        let members = |n: usize| (0..n).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert_eq!(joined(&[&members(64)]), Some(members(64)));
        assert_eq!(joined(&[&members(65)]), Some(members(64)));
        let half = format!("k={}", "x".repeat(4000));
        let three = format!("{half},{half},{half}");
        assert_eq!(joined(&[&three]), Some(format!("{half},{half}")));
        assert_eq!(joined(&[&"x".repeat(MOST_BYTES)]), Some("x".repeat(MOST_BYTES)));
        assert_eq!(joined(&[&"x".repeat(MOST_BYTES + 1)]), None);
    }

    #[test]
    fn bytes_outside_the_printable_range_drop_it_whole() {
        assert_eq!(joined(&["a=1", "b=\u{e9}"]), None);
        assert_eq!(joined(&["a=\u{7f}"]), None);
        assert_eq!(joined(&["a=\t1"]).as_deref(), Some("a=\t1"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_goes_on_is_a_prefix_within_bounds(line in "([a-z]{0,9}={1,200}[ -~]{0,9},?){0,90}") {
            if let Some(kept) = join([line.as_bytes()]) {
                prop_assert!(kept.len() <= MOST_BYTES && list::tokens_of_line(&kept).count() <= MOST_MEMBERS);
                prop_assert!(line.as_bytes().starts_with(&kept));
                prop_assert_eq!(join([&kept[..]]), Some(kept.clone()));
            }
        }

        #[test]
        fn no_bytes_panic(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
            let _ = join(lines.iter().map(Vec::as_slice));
        }
    }
}
