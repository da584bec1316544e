//! A call as the script reads it, and its answer. `take.lua` has the other end.

use super::round::{BucketAsk, Entry, Holding, Owed};
use crate::quotas::sliding_log::{self, MAX_LOG};
use crate::quotas::{Algorithm, Limit};
use redis::Value;

/// Says that what follows is a bucket of debt.
const DEBT: u64 = 1;
/// Says that it is a log.
const LOG: u64 = 2;
/// Says that it is a bucket of debt that nobody asks.
const UNASKED_DEBT: u64 = 3;
/// Largest number that the script can tell from its neighbours.
const MAX_EXACT: u64 = 1 << 53;

/// The part of a bucket's key behind its partition.
pub(super) fn suffix(limit: &Limit) -> String {
    let letter = match limit.algorithm() {
        Algorithm::Gcra => 'g',
        Algorithm::SlidingLog => 'l',
    };
    format!("{}:{letter}", limit.name())
}

/// The numbers of a call.
pub(super) fn args(asks: &[BucketAsk], entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut numbers: Vec<u64> = Vec::with_capacity(11 * asks.len() + 5 * entries.len() + 1);
    for ask in asks {
        match ask.limit.algorithm() {
            Algorithm::Gcra => {
                let Owed { debt_ns, seen_us } = ask.owed.unwrap_or(Owed { debt_ns: 0, seen_us: ask.seen_us });
                let kind = if ask.is_asked { DEBT } else { UNASKED_DEBT };
                numbers.extend([kind, ask.limit.emission_ns(), ask.limit.tolerance_ns(), ask.most, ask.proxies.max(1)]);
                numbers.extend([debt_ns, seen_us, ask.carry_ns]);
            }
            Algorithm::SlidingLog => numbers.extend([LOG, ask.limit.quota(), ask.limit.window_ns() / 1_000]),
        }
        numbers.push(ask.refunds.len() as u64);
        numbers.extend(ask.refunds.iter().flat_map(|refund| [refund.amount, refund.stamp_us]));
    }
    numbers.push(entries.len() as u64);
    for entry in entries {
        numbers.extend([entry.count as u64, entry.parts.len() as u64]);
        // Lua counts from 1.
        numbers.extend(entry.parts.iter().flat_map(|part| [part.bucket as u64 + 1, part.cost]));
    }
    numbers.into_iter().map(|number| number.min(MAX_EXACT).to_string().into_bytes()).collect()
}

/// What a call was told.
#[derive(Debug)]
pub(super) struct Answer {
    /// Store time in microseconds.
    pub(super) now_us: u64,
    /// What each bucket held.
    pub(super) before: Vec<Holding>,
    /// What it holds now: nanoseconds of debt, or how many units a log has.
    pub(super) after: Vec<u64>,
}

/// Reads an answer about the buckets of `asks`; `None` when it is none.
pub(super) fn answer(values: &[Value], asks: &[BucketAsk]) -> Option<Answer> {
    let (now, buckets) = values.split_first()?;
    let now_us = number(text(now)?)?;
    if buckets.len() != 2 * asks.len() {
        return None;
    }
    let (mut before, mut after) = (Vec::with_capacity(asks.len()), Vec::with_capacity(asks.len()));
    for (ask, held) in asks.iter().zip(buckets.chunks_exact(2)) {
        before.push(match ask.limit.algorithm() {
            Algorithm::Gcra => Holding::Debt(number(text(&held[0])?)?),
            Algorithm::SlidingLog => log(text(&held[0])?, now_us)?,
        });
        after.push(number(text(&held[1])?)?);
    }
    Some(Answer { now_us, before, after })
}

impl Answer {
    /// Whether this is what is left when the calls are played.
    pub(super) fn agrees(&self, holdings: &[Holding], asks: &[BucketAsk]) -> bool {
        holdings.iter().zip(&self.after).zip(asks).all(|((holding, after), ask)| match holding {
            Holding::Debt(debt_ns) => debt_ns == after,
            Holding::Log { words, now_ns } => {
                let young = (0..words[0].min(MAX_LOG as u64))
                    .filter(|n| now_ns - words[1 + (*n % MAX_LOG as u64) as usize] < ask.limit.window_ns());
                young.count() as u64 == *after
            }
        })
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| *number <= MAX_EXACT)
}

/// `1,2,` the oldest first.
fn log(text: &str, now_us: u64) -> Option<Holding> {
    let mut words = sliding_log::EMPTY;
    let stamps = text.split_terminator(',').map(number).collect::<Option<Vec<u64>>>()?;
    if stamps.len() > MAX_LOG || stamps.iter().any(|stamp| *stamp > now_us) {
        return None;
    }
    for stamp in stamps {
        sliding_log::write(&mut words, stamp * 1_000, 1);
    }
    Some(Holding::Log { words, now_ns: now_us * 1_000 })
}
