//! A connection that is made when it is needed, once for all who need it, and again when it is lost.

use super::connection::Connection;
use super::failure::Failure;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a server that must not be used is not looked at again.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Opens a connection that may be used.
pub(super) type Dial = Arc<dyn Fn() -> BoxFuture<'static, Result<Connection, Failure>> + Send + Sync>;

type Opening = Shared<BoxFuture<'static, Result<Arc<Connection>, Failure>>>;

/// Holds one connection or none.
#[derive(Clone)]
pub(super) struct Lane {
    dial: Dial,
    /// Longest time for opening.
    limit: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    link: Link,
    refusal: Option<Refusal>,
}

#[derive(Default)]
enum Link {
    #[default]
    Down,
    Opening(Opening),
    Up(Arc<Connection>),
}

struct Refusal {
    why: String,
    until: Instant,
}

impl Lane {
    pub(super) fn new(dial: Dial, limit: Duration) -> Self {
        Self { dial, limit, state: Arc::default() }
    }

    /// The connection, as soon as there is one. Who asks while it is being opened gets the same one, or the same failure.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, Failure> {
        let opening = {
            let mut state = self.state.lock();
            match &state.link {
                Link::Up(connection) if connection.is_open() => return Ok(Arc::clone(connection)),
                Link::Opening(opening) => opening.clone(),
                Link::Up(_) | Link::Down => {
                    if let Some(Refusal { why, .. }) =
                        state.refusal.as_ref().filter(|refusal| Instant::now() < refusal.until)
                    {
                        return Err(Failure::Refused(why.clone()));
                    }
                    let opening = self.open();
                    state.link = Link::Opening(opening.clone());
                    opening
                }
            }
        };
        let late = || Err(Failure::Unreachable("no connection in time".to_owned()));
        timeout_at(deadline, opening).await.unwrap_or_else(|_elapsed| late())
    }

    /// In a task, so that it goes on when the first who asked has no time left.
    fn open(&self) -> Opening {
        let (dial, limit, state) = (Arc::clone(&self.dial), self.limit, Arc::clone(&self.state));
        let task = tokio::spawn(async move {
            let late = || Err(Failure::Unreachable("no connection in time".to_owned()));
            let opened = timeout(limit, dial()).await.unwrap_or_else(|_elapsed| late()).map(Arc::new);
            state.lock().settle(&opened);
            opened
        });
        let state = Arc::clone(&self.state);
        let opened = async move {
            task.await.unwrap_or_else(|_cancelled| {
                let failed = Err(Failure::Unreachable("its runtime has ended".to_owned()));
                state.lock().settle(&failed);
                failed
            })
        };
        opened.boxed().shared()
    }

    /// Uses `lost` no longer; the next one who asks gets another connection.
    pub(super) fn give_up(&self, lost: &Arc<Connection>) {
        let mut state = self.state.lock();
        if matches!(&state.link, Link::Up(connection) if Arc::ptr_eq(connection, lost)) {
            state.link = Link::Down;
        }
    }

    /// Uses no connection that was made before.
    pub(super) fn begin_anew(&self) {
        self.state.lock().link = Link::Down;
    }

    /// Why the server must not be used, as far as is known.
    pub(super) fn refusal(&self) -> Option<String> {
        self.state.lock().refusal.as_ref().map(|refusal| refusal.why.clone())
    }
}

impl State {
    fn settle(&mut self, opened: &Result<Arc<Connection>, Failure>) {
        self.link = match opened {
            Ok(connection) => Link::Up(Arc::clone(connection)),
            Err(_) => Link::Down,
        };
        self.refusal = match opened {
            Err(Failure::Refused(why)) => Some(Refusal { why: why.clone(), until: Instant::now() + REFUSED_FOR }),
            Ok(_) | Err(_) => None,
        };
    }
}
