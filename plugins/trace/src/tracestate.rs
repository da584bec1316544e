//! `tracestate` (W3C Trace Context Level 2, section 3.3): what other tracing systems say about the same trace.
//! It is carried on, never added to; one fault drops all of it, and never touches `traceparent`.

use vestibule_plugin::list;

/// Most members; one more drops the list.
pub const MOST_MEMBERS: usize = 32;

/// The one line to send for these lines: members in order, of equal keys the first. `None` when there is nothing to
/// send, or a member is bad, or there are more than [`MOST_MEMBERS`].
pub fn join<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut members: [(&[u8], &[u8]); MOST_MEMBERS] = [(&[], &[]); MOST_MEMBERS];
    let mut kept = 0;
    for (before, member) in lines.into_iter().flat_map(list::tokens_of_line).enumerate() {
        let (key, _) = parse(member).filter(|_| before < MOST_MEMBERS)?;
        if !members[..kept].iter().any(|(known, _)| *known == key) {
            members[kept] = (key, member);
            kept += 1;
        }
    }
    let members = &members[..kept];
    let length: usize = members.iter().map(|(_, member)| member.len() + 1).sum();
    let mut line = Vec::with_capacity(length.checked_sub(1)?);
    for (at, (_, member)) in members.iter().enumerate() {
        if at > 0 {
            line.push(b',');
        }
        line.extend_from_slice(member);
    }
    Some(line)
}

/// Key and value of a member without white space around it.
fn parse(member: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = member.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    (is_key(key) && is_value(value)).then_some((key, value))
}

fn is_key(key: &[u8]) -> bool {
    let simple = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=256).contains(&key.len())
        && key.first().is_some_and(simple)
        && key.iter().all(|byte| simple(byte) || b"_-*/@".contains(byte))
}

/// Leading spaces belong to the value; trailing ones were white space around the member.
fn is_value(value: &[u8]) -> bool {
    (1..=256).contains(&value.len())
        && value.last() != Some(&b' ')
        && value.iter().all(|byte| matches!(byte, 0x20..=0x7e) && !b",=".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(lines: &[&str]) -> Option<String> {
        join(lines.iter().map(|line| line.as_bytes())).map(|line| String::from_utf8(line).expect("ASCII"))
    }

    fn numbered(members: usize) -> String {
        (0..members).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",")
    }

    /// OBS-06: lines are joined, empty ones and empty members are ignored.
    #[test]
    fn lines_become_one_in_order() {
        assert_eq!(joined(&["b=1, a=2", "", "c=3 ,\t,d=4"]).as_deref(), Some("b=1,a=2,c=3,d=4"));
        assert_eq!(joined(&["", " , "]), None);
        assert_eq!(joined(&[]), None);
    }

    #[test]
    fn of_equal_keys_the_first_is_kept() {
        assert_eq!(joined(&["a=1,b=2", "a=3,a=1"]).as_deref(), Some("a=1,b=2"));
    }

    /// OBS-07: 32 members are kept whole, 33 are dropped.
    #[test]
    fn one_member_too_many_drops_the_list() {
        assert_eq!(joined(&[&numbered(32)]), Some(numbered(32)));
        assert_eq!(joined(&[&numbered(33)]), None);
        assert_eq!(joined(&[&numbered(32), "k0=again"]), None);
    }

    #[test]
    fn members_are_as_the_grammar_says() {
        let (long, longer) = ("x".repeat(256), "x".repeat(257));
        let good = ["a=b", "0=b", "a@b=c", "a_*/@-=c", "a= b", "a=\u{7e}!", &format!("{long}={long}")];
        for member in good {
            assert_eq!(joined(&[member]).as_deref(), Some(member));
        }
        let bad = [
            "FOO=1",
            "a",
            "=a",
            "a=",
            "a= ",
            "a=b=c",
            "@a=b",
            "_a=b",
            "a b=c",
            "a =b",
            "a=b\tc",
            "a=\u{e9}",
            "a.b=c",
            &format!("{longer}=a"),
            &format!("a={longer}"),
        ];
        for member in bad {
            assert_eq!(joined(&["good=1", member]), None, "{member:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_joined_joins_to_itself(lines in proptest::collection::vec("([a-c]{1,2}=[ -~]{1,3}|[ -~]{0,4}|,)(,[a-c]=[a-z]){0,3}", 0..5)) {
            let bytes: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
            if let Some(line) = join(bytes) {
                prop_assert!(!line.is_empty());
                prop_assert_eq!(join([&line[..]]), Some(line.clone()));
            }
        }

        #[test]
        fn no_bytes_panic(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
            let _ = join(lines.iter().map(Vec::as_slice));
        }
    }
}
