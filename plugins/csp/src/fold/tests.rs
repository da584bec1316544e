use super::*;
use crate::clean::{Cleaned, Paths, clean};
use crate::record::Kept;
use proptest::prelude::*;
use std::time::SystemTime;

const SECOND: u64 = 1_000_000_000;

fn url(text: &str) -> Cleaned {
    clean(&url::Url::parse(text).expect(text), Paths::Kept)
}

fn sighting(document: &str) -> Sighting {
    sighting_of("img-src", "https://cdn.example.net/a.png", document)
}

fn sighting_of(directive: &str, blocked: &str, document: &str) -> Sighting {
    let kept = Kept {
        blocked: url(blocked),
        document: url(document),
        source: None,
        line: Some(1),
        column: None,
        status: None,
        policy: Some(7),
    };
    let details = Details {
        directive: Directive::of(directive).expect("a directive"),
        disposition: Disposition::Enforce,
        places: Some(kept),
    };
    Sighting { details, at: Stamp::of(SystemTime::UNIX_EPOCH) }
}

fn numbered(number: usize) -> Sighting {
    // A word without digits, as marks would make all of them one.
    let letters: String = format!("{number:05}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
    sighting(&format!("https://app.example.com/{letters}"))
}

fn table() -> Table {
    Table::new(9, Monotonic(0))
}

/// CSP-15, the folding.
#[test]
fn a_thousand_equal_reports_are_two_records() {
    let mut table = table();
    let mut at_once = Vec::new();
    for n in 0..1000 {
        let (folded, record) = table.fold(sighting("https://app.example.com/"), Monotonic(n), 1.0);
        assert_eq!(folded, Folded::Accepted);
        at_once.extend(record);
    }
    assert_eq!(at_once.iter().map(|record| record.count).collect::<Vec<_>>(), [1]);
    assert!(!table.is_due(Monotonic(60 * SECOND - 1)) && table.is_due(Monotonic(60 * SECOND)));
    let told = table.close(Monotonic(60 * SECOND));
    assert_eq!(told.iter().map(|record| record.count).collect::<Vec<_>>(), [999]);
    assert_eq!(table.all(|_| true).iter().map(|record| record.count).collect::<Vec<_>>(), [1000]);
    assert!(!table.is_due(Monotonic(119 * SECOND)));
    assert_eq!(table.close(Monotonic(120 * SECOND)), [], "nothing came in between");
}

/// CSP-16, the sampling.
#[test]
fn without_a_sample_first_sightings_are_left_and_nothing_is_lost_from_the_count() {
    let mut table = table();
    let (mut told, mut accepted, mut sampled_out) = (Vec::new(), 0, 0);
    for _ in 0..100 {
        for key in 0..10 {
            let (folded, record) = table.fold(numbered(key), Monotonic(1), 0.0);
            match folded {
                Folded::Accepted => accepted += 1,
                Folded::SampledOut => sampled_out += 1,
            }
            told.extend(record);
        }
    }
    told.extend(table.close(Monotonic(60 * SECOND)));
    assert_eq!((told.len(), accepted, sampled_out), (10, 10, 990));
    assert_eq!(table.all(|_| true).iter().map(|record| record.count).sum::<u64>(), 1000);
}

#[test]
fn a_group_is_drawn_for_once_a_window() {
    let mut table = table();
    let (mut windows_told, mut told) = (0, 0);
    for window in 0..400_u64 {
        let now = Monotonic(window * 60 * SECOND);
        let outcomes: Vec<Folded> =
            (0..3).map(|_| table.fold(numbered(0), now, 0.5).0).skip(usize::from(window == 0)).collect();
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "one window, one outcome");
        windows_told += usize::from(outcomes[0] == Folded::Accepted);
        told += table.close(Monotonic((window + 1) * 60 * SECOND)).len();
    }
    assert_eq!(told, windows_told);
    assert!((150..250).contains(&told), "about half: {told}");
}

/// CSP-20, the bound.
#[test]
fn what_finds_no_room_is_counted_by_directive_and_disposition() {
    let mut table = table();
    for number in 0..12_000 {
        let (folded, _) = table.fold(numbered(number), Monotonic(1), 1.0);
        assert_eq!(folded, Folded::Accepted);
    }
    table.fold(sighting_of("font-src", "data:x", "https://app.example.com/new"), Monotonic(1), 1.0);
    assert_eq!(table.keys(), MAX_KEYS);
    let overflow = table.all(|record| record.details.places.is_none());
    let mut counts: Vec<(&str, u64)> =
        overflow.iter().map(|record| (record.details.directive.as_str(), record.count)).collect();
    counts.sort_unstable();
    assert_eq!(counts, [("font-src", 1), ("img-src", 2000)]);
    assert_eq!(table.all(|_| true).iter().map(|record| record.count).sum::<u64>(), 12_001);
    let told = table.close(Monotonic(60 * SECOND));
    assert_eq!(told.iter().map(|record| record.count).collect::<Vec<_>>(), [1999]);
}

#[test]
fn a_group_unseen_for_a_day_leaves_and_makes_room() {
    let mut table = table();
    for number in 0..MAX_KEYS {
        table.fold(numbered(number), Monotonic(0), 1.0);
    }
    let day = FORGOTTEN_AFTER.as_nanos() as u64;
    table.fold(numbered(3), Monotonic(SECOND), 1.0);
    table.close(Monotonic(day - 1));
    assert_eq!(table.keys(), MAX_KEYS);
    table.close(Monotonic(day));
    assert_eq!(table.keys(), 1);
    let (_, record) = table.fold(numbered(20_000), Monotonic(day), 0.0);
    assert!(record.is_some(), "it has room of its own");
}

#[test]
fn a_key_is_these_parts_and_no_others() {
    let mut table = table();
    let base = || sighting_of("img-src", "https://cdn.example.net/a.png", "https://app.example.com/x");
    table.fold(base(), Monotonic(0), 1.0);
    let same = [sighting_of("img-src", "https://cdn.example.net/other.png", "https://app.example.com/x"), {
        let mut other = base();
        let places = other.details.places.as_mut().expect("places");
        (places.line, places.column, places.status) = (Some(99), Some(9), Some(404));
        other
    }];
    for other in same {
        assert_eq!(table.fold(other, Monotonic(0), 1.0).1, None);
    }
    let mut by_policy = base();
    by_policy.details.places.as_mut().expect("places").policy = None;
    let mut by_source = base();
    by_source.details.places.as_mut().expect("places").source = Some(url("https://app.example.com/a.js"));
    let mut by_disposition = base();
    by_disposition.details.disposition = Disposition::Report;
    for other in [
        sighting_of("font-src", "https://cdn.example.net/a.png", "https://app.example.com/x"),
        sighting_of("img-src", "https://cdn.example.net:8443/a.png", "https://app.example.com/x"),
        sighting_of("img-src", "https://cdn.example.net/a.png", "https://app.example.com/y"),
        by_policy,
        by_source,
        by_disposition,
    ] {
        assert!(table.fold(other.clone(), Monotonic(0), 1.0).1.is_some(), "{other:?}");
    }
    assert_eq!(table.keys(), 7);
}

#[test]
fn moments_are_the_first_and_the_last_that_were_told_of() {
    let mut table = table();
    let at = |text: &str| Stamp::parse(text).expect("a time");
    for time in ["2026-01-01T00:00:10Z", "2026-01-01T00:00:05Z", "2026-01-01T00:00:20Z"] {
        table.fold(Sighting { at: at(time), ..numbered(1) }, Monotonic(0), 1.0);
    }
    let all = table.all(|_| true);
    assert_eq!((all[0].first_seen, all[0].last_seen), (at("2026-01-01T00:00:05Z"), at("2026-01-01T00:00:20Z")));
}

proptest! {
    #[test]
    fn every_report_is_counted_once_and_told_at_most_once(
        steps in proptest::collection::vec((0..20_usize, 0..90_u64), 1..200),
        sample in 0.0..=1.0_f64,
    ) {
        let mut table = table();
        let (mut now, mut told, mut accepted) = (0, 0, 0);
        for (key, pause) in &steps {
            now += pause * SECOND;
            if table.is_due(Monotonic(now)) {
                told += table.close(Monotonic(now)).iter().map(|record| record.count).sum::<u64>();
            }
            let (folded, record) = table.fold(numbered(*key), Monotonic(now), sample);
            accepted += u64::from(folded == Folded::Accepted);
            told += record.map_or(0, |record| record.count);
        }
        told += table.close(Monotonic(now)).iter().map(|record| record.count).sum::<u64>();
        prop_assert_eq!(told, accepted);
        prop_assert_eq!(table.all(|_| true).iter().map(|record| record.count).sum::<u64>(), steps.len() as u64);
    }
}
