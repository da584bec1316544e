//! What becomes of a claim: the table of outcomes, as values.

use crate::config::Profile;
use crate::word::Word;
use http::StatusCode;
use vestibule_plugin::{Failure, Sent, WhyFailed};
use vestibule_store::records::{NotKept, Unknown};

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// The reply is kept.
    Done,
    /// The reply cannot be given again.
    Tombstone(NotKept),
    /// Nobody knows whether it was executed.
    Uncertain(Unknown),
    /// A retry executes.
    Released,
}

/// How the body of a reply came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// All of it is here.
    Whole,
    /// It is over the bound.
    TooLarge,
    /// It has no end that could be waited for.
    Stream,
    /// There was no memory to keep it in.
    NoRoom,
}

/// After a reply of the application.
pub(crate) fn of_reply(profile: Profile, status: StatusCode, word: Word, shape: Shape) -> Fate {
    match (word, profile, status.as_u16()) {
        (Word::NoStore, _, _) | (_, Profile::RetryFriendly, 500..) => Fate::Released,
        (_, _, 401 | 403 | 407 | 408 | 421 | 425 | 429 | 503) => Fate::Released,
        (_, _, 502 | 504) => Fate::Uncertain(Unknown::Upstream),
        _ => match shape {
            Shape::Whole => Fate::Done,
            Shape::TooLarge => Fate::Tombstone(NotKept::TooLarge),
            Shape::Stream => Fate::Tombstone(NotKept::Stream),
            Shape::NoRoom => Fate::Tombstone(NotKept::Memory),
        },
    }
}

/// After no reply, or a part of one. A head says the same with its body as without, and so does the application's word
/// in it.
pub(crate) fn of_failure(profile: Profile, failure: &Failure, word: Word) -> Fate {
    match (profile, failure) {
        (Profile::RetryFriendly, _) | (_, Failure { sent: Sent::Nothing, .. }) => Fate::Released,
        (_, Failure { head: Some(status), why, .. }) => match (of_reply(profile, *status, word, Shape::Whole), why) {
            (Fate::Released, _) => Fate::Released,
            (_, WhyFailed::Stopped) => Fate::Uncertain(Unknown::Shutdown),
            (Fate::Uncertain(why), _) => Fate::Uncertain(why),
            (Fate::Done | Fate::Tombstone(_), _) => Fate::Tombstone(NotKept::Truncated),
        },
        (_, Failure { why: WhyFailed::Stopped, .. }) => Fate::Uncertain(Unknown::Shutdown),
        (_, Failure { head: None, .. }) => Fate::Uncertain(Unknown::Upstream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(profile: Profile, status: u16) -> Fate {
        let status = StatusCode::from_u16(status).expect("a status");
        of_reply(profile, status, Word::None, Shape::Whole)
    }

    #[test]
    fn a_status_decides_what_is_kept_at_most_once() {
        for status in 200..=599 {
            let expected = match status {
                401 | 403 | 407 | 408 | 421 | 425 | 429 | 503 => Fate::Released,
                502 | 504 => Fate::Uncertain(Unknown::Upstream),
                _ => Fate::Done,
            };
            assert_eq!(reply(Profile::AtMostOnce, status), expected, "{status}");
        }
    }

    #[test]
    fn a_friend_of_retries_keeps_no_failure() {
        for status in 500..=599 {
            assert_eq!(reply(Profile::RetryFriendly, status), Fate::Released, "{status}");
        }
        assert_eq!(reply(Profile::RetryFriendly, 422), Fate::Done);
        assert_eq!(reply(Profile::RetryFriendly, 429), Fate::Released);
    }

    #[test]
    fn what_cannot_be_kept_leaves_a_tombstone_unless_its_status_decides_otherwise() {
        let shaped = |status, shape| of_reply(Profile::AtMostOnce, status, Word::None, shape);
        assert_eq!(shaped(StatusCode::OK, Shape::TooLarge), Fate::Tombstone(NotKept::TooLarge));
        assert_eq!(shaped(StatusCode::OK, Shape::Stream), Fate::Tombstone(NotKept::Stream));
        assert_eq!(shaped(StatusCode::OK, Shape::NoRoom), Fate::Tombstone(NotKept::Memory));
        assert_eq!(shaped(StatusCode::SERVICE_UNAVAILABLE, Shape::TooLarge), Fate::Released);
        assert_eq!(shaped(StatusCode::BAD_GATEWAY, Shape::Stream), Fate::Uncertain(Unknown::Upstream));
    }

    #[test]
    fn the_applications_word_releases_whatever_the_status() {
        for status in [201, 404, 500, 502] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(of_reply(Profile::AtMostOnce, status, Word::NoStore, Shape::TooLarge), Fate::Released);
        }
    }

    #[test]
    fn a_head_says_the_same_when_its_body_breaks_off() {
        let broken = |status: u16, word| {
            let head = Some(StatusCode::from_u16(status).expect("a status"));
            of_failure(Profile::AtMostOnce, &Failure { sent: Sent::Something, head, why: WhyFailed::Broken }, word)
        };
        for status in [401, 403, 408, 429, 503] {
            assert_eq!(broken(status, Word::None), Fate::Released, "{status}");
        }
        assert_eq!(broken(201, Word::NoStore), Fate::Released);
        assert_eq!(broken(502, Word::None), Fate::Uncertain(Unknown::Upstream));
        assert_eq!(broken(201, Word::None), Fate::Tombstone(NotKept::Truncated));
        assert_eq!(broken(422, Word::None), Fate::Tombstone(NotKept::Truncated));
    }

    #[test]
    fn a_failure_is_uncertain_once_a_byte_has_left() {
        let failure = |sent, head: Option<u16>, why| {
            let head = head.map(|head| StatusCode::from_u16(head).expect("a status"));
            let failure = Failure { sent, head, why };
            (
                of_failure(Profile::AtMostOnce, &failure, Word::None),
                of_failure(Profile::RetryFriendly, &failure, Word::None),
            )
        };
        for why in [WhyFailed::Broken, WhyFailed::Timeout, WhyFailed::Stopped] {
            assert_eq!(failure(Sent::Nothing, None, why), (Fate::Released, Fate::Released));
        }
        for why in [WhyFailed::Broken, WhyFailed::Timeout] {
            assert_eq!(failure(Sent::Something, None, why), (Fate::Uncertain(Unknown::Upstream), Fate::Released));
            let truncated = (Fate::Tombstone(NotKept::Truncated), Fate::Released);
            assert_eq!(failure(Sent::Something, Some(201), why), truncated);
        }
        for head in [None, Some(201)] {
            let stopped = (Fate::Uncertain(Unknown::Shutdown), Fate::Released);
            assert_eq!(failure(Sent::Something, head, WhyFailed::Stopped), stopped);
        }
    }
}
