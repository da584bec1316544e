//! What clients ask a server.

use super::client::Client;
use crate::deadline::within;
use crate::task::AbortOnDrop;
use tokio::sync::watch;

/// Commands a server has run since it was asked to tell, one line each, scripts included with what they call.
#[derive(Debug)]
pub struct Monitor {
    lines: watch::Receiver<Vec<String>>,
    _task: AbortOnDrop,
}

impl Monitor {
    pub(super) async fn of(mut client: Client) -> Self {
        let told = within("MONITOR", client.ask(&["MONITOR"])).await.expect("a running server");
        assert_eq!(told.text(), "OK");
        let (sender, lines) = watch::channel(Vec::new());
        let task = AbortOnDrop::spawn(async move {
            while let Ok(line) = client.answer().await {
                sender.send_modify(|lines| lines.push(line.text()));
            }
        });
        Self { lines, _task: task }
    }

    /// All so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Waits until they satisfy `until` and returns them; `what` names that in a missed deadline.
    pub async fn wait(&self, what: &str, mut until: impl FnMut(&[String]) -> bool) -> Vec<String> {
        let mut lines = self.lines.clone();
        let reached = within(what, lines.wait_for(|lines| until(lines))).await.expect("a running server");
        reached.clone()
    }
}
