//! Deadlines of an exchange with an upstream: each wait has its own, and progress begins it anew.

use crate::deadline::Deadline;
use pingora::{Error, ErrorType};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// How long each wait may take. `None`: for ever.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For bytes of an answer, once the request is sent.
    pub read: Option<Duration>,
    /// For the upstream to take bytes of the request.
    pub write: Option<Duration>,
}

/// How long an answer may take that came before its request was sent: it is there, or there is none.
const EARLY_ANSWER: Duration = Duration::from_secs(1);

/// First deadline where there is none for reading; it is moved before it counts.
const UNUSED: Duration = Duration::from_secs(60);

/// The party that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The client, for more of its body: whoever reads it keeps time.
    Client,
    /// The upstream, to take bytes.
    Write,
    /// The upstream, for bytes of an answer.
    Read,
    /// The upstream, for an answer that explains why it took no more.
    EarlyAnswer,
}

impl Timeouts {
    fn of(&self, waiting: Waiting) -> Option<Duration> {
        match waiting {
            Waiting::Client => None,
            Waiting::Write => self.write,
            Waiting::Read => self.read,
            Waiting::EarlyAnswer => Some(EARLY_ANSWER),
        }
    }
}

/// The deadline of one wait after another; put off when something moved.
pub struct Patience {
    timeouts: Timeouts,
    running: Option<(Waiting, u64)>,
    deadline: Deadline,
}

impl Patience {
    /// By these timeouts.
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, running: None, deadline: Deadline::at(Instant::now() + timeouts.read.unwrap_or(UNUSED)) }
    }

    /// The same for the next exchange, by these timeouts.
    pub fn begin(&mut self, timeouts: Timeouts) {
        (self.timeouts, self.running) = (timeouts, None);
    }

    /// The next wait begins now, whatever came before.
    pub fn restart(&mut self) {
        self.running = None;
    }

    /// Ready when `waiting` has lasted for too long; `progress` is a number that changes when
    /// something moved.
    pub fn poll_overdue(&mut self, cx: &mut Context<'_>, waiting: Waiting, progress: u64) -> Poll<Box<Error>> {
        let Some(patience) = self.timeouts.of(waiting) else {
            self.running = None;
            return Poll::Pending;
        };
        if self.running != Some((waiting, progress)) {
            self.running = Some((waiting, progress));
            self.deadline.set(Instant::now() + patience);
        }
        self.deadline.poll(cx).map(|()| overdue(waiting))
    }
}

fn overdue(waiting: Waiting) -> Box<Error> {
    match waiting {
        Waiting::Write => Error::explain(ErrorType::WriteTimedout, "sending to the upstream"),
        _ => Error::explain(ErrorType::ReadTimedout, "waiting for the upstream's answer"),
    }
    .into_up()
}
