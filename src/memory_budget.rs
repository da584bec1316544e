//! The memory budget: one bound on all bodies that this process keeps in memory at once.
//!
//! A [`Reservation`] is taken when bytes arrive, never when they are declared, in steps of [`STEP`], and lives as long
//! as the bytes do: [`Reservation::bind`] ties it to them. Who finds no room answers, streams or waits; nothing here
//! blocks.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vestibule_plugin::meter::{Counter, Desc, Gauge, Registry};
use vestibule_plugin::{ClientAddress, Room};

/// Bytes that are counted at once: a small body costs one step, and a large one few counting operations.
pub const STEP: usize = 64 * 1024;
/// Part of the budget that one client address may hold while more than half of all is in use.
const SHARE: usize = 16;
/// Steps that the replies of one HTTP/2 connection may hold: 4 MiB.
const CONNECTION_STEPS: usize = 64;

/// Bytes kept in memory, in all and by client address.
///
/// The table of addresses needs no bound of its own: an entry holds at least one step, so there are at most
/// `max_held / STEP` of them.
pub struct MemoryBudget {
    max: AtomicUsize,
    usage: Mutex<Usage>,
    is_scarce: AtomicBool,
    held: Gauge,
    shed: Counter,
}

#[derive(Default)]
struct Usage {
    /// Steps, over all clients.
    steps: usize,
    by_client: HashMap<ClientAddress, usize>,
}

/// Who holds: a client, and for a reply over HTTP/2 also its connection.
#[derive(Clone, Debug)]
pub struct Holder {
    client: ClientAddress,
    connection: Option<ConnectionReplies>,
}

/// Replies kept for one HTTP/2 connection, whose client may take all or none of them.
#[derive(Clone, Debug)]
pub struct ConnectionReplies(Arc<Semaphore>);

/// Room for bytes of one body; given back when dropped.
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    client: ClientAddress,
    bytes: usize,
    steps: usize,
    connection: Option<ConnectionReplies>,
    /// The same steps on the connection, where they count there.
    permit: Option<OwnedSemaphorePermit>,
}

impl MemoryBudget {
    /// A budget of `max` bytes; refusals of requests are counted in `shed`.
    pub fn new(max: usize, shed: Counter, meter: &Registry) -> Arc<Self> {
        let held = meter.gauge(Desc {
            name: "vestibule_held_bytes",
            help: "Bytes of request and response bodies kept in memory, in steps of 64 KiB.",
            labels: &[],
        });
        Arc::new(Self {
            max: AtomicUsize::new(max),
            usage: Mutex::default(),
            is_scarce: AtomicBool::new(false),
            held: held.with(&[]),
            shed,
        })
    }

    /// A budget of `max` bytes that nobody watches.
    #[cfg(test)]
    pub fn for_tests(max: usize) -> Arc<Self> {
        let meter = Registry::default();
        let shed = meter.counter(Desc { name: "shed_total", help: "Shed.", labels: &[] }).with(&[]);
        Self::new(max, shed, &meter)
    }

    /// Changes the bound. What is over a smaller one stays until it is given back.
    pub fn resize(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Bytes in use, whole steps.
    pub fn in_use(&self) -> usize {
        self.usage.lock().steps * STEP
    }

    /// Whether more than half of it was in use when it last changed.
    pub fn is_scarce(&self) -> bool {
        self.is_scarce.load(Ordering::Relaxed)
    }

    /// Room for `bytes`; `None` when there is none, in all, for this client or on its connection. No bytes, no step.
    pub fn reserve(self: &Arc<Self>, holder: impl Into<Holder>, bytes: usize) -> Option<Reservation> {
        let mut reservation = self.nothing_yet(holder);
        reservation.grow(bytes).then_some(reservation)
    }

    /// Room for no byte, which can grow.
    pub fn nothing_yet(self: &Arc<Self>, holder: impl Into<Holder>) -> Reservation {
        let Holder { client, connection } = holder.into();
        Reservation { budget: Arc::clone(self), client, bytes: 0, steps: 0, connection, permit: None }
    }

    /// Counts a request that is turned away because there is no room.
    pub fn count_shed(&self) {
        self.shed.inc();
    }

    /// Takes `steps` for `client`, or none.
    fn take(&self, client: ClientAddress, steps: usize) -> bool {
        let most = self.max.load(Ordering::Relaxed) / STEP;
        let Usage { steps: all, by_client } = &mut *self.usage.lock();
        let (before, entry) = (*all, by_client.entry(client));
        let own = steps + if let Entry::Occupied(own) = &entry { *own.get() } else { 0 };
        let is_scarce = before > most / 2;
        if before + steps > most || (is_scarce && own > most / SHARE) {
            return false;
        }

        *all += steps;
        entry.insert_entry(own);
        self.show(before + steps);
        true
    }

    fn give_back(&self, client: ClientAddress, steps: usize) {
        let Usage { steps: all, by_client } = &mut *self.usage.lock();
        *all -= steps;
        if let Entry::Occupied(mut own) = by_client.entry(client) {
            *own.get_mut() -= steps;
            if *own.get() == 0 {
                own.remove();
            }
        }
        self.show(*all);
    }

    fn show(&self, steps: usize) {
        self.held.set(gauge_value(steps));
        self.is_scarce.store(steps > self.max.load(Ordering::Relaxed) / STEP / 2, Ordering::Relaxed);
    }
}

fn gauge_value(steps: usize) -> i64 {
    i64::try_from(steps * STEP).unwrap_or(i64::MAX)
}

impl Reservation {
    /// Makes room for this many bytes more; nothing changes when there is none.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let wanted = self.bytes.saturating_add(bytes);
        let more = wanted.div_ceil(STEP).saturating_sub(self.steps);
        if more > 0 && !self.take(more) {
            return false;
        }
        self.bytes = wanted;
        true
    }

    /// Bytes that it has room for by what was asked; at most a step less than what is counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that it has room for: whole steps.
    pub fn capacity(&self) -> usize {
        self.steps * STEP
    }

    /// Ties the room to `bytes`: it is given back when their last copy is dropped. Room beyond them is given back now.
    pub fn bind(mut self, bytes: Bytes) -> Bytes {
        self.shrink_to(bytes.len());
        if self.steps == 0 { bytes } else { Bytes::from_owner(Bound { bytes, _room: self }) }
    }

    /// Gives back what is beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let kept = bytes.div_ceil(STEP).min(self.steps);
        self.bytes = self.bytes.min(bytes);
        if kept == self.steps {
            return;
        }
        self.budget.give_back(self.client, self.steps - kept);
        if let Some(permit) = &mut self.permit {
            drop(permit.split(self.steps - kept));
        }
        self.steps = kept;
    }

    fn take(&mut self, steps: usize) -> bool {
        let permit = match &self.connection {
            None => None,
            Some(replies) => match replies.try_take(steps) {
                Some(permit) => Some(permit),
                None => return false,
            },
        };
        if !self.budget.take(self.client, steps) {
            return false;
        }
        match (&mut self.permit, permit) {
            (Some(held), Some(permit)) => held.merge(permit),
            (held, permit) => *held = permit,
        }
        self.steps += steps;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.steps > 0 {
            self.budget.give_back(self.client, self.steps);
        }
    }
}

impl Room for Reservation {
    /// A refusal is counted as a request turned away, which is what whoever asks this way does then.
    fn grow_to(&mut self, bytes: usize) -> bool {
        let has_room = self.grow(bytes.saturating_sub(self.bytes));
        if !has_room {
            self.budget.count_shed();
        }
        has_room
    }
}

/// Bytes and the room they take.
struct Bound {
    bytes: Bytes,
    _room: Reservation,
}

impl AsRef<[u8]> for Bound {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ConnectionReplies {
    /// On a connection with no reply yet.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTION_STEPS)))
    }

    fn try_take(&self, steps: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(steps).ok()?).ok()
    }

    /// Counts a reply of this many bytes that is there already, as far as there is room: what comes after it finds less.
    pub fn count_up_to(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.try_take(bytes.div_ceil(STEP).min(self.0.available_permits()))
    }

    /// Whether nothing more should be kept for this connection.
    pub fn is_full(&self) -> bool {
        self.0.available_permits() == 0
    }

    /// Resolves when there is room for another step.
    pub async fn has_room(&self) {
        // Never closed.
        drop(self.0.acquire().await);
    }
}

impl Default for ConnectionReplies {
    fn default() -> Self {
        Self::new()
    }
}

impl Holder {
    /// A reply to `client`; over HTTP/2 on `connection`.
    pub fn of_reply(client: ClientAddress, connection: Option<ConnectionReplies>) -> Self {
        Self { client, connection }
    }
}

impl From<ClientAddress> for Holder {
    fn from(client: ClientAddress) -> Self {
        Self { client, connection: None }
    }
}

#[cfg(test)]
mod tests;
