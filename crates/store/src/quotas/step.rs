//! One decision: every region that it touches is locked, looked at, and written only when all agree.

use super::gcra::Gcra;
use super::memory::in_family;
use super::sliding_log::{self, SlidingLog};
use super::slots::{Seat, Slots};
use super::table::{Area, Table};
use super::{Algorithm, Charge, Decision, Force, Limit, MAX_CHARGES, Outcome, Source, Taken, Verdict};
use arrayvec::ArrayVec;
use parking_lot::MutexGuard;

/// Each charge has at most a region of its own and one of the overflow.
const MAX_REGIONS: usize = 2 * MAX_CHARGES;

/// A decision under way.
pub(super) struct Step<'t> {
    table: &'t Table,
    now: u64,
    /// In the order of their numbers, which is the order they were locked in.
    regions: ArrayVec<(usize, MutexGuard<'t, Slots>), MAX_REGIONS>,
    /// One for each charge.
    places: ArrayVec<Place, MAX_CHARGES>,
    /// Buckets that took a slot that was free.
    pub(super) settled: u64,
}

/// Where the bucket of a charge is.
#[derive(Clone, Copy)]
struct Place {
    /// Index in `Step::regions`.
    region: usize,
    hash: u128,
    seat: Seat,
    source: Source,
}

impl<'t> Step<'t> {
    /// Finds the bucket of each charge. `None`: the table was retired meanwhile.
    pub(super) fn begin(table: &'t Table, now: u64, charges: &[Charge<'_>], hashes: &[u128]) -> Option<Self> {
        let wanted: ArrayVec<usize, MAX_CHARGES> = charges
            .iter()
            .zip(hashes)
            .map(|(charge, hash)| table.region(Area::Own(charge.limit.algorithm()), *hash))
            .collect();
        let mut step = Self { table, now, regions: ArrayVec::new(), places: ArrayVec::new(), settled: 0 };
        step.lock(&wanted);
        if step.regions.iter().any(|(_, slots)| slots.retired) {
            return None;
        }
        for (number, hash) in wanted.iter().zip(hashes) {
            let region = step.index(*number);
            let seat = step.regions[region].1.seat(*hash, now, &step.taken(region));
            step.places.push(Place { region, hash: *hash, seat, source: Source::Local });
        }
        Some(step)
    }

    /// Gives those charges a bucket of the network that found no slot for one of their own.
    pub(super) fn make_room(&mut self, charges: &[Charge<'_>], network: impl FnOnce() -> u128) {
        if self.places.iter().all(|place| place.seat != Seat::Full) {
            return;
        }
        let network = network();
        let shared: ArrayVec<(usize, u128, usize), MAX_CHARGES> = self
            .places
            .iter()
            .zip(charges)
            .enumerate()
            .filter(|(_, (place, _))| place.seat == Seat::Full)
            .map(|(i, (_, charge))| {
                let hash = in_family(network, charge.limit);
                (i, hash, self.table.region(Area::Overflow(charge.limit.algorithm()), hash))
            })
            .collect();
        // The overflow's numbers are above all others, so the order of locking holds.
        self.lock(&shared.iter().map(|(_, _, number)| *number).collect::<ArrayVec<usize, MAX_CHARGES>>());
        for (i, hash, number) in shared {
            let region = self.index(number);
            let family = charges[i].limit.family() as u64;
            let seat = self.regions[region].1.shared_seat(hash, family, self.now, &self.taken(region));
            self.places[i] = Place { region, hash, seat, source: Source::Overflow };
        }
    }

    /// Decides, and charges every policy when no enforced one refuses.
    pub(super) fn conclude(&mut self, charges: &[Charge<'_>]) -> Taken {
        let mut decisions = ArrayVec::<Decision, MAX_CHARGES>::new();
        for (place, charge) in self.places.iter().zip(charges) {
            let slots = &mut self.regions[place.region].1;
            if let (Seat::Held(at), Source::Local) = (place.seat, place.source) {
                clamp(slots, at, charge.limit, self.now);
            }
            decisions.push(weigh(slots, place.seat, charge.limit, charge.cost, self.now));
        }
        let refused = decisions
            .iter()
            .zip(charges)
            .any(|(decision, charge)| charge.force == Force::Enforced && matches!(decision, Decision::Refuse { .. }));
        let mut verdicts = ArrayVec::new();
        for ((decision, charge), place) in decisions.into_iter().zip(charges).zip(&self.places) {
            let slots = &mut self.regions[place.region].1;
            let outcome = match decision {
                Decision::Admit { .. } if refused => Outcome::Spared,
                Decision::Admit { debt_ns, left } => {
                    let was_free = write(slots, place.seat, place.hash, charge, debt_ns, self.now);
                    self.settled += u64::from(was_free && place.source == Source::Local);
                    Outcome::Charged(left)
                }
                Decision::Refuse { remaining, wait_ns } => {
                    hold(slots, place.seat, wait_ns, self.now);
                    Outcome::Refused { remaining, wait_ns }
                }
            };
            verdicts.push(Verdict { outcome, source: place.source });
        }
        Taken { verdicts, pending: None }
    }

    /// Decides and charges nothing.
    pub(super) fn look(&mut self, charges: &[Charge<'_>]) -> Taken {
        let verdicts = self.places.iter().zip(charges).map(|(place, charge)| {
            let slots = &self.regions[place.region].1;
            let outcome = match weigh(slots, place.seat, charge.limit, charge.cost, self.now) {
                Decision::Admit { .. } => Outcome::Spared,
                Decision::Refuse { remaining, wait_ns } => Outcome::Refused { remaining, wait_ns },
            };
            Verdict { outcome, source: place.source }
        });
        Taken { verdicts: verdicts.collect(), pending: None }
    }

    /// Locks regions that are not locked yet; each of them must be above those that are.
    fn lock(&mut self, numbers: &[usize]) {
        let mut order = ArrayVec::<usize, MAX_CHARGES>::new();
        for number in numbers {
            if !order.contains(number) {
                order.push(*number);
            }
        }
        order.sort_unstable();
        for number in order {
            self.regions.push((number, self.table.lock(number)));
        }
    }

    fn index(&self, number: usize) -> usize {
        self.regions.iter().position(|(locked, _)| *locked == number).unwrap_or(0)
    }

    /// Slots of a region that earlier charges of this request have or will have.
    fn taken(&self, region: usize) -> ArrayVec<usize, MAX_CHARGES> {
        self.places
            .iter()
            .filter(|place| place.region == region)
            .filter_map(|place| match place.seat {
                Seat::Held(at) | Seat::Vacant(at) => Some(at),
                Seat::Full => None,
            })
            .collect()
    }
}

/// Decides on a single charge, as most requests have; the general way with nothing to agree on. Says also whether the
/// bucket took a free slot. `None`: the table was retired meanwhile, or there is no room.
pub(super) fn alone(table: &Table, now: u64, charge: &Charge<'_>, hash: u128) -> Option<(Verdict, bool)> {
    let mut slots = table.lock(table.region(Area::Own(charge.limit.algorithm()), hash));
    if slots.retired {
        return None;
    }
    let seat = slots.seat(hash, now, &[]);
    match seat {
        Seat::Held(at) => clamp(&mut slots, at, charge.limit, now),
        Seat::Vacant(_) => {}
        Seat::Full => return None,
    }
    let (outcome, was_free) = match weigh(&slots, seat, charge.limit, charge.cost, now) {
        Decision::Admit { debt_ns, left } => {
            (Outcome::Charged(left), write(&mut slots, seat, hash, charge, debt_ns, now))
        }
        Decision::Refuse { remaining, wait_ns } => {
            hold(&mut slots, seat, wait_ns, now);
            (Outcome::Refused { remaining, wait_ns }, false)
        }
    };
    Some((Verdict { outcome, source: Source::Local }, was_free))
}

/// Charges a bucket; whether it took a free slot.
pub(super) fn write(slots: &mut Slots, seat: Seat, hash: u128, charge: &Charge<'_>, debt_ns: u64, now: u64) -> bool {
    if charge.cost == 0 {
        return false;
    }
    let (at, was_free) = match seat {
        Seat::Held(at) => (at, false),
        Seat::Vacant(at) => (at, slots.settle(at, hash, charge.limit.family() as u64)),
        Seat::Full => return false,
    };
    // A bucket taken over from a slower policy keeps the later end.
    let due = slots.due(at).max(now.saturating_add(debt_ns));
    slots.set_due(at, due);
    if charge.limit.algorithm() == Algorithm::SlidingLog
        && let Some(log) = slots.log_mut(at)
    {
        sliding_log::write(log, now, charge.cost);
    }
    was_free
}

/// Keeps a refusing bucket from being evicted.
fn hold(slots: &mut Slots, seat: Seat, wait_ns: u64, now: u64) {
    if let Seat::Held(at) = seat {
        slots.set_refusing(at, now.saturating_add(wait_ns));
    }
}

/// What `limit` says to `cost` units for the bucket in `seat`, or for an unused one.
pub(super) fn weigh(slots: &Slots, seat: Seat, limit: &Limit, cost: u64, now: u64) -> Decision {
    let held = match seat {
        Seat::Held(at) => Some(at),
        Seat::Vacant(_) | Seat::Full => None,
    };
    match limit.algorithm() {
        Algorithm::Gcra => Gcra::of(limit).decide(held.map_or(0, |at| slots.due(at).saturating_sub(now)), cost),
        Algorithm::SlidingLog => {
            SlidingLog::of(limit).decide(held.map_or(&sliding_log::EMPTY, |at| slots.log(at)), now, cost)
        }
    }
}

/// Forgives what a bucket owes beyond the tolerance, left over from a larger limit.
pub(super) fn clamp(slots: &mut Slots, at: usize, limit: &Limit, now: u64) {
    if limit.algorithm() == Algorithm::Gcra {
        let most = now.saturating_add(limit.tolerance_ns());
        if slots.due(at) > most {
            slots.set_due(at, most);
        }
    }
}
