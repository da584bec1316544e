//! The tasks that serve clients, so that a drain which has waited long enough can end them.

use parking_lot::Mutex;
use std::future::Future;
use tokio::task::AbortHandle;

/// Tasks under way. Those that have ended are dropped whenever the list would have to grow, so it stays within twice
/// the number of those that have not.
#[derive(Default)]
pub struct Live(Mutex<Vec<AbortHandle>>);

impl Live {
    /// Runs `task` until it ends or is cut off.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task).abort_handle();
        let mut tasks = self.0.lock();
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(handle);
    }

    /// Drops every task where it stands.
    pub fn cut_off(&self) {
        for task in self.0.lock().drain(..) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_ended_is_forgotten_and_what_has_not_is_cut_off() {
        let live = Live::default();
        let (keep, kept) = tokio::sync::oneshot::channel::<()>();
        live.spawn(async move {
            std::future::pending::<()>().await;
            drop(keep);
        });
        for _ in 0..1000 {
            live.spawn(async {});
            tokio::task::yield_now().await;
        }
        assert!(live.0.lock().len() < 16, "{}", live.0.lock().len());
        live.cut_off();
        assert!(kept.await.is_err(), "its sender went with the task");
    }
}
