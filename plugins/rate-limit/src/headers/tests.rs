use super::*;
use proptest::prelude::*;
use sfv::{BareItem, List, ListEntry, Parser};
use std::time::Duration;
use vestibule_plugin::Fields;
use vestibule_store::quotas::gcra::Gcra;
use vestibule_store::quotas::{Algorithm, Decision, OnStoreError, Sharing, Terms};

fn gcra(name: &str, quota: u64, window_s: u64, burst: u64) -> Limit {
    Limit::new(&Terms {
        name,
        key: "address",
        algorithm: Algorithm::Gcra,
        quota,
        window: Duration::from_secs(window_s),
        burst,
        sharing: Sharing::Local,
        on_store_error: OnStoreError::LocalShare,
    })
    .expect("a good limit")
}

fn left(remaining: u64) -> Left {
    Left { remaining, next_ns: 1 }
}

#[test]
fn fields_read_as_the_draft_says() {
    let (burst, day) = (gcra("burst", 100, 60, 100), gcra("day", 50_000, 86_400, 500));
    assert_eq!(
        policy([&burst, &day]).expect("two"),
        r#""burst";q=100;w=60, "day";q=50000;w=86400;vestibule-burst=500"#
    );
    assert_eq!(limit([Standing::admitted(&burst, left(42))]).expect("one"), r#""burst";r=42;t=26"#);
    assert_eq!(policy([]), None);
}

#[test]
fn the_closest_policy_has_the_least_share_then_the_longest_wait_then_the_first_place() {
    let (a, b, c) = (gcra("a", 10, 60, 10), gcra("b", 100, 60, 100), gcra("c", 10, 120, 10));
    let of = |standings: [Standing<'_>; 2]| closest(standings).map(|standing| standing.limit.name().to_string());
    assert_eq!(of([Standing::admitted(&a, left(5)), Standing::admitted(&b, left(40))]), Some("b".into()));
    assert_eq!(of([Standing::admitted(&a, left(5)), Standing::admitted(&c, left(5))]), Some("c".into()));
    assert_eq!(of([Standing::admitted(&a, left(5)), Standing::admitted(&b, left(50))]), Some("a".into()));
}

#[test]
fn names_are_escaped_as_strings() {
    let limit = gcra(r#"a "b" \c"#, 1, 1, 1);
    let field = policy([&limit]).expect("one");
    assert_eq!(field, r#""a \"b\" \\c";q=1;w=1"#);
    assert_eq!(names(field.to_str().expect("ASCII")), [r#"a "b" \c"#]);
}

#[test]
fn a_tighter_github_set_of_the_upstream_is_kept_whole() {
    let a = gcra("a", 10, 60, 10);
    let mut fields = Fields::new();
    fields.set(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(3));
    fields.set(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(5));
    assert!(!github(&mut fields, Standing::admitted(&a, left(4)), 1_000));
    assert_eq!(fields.text("x-ratelimit-limit"), Some("5"));
    assert!(!fields.has("x-ratelimit-reset"));
    assert!(github(&mut fields, Standing::admitted(&a, left(2)), 1_000));
    let ours = GITHUB.map(|name| fields.text(name).expect("ASCII").to_owned());
    assert_eq!(ours, ["10", "2", "8", "1012", "a"]);
}

#[test]
fn exposed_names_are_merged_once_and_only_where_another_origin_reads() {
    let mut fields = Fields::new();
    expose(&mut fields, &[&POLICY]);
    assert!(fields.is_empty());
    fields.set(HeaderName::from_static("access-control-allow-origin"), HeaderValue::from_static("https://app.example"));
    fields.append(HeaderName::from_static("access-control-expose-headers"), HeaderValue::from_static("x-a"));
    fields.append(
        HeaderName::from_static("access-control-expose-headers"),
        HeaderValue::from_static("x-b, RateLimit-Policy"),
    );
    expose(&mut fields, &[&POLICY, &LIMIT]);
    let lines: Vec<_> = fields.lines("access-control-expose-headers").collect();
    assert_eq!(lines, [b"x-a, x-b, RateLimit-Policy, ratelimit"]);
}

/// The members of a field, checked to be Strings with Integer parameters.
fn members(field: &str) -> Vec<(String, Vec<(String, i64)>)> {
    let list: List = Parser::new(field).parse().unwrap_or_else(|error| panic!("{field}: {error}"));
    list.into_iter()
        .map(|entry| {
            let ListEntry::Item(item) = entry else { panic!("{field}: an inner list") };
            let BareItem::String(name) = item.bare_item else { panic!("{field}: not a String") };
            let params = item.params.into_iter().map(|(key, value)| {
                let BareItem::Integer(number) = value else { panic!("{field}: {key:?} is no Integer") };
                (key.as_str().to_owned(), i64::from(number))
            });
            (name.as_str().to_owned(), params.collect())
        })
        .collect()
}

fn names(field: &str) -> Vec<String> {
    members(field).into_iter().map(|(name, _)| name).collect()
}

fn number(member: &(String, Vec<(String, i64)>), key: &str) -> u64 {
    let found = member.1.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("no {key}"));
    u64::try_from(found.1).expect("not negative")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// RL-03: fields parse; `t ≥ 1`; admitted: `r × w ≤ t × q`; refused: no `t` above `retry-after`.
    #[test]
    fn no_field_invites_a_client_to_go_faster_than_its_quota(
        limits in prop::collection::vec(
            prop_oneof![(1..=50_u64, Just(1_u64)), (1..=1_000_u64, Just(60)), (1..=50_000_u64, Just(86_400))],
            1..4,
        ),
        burst_percent in 100..=300_u64,
        asked in prop::collection::vec((0..2_000_000_000_u64, 1..4_u64), 1..60),
    ) {
        let limits: Vec<Limit> = limits
            .into_iter()
            .enumerate()
            .map(|(i, (quota, window_s))| gcra(&format!("p{i}"), quota, window_s, quota * burst_percent / 100))
            .collect();
        let listed = names(policy(&limits).expect("some").to_str().expect("ASCII"));
        prop_assert_eq!(listed.len(), limits.len());
        let mut dues = vec![0_u64; limits.len()];
        let mut now = 0;
        for (gap, cost) in asked {
            now += gap;
            let decisions: Vec<_> = limits
                .iter()
                .zip(&dues)
                .map(|(limit, due)| Gcra::of(limit).decide(due.saturating_sub(now), cost))
                .collect();
            let refused: Vec<_> = limits
                .iter()
                .zip(&decisions)
                .filter_map(|(limit, decision)| match decision {
                    Decision::Refuse { remaining, wait_ns } => {
                        Some((Standing::refused(limit, *remaining, *wait_ns), *wait_ns))
                    }
                    Decision::Admit { .. } => None,
                })
                .collect();
            if refused.is_empty() {
                let mut standings = Vec::new();
                for ((limit, due), decision) in limits.iter().zip(&mut dues).zip(&decisions) {
                    if let Decision::Admit { debt_ns, left } = decision {
                        *due = now + debt_ns;
                        standings.push(Standing::admitted(limit, *left));
                    }
                }
                let field = limit(closest(standings)).expect("one");
                let member = members(field.to_str().expect("ASCII")).remove(0);
                let limit = limits.iter().find(|limit| **limit.name() == *member.0).expect("ours");
                let (r, t) = (number(&member, "r"), number(&member, "t"));
                prop_assert!(t >= 1);
                prop_assert!(r <= limit.burst());
                prop_assert!(r * limit.window_s() <= t * limit.quota(), "{field:?}");
            } else {
                let retry_after = refused.iter().map(|(_, wait_ns)| seconds(*wait_ns)).max().expect("some");
                let field = limit(refused.iter().map(|(standing, _)| *standing)).expect("some");
                for member in members(field.to_str().expect("ASCII")) {
                    let t = number(&member, "t");
                    prop_assert!((1..=retry_after).contains(&t));
                    prop_assert!(number(&member, "r") < cost);
                }
            }
        }
    }
}
