//! One Redis: the connection that all share, and those for questions that hold a connection up.

use super::connection::{Answer, Connection, Connector};
use super::failure::Failure;
use super::health::Health;
use super::lane::{Dial, Lane};
use super::policy;
use super::pulse::Pulse;
use super::script::Call;
use super::url::Address;
use futures::FutureExt;
use parking_lot::Mutex;
use redis::Cmd;
use redis::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Connections for questions that wait for replicas. Redis answers nothing else on such a connection meanwhile.
const WAITING: usize = 32;

pub(crate) struct Node {
    shared: Lane,
    /// Idle ones, the last one used on top.
    waiting: Mutex<Vec<Lane>>,
    vacancies: Semaphore,
    /// Of what is asked about buckets.
    pub(super) pulse: Pulse,
    /// Of what is asked about records.
    pub(super) health: Health,
    /// Tells it from all others of this process.
    pub(super) id: u64,
    name: String,
}

/// Of the next node; 0 is none.
static ID: AtomicU64 = AtomicU64::new(1);

/// What a server has to be like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Vetting {
    /// It keeps what it acknowledged.
    Keeps,
    /// It answers.
    Answers,
}

/// A lane taken out of the idle ones, and put back.
struct Borrowed<'a> {
    lane: Option<Lane>,
    idle: &'a Mutex<Vec<Lane>>,
}

impl Node {
    /// `name` is what logs call it; `limit` bounds the opening of each of its connections.
    pub(super) fn new(name: String, dial: &Dial, limit: Duration) -> Self {
        let lane = || Lane::new(Arc::clone(dial), limit);
        Self {
            shared: lane(),
            waiting: Mutex::new((0..WAITING).map(|_| lane()).collect()),
            vacancies: Semaphore::new(WAITING),
            pulse: Pulse::default(),
            health: Health::default(),
            id: ID.fetch_add(1, Ordering::Relaxed),
            name,
        }
    }

    /// What logs call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The one at `address`.
    pub(super) fn at(address: &Address, connector: &Arc<Connector>, limit: Duration, vetting: Vetting) -> Self {
        let name = address.to_string();
        let (address, connector) = (address.clone(), Arc::clone(connector));
        let dial: Dial = Arc::new(move || {
            let (address, connector) = (address.clone(), Arc::clone(&connector));
            async move {
                let connection = connector.open(&address).await?;
                vetting.pass(&connection, Instant::now() + limit).await?;
                Ok(connection)
            }
            .boxed()
        });
        Self::new(name, &dial, limit)
    }

    /// Connects again, whatever is connected.
    pub(super) async fn reconnect(&self, deadline: Instant) -> Result<(), Failure> {
        self.shared.begin_anew();
        self.waiting.lock().iter().for_each(Lane::begin_anew);
        self.connect(deadline).await
    }

    pub(super) async fn connect(&self, deadline: Instant) -> Result<(), Failure> {
        self.shared.connection(deadline).await.map(drop)
    }

    /// The connection for questions about buckets.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, Failure> {
        self.shared.connection(deadline).await
    }

    /// Learns what came of a question about buckets.
    pub(super) fn heard<T>(&self, connection: &Arc<Connection>, answer: &Result<T, Failure>) {
        Self::heed(&self.shared, connection, answer);
    }

    pub(super) async fn ask(&self, command: &Cmd, deadline: Instant) -> Result<Value, Failure> {
        let connection = self.shared.connection(deadline).await?;
        let answer = connection.ask(command, deadline).await;
        Self::heed(&self.shared, &connection, &answer);
        answer
    }

    /// Runs `call` without waiting for replicas.
    pub(super) async fn run_here(&self, call: &Call, deadline: Instant) -> Result<(), Failure> {
        let connection = self.shared.connection(deadline).await?;
        let answer = connection.run(call, 0, false, deadline).await;
        Self::heed(&self.shared, &connection, &answer);
        answer.map(drop)
    }

    /// Runs `call`; where it belongs to a `term`, on a connection of that term alone.
    pub(super) async fn run(
        &self,
        call: &Call,
        asking: bool,
        term: Option<u64>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        if call.replicas == 0 {
            let connection = self.shared.connection(deadline).await?;
            let answer = connection.run(call, call.replicas, asking, deadline).await;
            Self::heed(&self.shared, &connection, &answer);
            return answer;
        }
        let busy = || Failure::Unreachable(format!("{WAITING} operations wait for replicas already"));
        let _vacancy = timeout_at(deadline, self.vacancies.acquire()).await.map_err(|_elapsed| busy())?;
        let borrowed = Borrowed { lane: self.waiting.lock().pop(), idle: &self.waiting };
        let lane = borrowed.lane.as_ref().ok_or_else(busy)?;
        let connection = lane.connection(deadline).await?;
        // Another server may have become the master while it was being opened.
        if term.is_some_and(|term| connection.term() != Some(term)) {
            return Err(Failure::Away("another server has just become the master".to_owned()));
        }
        let answer = connection.run(call, call.replicas, asking, deadline).await;
        // Whoever came next would have to wait for what was not heard in time.
        if !matches!(answer, Ok(Answer { acknowledged: Some(_), .. })) {
            lane.give_up(&connection);
        }
        answer
    }

    fn heed<T>(lane: &Lane, connection: &Arc<Connection>, answer: &Result<T, Failure>) {
        match answer {
            Err(Failure::Broken(_) | Failure::Away(_) | Failure::Nonsense(_)) => lane.give_up(connection),
            Err(Failure::Late) if connection.is_silent() => lane.give_up(connection),
            Ok(_) | Err(_) => {}
        }
    }

    /// Whether it failed when it was last asked.
    pub(super) fn is_down(&self) -> bool {
        [self.health.is_up(), self.pulse.is_up()].contains(&Some(false))
    }

    /// Why it must not be used, as far as is known.
    pub(super) fn refusal(&self) -> Option<String> {
        self.shared.refusal()
    }
}

impl Vetting {
    pub(super) async fn pass(self, connection: &Connection, deadline: Instant) -> Result<(), Failure> {
        match self {
            Self::Keeps => policy::check(connection, deadline).await,
            Self::Answers => Ok(()),
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.idle.lock().extend(self.lane.take());
    }
}
