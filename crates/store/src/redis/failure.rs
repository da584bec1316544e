//! What can go wrong between here and a Redis, and what follows.

use crate::records::{Bound, Outage};
use redis::{RedisError, ServerErrorKind, Value};

/// Codes of servers that take no writes: too few replicas, a disk that fails, a replica.
const NOT_WRITTEN_TO: [&str; 3] = ["NOREPLICAS ", "MISCONF ", "READONLY "];

/// How much of what a server said is worth repeating in a log.
const SAID_CHARS: usize = 200;

/// Why an operation has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// Nobody was reached, so nothing was asked.
    Unreachable(String),
    /// It was reached and must not be used.
    Refused(String),
    /// The connection broke after the question.
    Broken(String),
    /// The time was over after the question.
    Late,
    /// Not the node to ask, or not now.
    Away(String),
    /// Another node of the cluster has the key.
    Moved(Redirect),
    /// No memory is left there.
    Full,
    /// What lies under the key is not a record.
    Unreadable(String),
    /// Any other error it answered.
    Said(String),
    /// What came is no answer to what was asked.
    Nonsense(&'static str),
}

/// Who has a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Redirect {
    /// As the node said it; an empty host is that of the node.
    pub(super) host: String,
    pub(super) port: u16,
    /// For this one question only.
    pub(super) once: bool,
}

impl Failure {
    /// Of an attempt whose connection or answer failed.
    pub(super) fn of(error: &RedisError) -> Self {
        if error.is_io_error() || error.is_unrecoverable_error() {
            return Self::Broken(said(&error.to_string()));
        }
        Self::Said(said(&error.to_string()))
    }

    /// Of an answer that is an error.
    fn of_answer(error: &redis::ServerError) -> Self {
        let detail = error.details().unwrap_or_default();
        let all = said(&format!("{} {detail}", error.code()));
        match error.kind() {
            Some(ServerErrorKind::Moved) => {
                redirect(detail, false).map_or(Self::Nonsense("a redirect to nowhere"), Self::Moved)
            }
            Some(ServerErrorKind::Ask) => {
                redirect(detail, true).map_or(Self::Nonsense("a redirect to nowhere"), Self::Moved)
            }
            Some(
                ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::TryAgain,
            ) => Self::Away(all),
            // It must not be written to, and another one may be the master by now. Before version 7 the code is hidden in the
            // report of a script.
            _ if NOT_WRITTEN_TO.iter().any(|code| all.contains(code)) => Self::Away(all),
            _ if error.code() == "OOM" => Self::Full,
            _ if error.code() == "UNREADABLE" => Self::Unreadable(said(detail)),
            // The code is hidden in the report of a script that failed; before version 7 that of a command, too.
            _ if all.contains("UNREADABLE") => Self::Unreadable("it holds what no proxy writes".to_owned()),
            _ if all.contains("WRONGTYPE") => Self::Unreadable("it is not a string".to_owned()),
            _ => Self::Said(all),
        }
    }

    /// Whether what was asked has not been done, and never will be.
    pub(crate) fn says_that_nothing_happened(&self) -> bool {
        !matches!(self, Self::Broken(_) | Self::Late | Self::Nonsense(_))
    }

    /// `true` for an answer, which a repetition would get again.
    pub(super) fn says_that_it_was_answered(&self) -> bool {
        matches!(self, Self::Said(_) | Self::Full | Self::Unreadable(_))
    }

    /// Whether another attempt may do better. Every operation can be repeated.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Away(_) | Self::Moved(_))
    }

    /// `true` where another server may have the key by now: another node of a cluster, or another master.
    pub(super) fn questions_the_place(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Broken(_) | Self::Late | Self::Away(_))
    }

    /// Whether what was asked may have happened.
    pub(super) fn leaves_doubt(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Late | Self::Nonsense(_))
    }

    pub(crate) fn into_outage(self) -> Outage {
        match self {
            Self::Late => Outage::Timeout,
            Self::Broken(why) => Outage::Unheard(why),
            Self::Unreachable(why) | Self::Refused(why) | Self::Away(why) | Self::Said(why) => Outage::Unavailable(why),
            Self::Moved(Redirect { host, port, .. }) => {
                Outage::Unavailable(format!("the key moves on, now to {host}:{port}"))
            }
            Self::Full => Outage::Full(Bound::Store),
            Self::Unreadable(why) => Outage::Unreadable(why),
            Self::Nonsense(what) => Outage::Unheard(format!("the answer makes no sense: {what}")),
        }
    }
}

/// An answer, or the failure that it is.
pub(super) fn answered(value: Value) -> Result<Value, Failure> {
    match value {
        Value::ServerError(error) => Err(Failure::of_answer(&error)),
        value => Ok(value),
    }
}

/// Whether the script has to be sent along.
pub(super) fn is_unknown_script(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

/// `3999 127.0.0.1:6381`
fn redirect(detail: &str, once: bool) -> Option<Redirect> {
    let (_slot, address) = detail.split_once(' ')?;
    let (host, port) = address.rsplit_once(':')?;
    Some(Redirect { host: host.to_owned(), port: port.parse().ok().filter(|port| *port != 0)?, once })
}

/// One line of bounded length.
fn said(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_CHARS).collect()
}
