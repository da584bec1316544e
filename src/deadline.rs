//! A deadline that is put off again and again, and hardly ever passes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

/// The deadline, with a timer that fires at or before it and is pushed on then: to put it off costs no timer operation.
pub struct Deadline {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// At that moment.
    pub fn at(at: Instant) -> Self {
        Self { at, sleep: Box::pin(sleep_until(at)) }
    }

    /// Moves it.
    pub fn set(&mut self, at: Instant) {
        self.at = at;
        if self.sleep.deadline() > at {
            self.sleep.as_mut().reset(at);
        }
    }

    /// Ready when it has passed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= self.at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_passes_at_the_moment_that_was_set_last() {
        let began = Instant::now();
        let mut deadline = Deadline::at(began + Duration::from_secs(5));
        for (moved, to, until) in [("off", 9, 6), ("nearer", 7, 6), ("off from there", 8, 7)] {
            deadline.set(began + Duration::from_secs(to));
            let passes = poll_fn(|cx| deadline.poll(cx));
            assert!(tokio::time::timeout_at(began + Duration::from_secs(until), passes).await.is_err(), "{moved}");
        }
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(began.elapsed().as_secs(), 8);
        deadline.set(began + Duration::from_secs(20));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(began.elapsed().as_secs(), 20, "also after it has passed");
    }
}
