//! Tokens that were good: verified once, known again by a hash of all their bytes.

use crate::key::Print;
use crate::verify::Verified;
use parking_lot::Mutex;
use ring::digest;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vestibule_plugin::Claims;

/// Hashes are spread, so their first byte is as good as any.
const SHARDS: usize = 16;
/// Most bytes of all entries together.
const MAX_BYTES: usize = 16 << 20;
/// What an entry takes beside its claims: its place in the map and in the order, and what was made of the claims.
const ENTRY_BYTES: usize = 1024;

/// A hash of a whole token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of this token.
    pub(crate) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

/// The tokens that are remembered, each until its end, until its key leaves, or until the oldest make room.
pub(crate) struct Memory {
    shards: Vec<Mutex<Shard>>,
    /// Most entries of a shard.
    room: usize,
    entries: AtomicU64,
}

#[derive(Default)]
struct Shard {
    known: HashMap<TokenHash, Entry>,
    /// Oldest first; those that were forgotten before their turn are passed over.
    order: VecDeque<TokenHash>,
    bytes: usize,
}

struct Entry {
    verified: Arc<Verified>,
    /// The key that signed it.
    key: Print,
    bytes: usize,
}

/// What was asked of a remembered token's key.
pub(crate) type IsTrusted<'a> = &'a dyn Fn(Print) -> bool;

impl Memory {
    /// For at most so many tokens.
    pub(crate) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, room: most.div_ceil(SHARDS), entries: AtomicU64::new(0) }
    }

    /// What is known of a token, if its key is still trusted. One whose time is over is returned as well, so that it
    /// can be called expired; it is forgotten at the same time.
    pub(crate) fn get(&self, hash: TokenHash, now: f64, is_trusted: IsTrusted<'_>) -> Option<Arc<Verified>> {
        let mut shard = self.shard(hash).lock();
        let entry = shard.known.get(&hash)?;
        let (trusted, verified) = (is_trusted(entry.key), Arc::clone(&entry.verified));
        if !trusted || now >= verified.end {
            self.forget(&mut shard, hash);
        }
        trusted.then_some(verified)
    }

    /// Remembers a good token; the oldest make room.
    pub(crate) fn put(&self, hash: TokenHash, verified: &Arc<Verified>, key: Print) {
        let bytes = ENTRY_BYTES + weight_of(&verified.principal.claims);
        let most = MAX_BYTES / SHARDS;
        if self.room == 0 || bytes > most {
            return;
        }
        let mut shard = self.shard(hash).lock();
        self.forget(&mut shard, hash);
        while shard.known.len() >= self.room || shard.bytes + bytes > most {
            let Some(oldest) = shard.order.pop_front() else { break };
            self.forget(&mut shard, oldest);
        }
        // What was forgotten out of turn leaves its place in the order; they must not pile up.
        if shard.order.len() > 2 * shard.known.len() + SHARDS {
            let Shard { known, order, .. } = &mut *shard;
            order.retain(|hash| known.contains_key(hash));
        }
        shard.bytes += bytes;
        shard.order.push_back(hash);
        shard.known.insert(hash, Entry { verified: Arc::clone(verified), key, bytes });
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    fn shard(&self, hash: TokenHash) -> &Mutex<Shard> {
        &self.shards[usize::from(hash.0[0]) % SHARDS]
    }

    fn forget(&self, shard: &mut Shard, hash: TokenHash) {
        if let Some(entry) = shard.known.remove(&hash) {
            shard.bytes -= entry.bytes;
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Bytes that claims take when they are parsed: more than they had as text.
fn weight_of(claims: &Claims) -> usize {
    /// A member's place in a map: two words of text, a value, a hash and an index.
    const MEMBER: usize = 128;
    /// An element's place in a list.
    const ELEMENT: usize = 72;
    fn weight(value: &Value) -> usize {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len() + 16,
            Value::Array(items) => items.iter().map(|item| ELEMENT + weight(item)).sum(),
            Value::Object(members) => weight_of(members),
        }
    }
    claims.iter().map(|(name, value)| MEMBER + name.len() + 16 + weight(value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::KeySet;
    use crate::key::Material;
    use vestibule_plugin::Principal;

    fn verified(end: f64, claims: Claims) -> Arc<Verified> {
        Arc::new(Verified { principal: Arc::new(Principal::of_token(claims)), fields: Box::default(), end })
    }

    fn print() -> Print {
        let set = KeySet::of(Material::secret(&[7; 32]).expect("a secret"));
        set.candidates(crate::algorithm::Algorithm::Hs256, None).next().expect("a key").print()
    }

    #[test]
    fn a_token_is_known_until_its_end_or_that_of_its_key() {
        let (memory, key) = (Memory::new(100), print());
        let (one, other) = (TokenHash::of("a.b.c"), TokenHash::of("a.b.d"));
        memory.put(one, &verified(10.0, Claims::new()), key);
        assert!(memory.get(one, 9.9, &|print| print == key).is_some());
        assert!(memory.get(other, 9.9, &|_| true).is_none(), "one bit makes another token");
        assert!(memory.get(one, 10.0, &|_| true).is_some_and(|verified| verified.end <= 10.0), "to call it expired");
        assert_eq!(memory.len(), 0);
        memory.put(one, &verified(10.0, Claims::new()), key);
        assert!(memory.get(one, 1.0, &|_| false).is_none());
        assert_eq!(memory.len(), 0);
    }

    #[test]
    fn entries_and_bytes_are_bounded() {
        let (memory, key) = (Memory::new(160), print());
        for n in 0..10_000 {
            memory.put(TokenHash::of(&n.to_string()), &verified(10.0, Claims::new()), key);
        }
        assert_eq!(memory.len(), 160);
        let memory = Memory::new(1_000_000);
        let large: Claims = [("x".to_owned(), Value::from("y".repeat(8000)))].into_iter().collect();
        for n in 0..4_000 {
            memory.put(TokenHash::of(&n.to_string()), &verified(10.0, large.clone()), key);
        }
        let bytes: usize = memory.shards.iter().map(|shard| shard.lock().bytes).sum();
        assert!(bytes <= MAX_BYTES && memory.len() > 1000, "{bytes} in {}", memory.len());
        let none = Memory::new(0);
        none.put(TokenHash::of("a"), &verified(10.0, Claims::new()), key);
        assert_eq!(none.len(), 0);
    }

    #[test]
    fn what_is_forgotten_leaves_no_trace() {
        let (memory, key) = (Memory::new(1600), print());
        for n in 0..10_000 {
            let hash = TokenHash::of(&n.to_string());
            memory.put(hash, &verified(10.0, Claims::new()), key);
            assert!(memory.get(hash, 11.0, &|_| true).is_some());
        }
        assert_eq!(memory.len(), 0);
        for shard in &memory.shards {
            let shard = shard.lock();
            assert!(shard.bytes == 0 && shard.order.len() <= SHARDS + 2, "{}", shard.order.len());
        }
    }
}
