//! What is asked about buckets and streams: a script with its keys and words.

use super::failure::{Failure, answered};
use super::script::{By, Script};
use redis::{Cmd, Value};
use std::sync::LazyLock;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
static RESET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("reset.lua")));
static PEERS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("peers.lua")));
static BORN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("born.lua")));
static APPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("append.lua")));
static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("probe.lua")));

/// Which script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asks {
    Take,
    Reset,
    Peers,
    Born,
    Append,
    Probe,
}

/// A question that is sent once, but for a server that does not know its script.
pub(crate) struct Question {
    script: &'static Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
    /// Comes back with the answer, so that the answer to another question is not taken for it.
    tag: [u8; 8],
}

impl Question {
    pub(crate) fn new(asks: Asks, keys: Vec<Vec<u8>>, args: Vec<Vec<u8>>) -> Self {
        let script = match asks {
            Asks::Take => &TAKE,
            Asks::Reset => &RESET,
            Asks::Peers => &PEERS,
            Asks::Born => &BORN,
            Asks::Append => &APPEND,
            Asks::Probe => &PROBE,
        };
        Self { script, keys, args, tag: rand::random() }
    }

    pub(super) fn command(&self, by: By) -> Cmd {
        self.script.command(by, &self.keys, &self.args, &self.tag)
    }

    /// What the script answered behind the tag, if this is the answer to this question.
    pub(super) fn answer(&self, value: Value) -> Result<Vec<Value>, Failure> {
        let Value::Array(mut parts) = answered(value)? else { return Err(Failure::Nonsense("no script answers so")) };
        if !matches!(parts.first(), Some(Value::BulkString(tag)) if *tag == self.tag) {
            return Err(Failure::Nonsense("it is the answer to another question"));
        }
        parts.remove(0);
        Ok(parts)
    }
}
