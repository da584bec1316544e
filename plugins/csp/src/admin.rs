//! `GET /csp`: what was reported, most often first.

use crate::directive::Directive;
use crate::fold::{MAX_KEYS, WINDOW};
use crate::kept::Kept;
use crate::metrics::Outcome;
use crate::record::Record;
use crate::report::Disposition;
use crate::stamp::Stamp;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::cmp::Reverse;

/// Entries that are shown when nobody says how many.
const LIMIT: usize = 100;
/// Most entries that are shown.
const MAX_LIMIT: usize = 1000;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Query {
    limit: usize,
    directive: Option<Directive>,
    disposition: Option<Disposition>,
    since: Option<Stamp>,
}

impl Query {
    /// Of a query string, or why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self { limit: LIMIT, directive: None, disposition: None, since: None };
        let mut seen = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err("a parameter is not percent-encoded UTF-8".to_owned());
            };
            match &*name {
                "limit" => {
                    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                    // More digits than fit are as good as the most.
                    query.limit = value.parse().unwrap_or(MAX_LIMIT).min(MAX_LIMIT);
                    expect(digits, "limit", "a number")?;
                }
                "directive" => {
                    query.directive = Directive::of_shown(&value);
                    expect(query.directive.is_some(), "directive", "a directive such as img-src, or other")?;
                }
                "disposition" => {
                    query.disposition = Disposition::ALL.into_iter().find(|known| known.as_str() == value);
                    expect(query.disposition.is_some(), "disposition", "enforce, report or unknown")?;
                }
                "since" => {
                    query.since = Stamp::parse(&value);
                    let expected = "a time such as 2026-11-22T10:00:00Z; a + is written %2B";
                    expect(query.since.is_some(), "since", expected)?;
                }
                _ => return Err("the parameters are limit, directive, disposition and since".to_owned()),
            }
            if seen.contains(&name) {
                return Err("a parameter stands there twice".to_owned());
            }
            seen.push(name);
        }
        Ok(query)
    }

    fn wants(&self, record: &Record) -> bool {
        let details = &record.details;
        self.directive.is_none_or(|directive| details.directive == directive)
            && self.disposition.is_none_or(|disposition| details.disposition == disposition)
            && self.since.is_none_or(|since| record.last_seen >= since)
    }

    /// Of these the ones that are asked for, in order.
    fn pick(&self, mut records: Vec<Record>) -> Vec<Record> {
        records.sort_by_key(|record| Reverse((record.count, record.last_seen)));
        records.truncate(self.limit);
        records
    }
}

fn expect(met: bool, name: &str, what: &str) -> Result<(), String> {
    if met { Ok(()) } else { Err(format!("{name}: expected {what}")) }
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    let bytes = text.as_bytes();
    let whole = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
    let sound = text.match_indices('%').all(|(at, _)| whole(at));
    sound.then(|| percent_decode_str(text).decode_utf8().ok()).flatten()
}

/// The page.
pub(crate) fn page(kept: &Kept, now: Stamp, query: &Query) -> Value {
    let (keys, records) = {
        let table = kept.table.lock();
        (table.keys(), table.all(|record| query.wants(record)))
    };
    let totals: serde_json::Map<String, Value> =
        Outcome::ALL.iter().map(|outcome| (outcome.as_str().to_owned(), kept.totals.of(*outcome).into())).collect();
    json!({
        "generated_at": now,
        "since": kept.since,
        "window": format!("{}s", WINDOW.as_secs()),
        "keys": keys,
        "keys_max": MAX_KEYS,
        "totals": totals,
        "violations": query.pick(records),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CSP-21, the parameters.
    #[test]
    fn parameters_are_known_and_well_formed() {
        let plain = Query::parse("").expect("no parameters");
        assert_eq!((plain.limit, plain.directive, plain.disposition, plain.since), (100, None, None, None));
        let all = Query::parse("limit=7&directive=img-src&disposition=report&since=2026-11-22T10%3A00:00%2B01:00");
        let all = all.expect("known parameters");
        assert_eq!((all.limit, all.disposition), (7, Some(Disposition::Report)));
        assert_eq!(all.since, Stamp::parse("2026-11-22T09:00:00Z"));
        assert_eq!(Query::parse("limit=99999999999999999999").map(|query| query.limit), Ok(1000));
        assert_eq!(Query::parse("limit=1001&").map(|query| query.limit), Ok(1000));
        for text in [
            "limit=x",
            "limit=",
            "limit",
            "limit=-1",
            "limit=1.5",
            "since=yesterday",
            "disposition=x",
            "directive=x",
            "sort=count",
            "limit=1&limit=2",
            "limit=%3",
            "limit=%zz",
            "%ff=1",
            "since=2026-11-22T10:00:00+01:00x",
        ] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
    }
}
