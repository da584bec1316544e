//! Callers with the same name, in one process: one of them leads, the others follow.
//!
//! The leader asks the store, executes, or polls; whatever it learns, its followers learn without asking. A name is
//! here as long as somebody leads it, so there is nothing to clean up.

use crate::records::{Begun, Fingerprint, Hold, Name, Outage};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// All names that somebody leads.
#[derive(Default)]
pub struct Lobby {
    rooms: Arc<Mutex<HashMap<Name, Arc<Room>>>>,
}

/// What a caller finds.
#[derive(Debug)]
pub enum Entry {
    /// Nobody: the caller leads.
    Lead(Lead),
    /// Somebody leads; there will be news.
    Follow(Follower),
    /// Somebody leads, for another request.
    Mismatch,
}

/// What followers learn.
#[derive(Clone, Debug)]
pub enum News {
    /// Nothing yet.
    None,
    /// It is decided.
    Settled(Begun),
    /// A claim is there for whoever takes it first.
    Offered,
    /// The name is free again.
    Vacant,
}

struct Room {
    name: Name,
    fingerprint: Fingerprint,
    /// What all of them ask the application, once for all of them.
    body: Bytes,
    news: watch::Sender<News>,
    offer: Mutex<Option<(Lead, Hold)>>,
    doubt: Mutex<Option<Outage>>,
}

impl Lobby {
    /// Comes with a request and its body. Bodies of one fingerprint are as good as each other, so that of whoever came
    /// first is kept for all.
    pub fn enter(&self, name: Name, fingerprint: Fingerprint, body: &Bytes) -> Entry {
        let mut rooms = self.rooms.lock();
        if let Some(room) = rooms.get(&name) {
            if room.fingerprint != fingerprint {
                return Entry::Mismatch;
            }
            return Entry::Follow(Follower { news: room.news.subscribe(), room: Arc::clone(room) });
        }
        let news = watch::Sender::new(News::None);
        let room = Arc::new(Room {
            name,
            fingerprint,
            body: body.clone(),
            news,
            offer: Mutex::new(None),
            doubt: Mutex::new(None),
        });
        rooms.insert(name, Arc::clone(&room));
        Entry::Lead(Lead { room, rooms: Arc::clone(&self.rooms) })
    }
}

/// Leads a name. Dropped, it leaves the name free, and a follower may lead.
pub struct Lead {
    room: Arc<Room>,
    rooms: Arc<Mutex<HashMap<Name, Arc<Room>>>>,
}

impl Lead {
    /// Tells the followers what came of it, and leaves.
    pub fn settle(self, found: Begun) {
        self.leave(News::Settled(found));
    }

    /// Why the leader knows nothing at the moment; `None`: it does.
    pub fn doubt(&self, why: Option<Outage>) {
        *self.room.doubt.lock() = why;
    }

    /// Whether anybody follows.
    pub fn is_followed(&self) -> bool {
        self.room.news.receiver_count() > 0
    }

    /// Resolves when nobody follows any more.
    pub async fn forsaken(&self) {
        self.room.news.closed().await;
    }

    /// Offers a claim, and with it the lead, to the followers. The claim comes back when all of them have left.
    pub async fn offer(self, claim: Hold) -> Option<(Self, Hold)> {
        let room = Arc::clone(&self.room);
        *room.offer.lock() = Some((self, claim));
        room.news.send_replace(News::Offered);
        room.news.closed().await;
        // Whoever takes it goes on following no longer, and the others find it gone.
        room.offer.lock().take()
    }

    fn leave(&self, news: News) {
        let mut rooms = self.rooms.lock();
        if rooms.get(&self.room.name).is_some_and(|room| Arc::ptr_eq(room, &self.room)) {
            rooms.remove(&self.room.name);
            self.room.news.send_replace(news);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.leave(News::Vacant);
    }
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lead({})", self.room.name)
    }
}

/// Waits for what the leader learns.
pub struct Follower {
    room: Arc<Room>,
    news: watch::Receiver<News>,
}

impl Follower {
    /// What there is to know once there is something.
    pub async fn news(&mut self) -> News {
        let known = self.news.wait_for(|news| !matches!(news, News::None)).await;
        // The room, and the sender in it, is held by this follower itself.
        known.map_or(News::Vacant, |news| news.clone())
    }

    /// A body as good as the one this follower came with.
    pub fn body(&self) -> Bytes {
        self.room.body.clone()
    }

    /// Why the leader knows nothing at the moment.
    pub fn doubt(&self) -> Option<Outage> {
        self.room.doubt.lock().clone()
    }

    /// Takes the claim that was offered, and the lead; `None`: another follower was faster, and leads now.
    pub fn take(&mut self) -> Option<(Lead, Hold)> {
        let taken = self.room.offer.lock().take();
        // Nothing new for anybody until the one that leads now has settled it.
        self.room.news.send_if_modified(|news| {
            let offered = matches!(news, News::Offered);
            if offered {
                *news = News::None;
            }
            offered
        });
        taken
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Follower({})", self.room.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Owner, Payer, Unknown};

    const NAME: Name = Name([1; 16]);
    const REQUEST: Fingerprint = Fingerprint([2; 32]);
    const BODY: Bytes = Bytes::from_static(b"body");

    fn lead(lobby: &Lobby) -> Lead {
        match lobby.enter(NAME, REQUEST, &BODY) {
            Entry::Lead(lead) => lead,
            other => panic!("{other:?}"),
        }
    }

    fn follow(lobby: &Lobby) -> Follower {
        match lobby.enter(NAME, REQUEST, &BODY) {
            Entry::Follow(follower) => follower,
            other => panic!("{other:?}"),
        }
    }

    fn claim() -> Hold {
        Hold { name: NAME, fingerprint: REQUEST, owner: Owner([3; 16]), trace_id: 4, payer: Payer::default() }
    }

    #[tokio::test]
    async fn followers_learn_what_the_leader_learned_and_the_name_is_free() {
        let lobby = Lobby::default();
        let leader = lead(&lobby);
        let (mut one, mut other) = (follow(&lobby), follow(&lobby));
        assert_eq!(one.body(), BODY);
        assert!(matches!(lobby.enter(NAME, Fingerprint([9; 32]), &BODY), Entry::Mismatch));
        leader.settle(Begun::Uncertain { why: Unknown::Lease, trace_id: 7 });
        for follower in [&mut one, &mut other] {
            assert!(matches!(follower.news().await, News::Settled(Begun::Uncertain { trace_id: 7, .. })));
        }
        drop(lead(&lobby));
        assert!(lobby.rooms.lock().is_empty());
    }

    #[tokio::test]
    async fn a_leader_that_vanishes_leaves_the_name_to_a_follower() {
        let lobby = Lobby::default();
        let leader = lead(&lobby);
        let mut follower = follow(&lobby);
        drop(leader);
        assert!(matches!(follower.news().await, News::Vacant));
        let heir = lead(&lobby);
        drop(follower);
        assert!(!heir.is_followed());
    }

    #[tokio::test]
    async fn one_follower_takes_an_offered_claim_and_the_others_follow_it() {
        let lobby = Lobby::default();
        let leader = lead(&lobby);
        let (mut one, mut other) = (follow(&lobby), follow(&lobby));
        let offering = tokio::spawn(leader.offer(claim()));
        assert!(matches!(one.news().await, News::Offered));
        assert!(matches!(other.news().await, News::Offered));
        let (heir, hold) = one.take().expect("it is the first");
        assert!(other.take().is_none());
        assert_eq!(hold, claim());
        drop(one);
        heir.settle(Begun::Busy { trace_id: 5 });
        assert!(matches!(other.news().await, News::Settled(Begun::Busy { trace_id: 5 })));
        drop(other);
        assert!(offering.await.expect("no panic").is_none());
    }

    #[tokio::test]
    async fn an_offer_that_nobody_takes_comes_back() {
        let lobby = Lobby::default();
        let leader = lead(&lobby);
        let follower = follow(&lobby);
        let offering = tokio::spawn(leader.offer(claim()));
        drop(follower);
        let (leader, hold) = offering.await.expect("no panic").expect("nobody took it");
        assert_eq!(hold, claim());
        drop(leader);
        assert!(lobby.rooms.lock().is_empty());
    }
}
