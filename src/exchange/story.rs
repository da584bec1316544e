//! What has happened in an exchange so far: the plugins that take part, and the attempts on the upstream.

use crate::proxy::failure::Answer;
use crate::proxy::resend::FailedAttempt;
use bytes::Bytes;
use http::StatusCode;
use smallvec::SmallVec;
use std::borrow::Cow;
use vestibule_plugin::{AnsweredBy, Attempt, AttemptResult, Ended, Facts, Hold, Hooks, Monotonic, Sent, Stage};

/// A plugin's half of this exchange.
pub struct Attached {
    /// Its table.
    pub name: &'static str,
    /// Its place.
    pub stage: Stage,
    /// What it asked to hold.
    pub hold: Option<Hold>,
    pub(super) hooks: Box<dyn Hooks>,
    /// Inside a call. Stays so when the call panics.
    busy: bool,
}

impl Attached {
    /// Of a plugin that takes part.
    pub fn new(name: &'static str, stage: Stage, hooks: Box<dyn Hooks>) -> Self {
        Self { name, stage, hold: None, hooks, busy: false }
    }

    /// For one call; [`Self::leave`] follows unless that panics.
    pub fn enter(&mut self) -> &mut dyn Hooks {
        self.busy = true;
        &mut *self.hooks
    }

    /// The call has returned.
    pub fn leave(&mut self) {
        self.busy = false;
    }
}

/// What may move into a task that outlives the client: hooks, facts and what has happened so far.
pub struct Story {
    /// Attached plugins, outermost first.
    pub hooks: SmallVec<[Attached; 4]>,
    /// How many of them have seen the request.
    pub entered: usize,
    /// What is known.
    pub facts: Facts,
    /// Attempts on the upstream that have ended.
    pub attempts: SmallVec<[Attempt; 2]>,
    attempt: Option<UnderWay>,
    /// Status of the final head.
    pub status: Option<StatusCode>,
    /// When that head was known.
    pub head_at: Option<Monotonic>,
    /// Who wrote it.
    pub answered_by: AnsweredBy,
    /// Slug of the problem.
    pub problem: Option<&'static str>,
    /// Why, in more detail.
    pub reason: Option<Cow<'static, str>>,
    /// How it ended, once something other than the last byte ended it.
    pub ended: Option<Ended>,
}

#[derive(Clone, Copy)]
struct UnderWay {
    began: Monotonic,
    head: Option<(Monotonic, StatusCode)>,
    reused: bool,
    /// The first byte of the request is about to leave, or has left.
    sent: bool,
    /// A byte of an answer has come.
    heard: bool,
}

impl Story {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            hooks: SmallVec::new(),
            entered: 0,
            facts,
            attempts: SmallVec::new(),
            attempt: None,
            status: None,
            head_at: None,
            answered_by: AnsweredBy::Edge,
            problem: None,
            reason: None,
            ended: None,
        }
    }

    /// The hooks that have seen the request, innermost first; without one that panicked.
    pub fn entered_inside_out(&mut self) -> (impl Iterator<Item = &mut Attached>, &Facts) {
        (self.hooks[..self.entered].iter_mut().rev().filter(|attached| !attached.busy), &self.facts)
    }

    /// Those that edit this response, innermost first: who has seen the request, and who dresses every response.
    pub fn dressing(&mut self) -> (impl Iterator<Item = &mut Attached>, &Facts) {
        let entered = self.entered;
        let all = self.hooks.iter_mut().enumerate().rev();
        let dress = all.filter(move |(at, attached)| *at < entered || attached.hooks.dresses_every_response());
        (dress.map(|(_, attached)| attached).filter(|attached| !attached.busy), &self.facts)
    }

    /// An attempt on the upstream begins.
    pub fn begin_attempt(&mut self, now: Monotonic) {
        self.attempt = Some(UnderWay { began: now, head: None, reused: false, sent: false, heard: false });
    }

    /// The attempt has a connection.
    pub fn attempt_connected(&mut self, reused: bool) {
        if let Some(attempt) = &mut self.attempt {
            attempt.reused = reused;
        }
    }

    /// The attempt begins to write.
    pub fn attempt_sends(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.sent = true;
        }
    }

    /// What the upstream may have got of the request by now, and the status of its reply. Attempts that were followed by
    /// another had sent nothing that counts.
    pub fn progress(&self) -> (Sent, Option<StatusCode>) {
        match (&self.attempt, self.attempts.last()) {
            (Some(attempt), _) => {
                let sent = if attempt.sent { Sent::Something } else { Sent::Nothing };
                (sent, attempt.head.map(|(_, status)| status))
            }
            (None, Some(Attempt { result: AttemptResult::Status(status), .. })) => (Sent::Something, Some(*status)),
            (None, _) => (Sent::Nothing, None),
        }
    }

    /// What waited for a hook waits no longer: none of them is inside a call.
    pub fn leave_all(&mut self) {
        self.hooks.iter_mut().for_each(Attached::leave);
    }

    /// The attempt has an interim head, or a part of one.
    pub fn attempt_heard(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.heard = true;
        }
    }

    /// Whether the final head of an answer has come.
    pub fn attempt_answer(&self) -> Answer {
        if self.attempt.is_some_and(|attempt| attempt.head.is_some()) { Answer::Begun } else { Answer::NotBegun }
    }

    /// The attempt has the final head of an answer.
    pub fn attempt_answered(&mut self, now: Monotonic, status: StatusCode) {
        if let Some(attempt) = &mut self.attempt {
            attempt.head = Some((now, status));
        }
    }

    /// The attempt is over; `error` when no final head came or the rest failed.
    pub fn end_attempt(&mut self, now: Monotonic, error: Option<&'static str>) {
        let Some(attempt) = self.attempt.take() else { return };
        let result = match (attempt.head, error) {
            (Some((_, status)), None) => AttemptResult::Status(status),
            (_, Some(error)) => AttemptResult::Error(error),
            // Every failure of an attempt is named where it happens; what is left is that nobody waited.
            (None, None) => AttemptResult::Abandoned,
        };
        self.attempts.push(Attempt {
            duration: now.since(attempt.began),
            first_byte: attempt.head.map(|(at, _)| at.since(attempt.began)),
            result,
        });
    }

    /// Shows the hooks a piece of the request body.
    pub fn show_upload(&mut self, piece: &Bytes) {
        for attached in &mut self.hooks {
            attached.enter().on_upload(piece);
            attached.leave();
        }
    }

    /// The attempt under way, now that it has failed.
    pub fn failed_attempt(&self) -> FailedAttempt {
        let attempt = self.attempt.as_ref();
        FailedAttempt {
            made: self.attempts_made(),
            sent: attempt.is_some_and(|attempt| attempt.sent),
            reused: attempt.is_some_and(|attempt| attempt.reused),
            heard: attempt.is_some_and(|attempt| attempt.heard || attempt.head.is_some()),
        }
    }

    /// Attempts made so far, the one under way included.
    fn attempts_made(&self) -> usize {
        self.attempts.len() + usize::from(self.attempt.is_some())
    }
}
