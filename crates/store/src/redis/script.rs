//! The operations as Redis runs them: one script each, on one key.

use super::failure::{Failure, answered};
use super::record;
use crate::records::{Abandoned, Claim, Hold, Keeping, Live, Name, Outcome, Owner};
use answers::{ABSENT, ACQUIRED, ALIVE, DELETED, LOST, MISMATCH, OK, STALE};
use redis::{Cmd, Value};
use std::sync::LazyLock;
use std::time::Duration;

/// A script and the name Redis has for it.
pub(super) struct Script {
    source: &'static str,
    sha1: String,
}

impl Script {
    pub(super) fn new(source: &'static str) -> Self {
        Self { source, sha1: redis::Script::new(source).get_hash().to_owned() }
    }

    /// As it is run by its name, which a Redis that was restarted or flushed does not know, or by its source.
    pub(super) fn command(&self, by: By, keys: &[Vec<u8>], args: &[Vec<u8>], tag: &[u8]) -> Cmd {
        let (name, script) = match by {
            By::Name => ("EVALSHA", self.sha1.as_bytes()),
            By::Source => ("EVAL", self.source.as_bytes()),
        };
        let payload: usize = keys.iter().chain(args).map(Vec::len).sum();
        let mut cmd =
            Cmd::with_capacity(4 + keys.len() + args.len(), name.len() + script.len() + payload + tag.len() + 8);
        cmd.arg(name).arg(script).arg(keys.len());
        for word in keys.iter().chain(args) {
            cmd.arg(&word[..]);
        }
        cmd.arg(tag);
        cmd
    }
}

/// How a script is named to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    Name,
    Source,
}

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            let source = concat!(
                include_str!("record.lua"),
                "local function operation()\n",
                include_str!($file),
                "end\n",
                include_str!("answer.lua")
            );
            Script::new(source)
        })
    };
}

static BEGIN: LazyLock<Script> = script!("begin.lua");
static RENEW: LazyLock<Script> = script!("renew.lua");
static COMPLETE: LazyLock<Script> = script!("complete.lua");
static RELEASE: LazyLock<Script> = script!("release.lua");
static FORGET: LazyLock<Script> = script!("forget.lua");

/// Numbers that scripts answer, by the names they have there.
pub(super) mod answers {
    pub(in super::super) const ACQUIRED: i64 = 1;
    pub(in super::super) const MISMATCH: i64 = 2;
    pub(in super::super) const OK: i64 = 1;
    pub(in super::super) const LOST: i64 = 2;
    pub(in super::super) const STALE: i64 = 3;
    pub(in super::super) const DELETED: i64 = 1;
    pub(in super::super) const ABSENT: i64 = 2;
    pub(in super::super) const ALIVE: i64 = 3;
}

/// What a call is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// It asks for a claim.
    Claim,
    /// It writes what became of one, or ends it.
    Other,
}

/// A script with its key and arguments; sent as often as it takes.
pub(super) struct Call {
    script: &'static Script,
    pub(super) key: Vec<u8>,
    args: Vec<Vec<u8>>,
    /// Comes back with the answer, so that the answer to another question is not taken for it.
    tag: [u8; 8],
    /// Replicas to wait for; 0 for none.
    pub(super) replicas: u32,
    pub(super) kind: Kind,
    /// Whether it is what the script answers.
    expects: fn(&Value) -> bool,
}

impl Call {
    /// `most` is the largest reply that is given back, in bytes as it is stored.
    pub(super) fn begin(namespace: &str, claim: &Claim, most: u64) -> Self {
        let Claim { hold, lease, ttl, abandoned, replicas } = claim;
        let take_over = flag(*abandoned == Abandoned::TakeOver);
        let args = vec![
            record::encode_hold(hold).to_vec(),
            millis(*lease),
            millis(*ttl),
            take_over,
            most.to_string().into_bytes(),
        ];
        let expects = |answer: &Value| matches!(answer, Value::Int(ACQUIRED | MISMATCH) | Value::BulkString(_));
        let (key, replicas, kind) = (key(namespace, hold.name), *replicas, Kind::Claim);
        Self { script: &BEGIN, key, args, tag: rand::random(), replicas, kind, expects }
    }

    pub(super) fn renew(namespace: &str, hold: &Hold, lease: Duration, ttl: Duration) -> Self {
        let args = vec![record::encode_hold(hold).to_vec(), millis(lease), millis(ttl)];
        let expects = |answer: &Value| matches!(answer, Value::Int(OK | LOST | STALE));
        let (key, replicas, kind) = (key(namespace, hold.name), 0, Kind::Other);
        Self { script: &RENEW, key, args, tag: rand::random(), replicas, kind, expects }
    }

    pub(super) fn complete(namespace: &str, hold: &Hold, outcome: &Outcome, keep: Keeping) -> Self {
        let args = vec![hold.owner.0.to_vec(), record::encode(hold, outcome), millis(keep.ttl)];
        let expects = |answer: &Value| matches!(answer, Value::Int(OK | STALE));
        Self {
            script: &COMPLETE,
            key: key(namespace, hold.name),
            args,
            tag: rand::random(),
            replicas: keep.replicas,
            kind: Kind::Other,
            expects,
        }
    }

    pub(super) fn release(namespace: &str, hold: &Hold) -> Self {
        Self::release_any(key(namespace, hold.name), &[hold.owner])
    }

    /// Releases the claim of `key` if it is of any of these owners.
    pub(super) fn release_any(key: Vec<u8>, owners: &[Owner]) -> Self {
        let expects = |answer: &Value| matches!(answer, Value::Int(OK | STALE));
        Self {
            script: &RELEASE,
            key,
            args: owners.iter().map(|owner| owner.0.to_vec()).collect(),
            tag: rand::random(),
            replicas: 0,
            kind: Kind::Other,
            expects,
        }
    }

    pub(super) fn forget(namespace: &str, name: Name, live: Live) -> Self {
        let expects = |answer: &Value| matches!(answer, Value::Int(DELETED | ABSENT | ALIVE));
        Self {
            script: &FORGET,
            key: key(namespace, name),
            args: vec![flag(live == Live::Spare)],
            tag: rand::random(),
            replicas: 0,
            kind: Kind::Other,
            expects,
        }
    }

    /// What it takes to keep it.
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.args.iter().map(Vec::len).sum::<usize>()
    }

    /// Runs the script by its name, which a Redis that was restarted or flushed does not know.
    pub(super) fn by_name(&self) -> Cmd {
        self.command(By::Name)
    }

    /// Runs the script, which Redis knows by its name from then on.
    pub(super) fn by_source(&self) -> Cmd {
        self.command(By::Source)
    }

    fn command(&self, by: By) -> Cmd {
        self.script.command(by, std::slice::from_ref(&self.key), &self.args, &self.tag)
    }

    /// What the script answered, if this is the answer to this call.
    pub(super) fn answer(&self, value: Value) -> Result<Value, Failure> {
        let Value::Array(parts) = answered(value)? else { return Err(Failure::Nonsense("no script answers so")) };
        let Ok([Value::BulkString(tag), value]) = <[Value; 2]>::try_from(parts) else {
            return Err(Failure::Nonsense("no script answers so"));
        };
        if tag != self.tag {
            return Err(Failure::Nonsense("it is the answer to another question"));
        }
        let value = answered(value)?;
        if (self.expects)(&value) { Ok(value) } else { Err(Failure::Nonsense("this script does not answer so")) }
    }
}

fn key(namespace: &str, name: Name) -> Vec<u8> {
    format!("{namespace}:idem:1:{name}").into_bytes()
}

fn flag(set: bool) -> Vec<u8> {
    if set { b"1".to_vec() } else { b"0".to_vec() }
}

/// Redis counts in whole milliseconds from 1, and refuses times beyond its calendar.
fn millis(time: Duration) -> Vec<u8> {
    const CENTURY_MS: u128 = 100 * 365 * 24 * 60 * 60 * 1000;
    time.as_millis().clamp(1, CENTURY_MS).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_namespace_version_and_name() {
        let name = Name(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff");
        assert_eq!(key("shop", name), b"shop:idem:1:000102030405060708090a0b0c0d0eff");
    }

    #[test]
    fn a_time_is_never_none_and_never_beyond_the_calendar() {
        assert_eq!(millis(Duration::ZERO), b"1");
        assert_eq!(millis(Duration::from_micros(2999)), b"2");
        assert_eq!(millis(Duration::MAX), b"3153600000000");
    }
}
