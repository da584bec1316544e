//! One connection to one Redis, shared by everybody who asks it something.

use super::bounded::{Bounded, ReplyBound};
use super::failure::{Failure, answered, is_unknown_script};
use super::question::Question;
use super::script::{By, Call};
use super::sentinel::Mastership;
use super::url::{Address, Credentials};
use futures::Stream;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, Msg, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError, Value, cmd};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::{self, Future};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

/// Questions without an answer in a row after which nothing more is expected of a connection.
const SILENCE: u32 = 2;

/// Tenths of the time left that a server is told to wait for its replicas. It looks at its timers ten times a second, so
/// what it says of them comes up to 100 ms later.
const WAIT_TENTHS: u32 = 6;

/// Tenths of the time left after which the replicas count as silent; the rest is for taking a claim back.
const HEARD_TENTHS: u32 = 9;

/// Of the next connection.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// How connections are made.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) credentials: Option<Credentials>,
    pub(super) database: u16,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) bound: ReplyBound,
}

/// An open connection, closed when dropped.
pub(super) struct Connection {
    commands: MultiplexedConnection,
    driver: AbortHandle,
    unanswered: AtomicU32,
    /// Of all connections of this process.
    serial: u64,
    /// Term of the master at its other end, where another one may be named.
    term: Option<Term>,
}

/// The term of a master, which ends when the sentinels name another one.
struct Term {
    number: u64,
    known: watch::Receiver<Mastership>,
}

impl Term {
    fn is_over(&self) -> bool {
        self.known.borrow().term != self.number
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) value: Value,
    /// Replicas that have it, as far as was heard in time.
    pub(super) acknowledged: Option<u32>,
}

impl Connector {
    /// Connects and authenticates.
    pub(super) async fn open(&self, address: &Address) -> Result<Connection, Failure> {
        let stream = self.connect(address).await?;
        self.greet(stream, None).await.map_err(|error| unreachable(address, &error))
    }

    /// The same; the connection ends with `term`, whatever is under way on it, and no answer counts that comes later.
    pub(super) async fn open_until(
        &self,
        address: &Address,
        term: u64,
        known: watch::Receiver<Mastership>,
    ) -> Result<Connection, Failure> {
        let stream = self.connect(address).await?;
        let term = Term { number: term, known };
        self.greet(stream, Some(term)).await.map_err(|error| unreachable(address, &error))
    }

    /// Subscribes to a channel: the messages from now on, until the connection ends.
    pub(super) async fn subscribe(
        &self,
        address: &Address,
        channel: &str,
    ) -> Result<impl Stream<Item = Msg> + Unpin + use<>, Failure> {
        let stream = Bounded::new(self.connect(address).await?, self.bound.clone());
        let subscribed = async {
            let mut connection = PubSub::new(&self.info(), stream).await?;
            connection.subscribe(channel).await?;
            Ok::<_, RedisError>(connection.into_on_message())
        };
        subscribed.await.map_err(|error| unreachable(address, &error))
    }

    async fn connect(&self, address: &Address) -> Result<Box<dyn Duplex>, Failure> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = stream.map_err(|error| unreachable(address, &error))?;
        stream.set_nodelay(true).map_err(|error| unreachable(address, &error))?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };

        let name = ServerName::try_from(address.host.clone()).map_err(|error| unreachable(address, &error))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        Ok(Box::new(stream.map_err(|error| unreachable(address, &error))?))
    }

    fn info(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name()
            .set_db(self.database.into());
        if let Some(Credentials { user, password }) = &self.credentials {
            info = info.set_password(password.as_str());
            if !user.is_empty() {
                info = info.set_username(user);
            }
        }
        info
    }

    async fn greet(&self, stream: Box<dyn Duplex>, term: Option<Term>) -> Result<Connection, RedisError> {
        // Its own deadlines would come on top of ours.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let stream = Bounded::new(stream, self.bound.clone());
        let (commands, driver) = MultiplexedConnection::new_with_config(&self.info(), stream, config).await?;

        let ends = term.as_ref().map(|term| (term.number, term.known.clone()));
        let driver = async move {
            let ends = async {
                if let Some((number, mut known)) = ends
                    && known.wait_for(|known| known.term != number).await.is_ok()
                {
                    return;
                }
                // Who would say so is gone with all that use the connection.
                future::pending::<()>().await;
            };
            tokio::select! {
                () = driver => {}
                () = ends => {}
            }
        };

        Ok(Connection {
            commands,
            driver: tokio::spawn(driver).abort_handle(),
            unanswered: AtomicU32::new(0),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            term,
        })
    }
}

/// A stream of bytes both ways, over TLS or not.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

fn deposed() -> Failure {
    Failure::Broken("another server has become the master".to_owned())
}

fn unreachable(address: &Address, error: &dyn std::fmt::Display) -> Failure {
    Failure::Unreachable(format!("{address}: {error}"))
}

impl Connection {
    /// Asks one thing that is no script.
    pub(super) async fn ask(&self, command: &Cmd, deadline: Instant) -> Result<Value, Failure> {
        let mut commands = self.commands.clone();
        answered(self.waiting(commands.send_packed_command(command), deadline).await?)
    }

    /// Runs a script, which is sent along when the server does not know it, and waits for so many replicas.
    pub(super) async fn run(
        &self,
        call: &Call,
        replicas: u32,
        asking: bool,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        // By its source at once when replicas are waited for: that a script is unknown would be noticed only after the
        // wait, when no time is left.
        let script = if replicas > 0 { call.by_source() } else { call.by_name() };
        let mut answer = self.send(script, replicas, asking, deadline).await?;
        if is_unknown_script(&answer.value) {
            answer = self.send(call.by_source(), replicas, asking, deadline).await?;
        }
        Ok(Answer { value: call.answer(answer.value)?, ..answer })
    }

    /// Everything that belongs to `script`, in one round trip.
    async fn send(&self, script: Cmd, replicas: u32, asking: bool, deadline: Instant) -> Result<Answer, Failure> {
        if replicas == 0 {
            return Ok(Answer { value: self.script(script, asking, deadline).await?, acknowledged: None });
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // 0 would wait for ever.
        let wait_ms = u64::try_from((left * WAIT_TENTHS / 10).as_millis()).unwrap_or(u64::MAX).max(1);
        let heard_until = Instant::now() + left * HEARD_TENTHS / 10;
        // Two questions, so that the first answer is not lost when the second one is late; biased, so that they leave in
        // this order.
        let mut wait = cmd("WAIT");
        wait.arg(replicas).arg(wait_ms);
        let (value, heard) = tokio::join!(biased; self.script(script, asking, deadline), self.ask(&wait, heard_until));
        let acknowledged = match heard {
            Ok(Value::Int(replicas)) => {
                Some(u32::try_from(replicas).map_err(|_| Failure::Nonsense("less than no replica"))?)
            }
            Ok(_) => return Err(Failure::Nonsense("no number of replicas")),
            Err(Failure::Late) => None,
            // The script's own error says more.
            Err(failure) => return Err(value.and_then(answered).err().unwrap_or(failure)),
        };
        Ok(Answer { value: value?, acknowledged })
    }

    async fn script(&self, script: Cmd, asking: bool, deadline: Instant) -> Result<Value, Failure> {
        let mut commands = self.commands.clone();
        if !asking {
            return self.waiting(commands.send_packed_command(&script), deadline).await;
        }
        let mut together = Pipeline::with_capacity(2);
        together.add_command(cmd("ASKING")).add_command(script);
        let answers = self.waiting(commands.send_packed_commands(&together, 0, 2), deadline).await?;
        answers.into_iter().nth(1).ok_or(Failure::Nonsense("an answer is missing"))
    }

    async fn waiting<T>(
        &self,
        answer: impl Future<Output = Result<T, RedisError>>,
        deadline: Instant,
    ) -> Result<T, Failure> {
        match timeout_at(deadline, answer).await {
            Ok(_) if self.is_deposed() => Err(deposed()),
            Ok(answer) => {
                self.unanswered.store(0, Ordering::Relaxed);
                answer.map_err(|error| Failure::of(&error))
            }
            Err(_elapsed) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                Err(Failure::Late)
            }
        }
    }

    /// Asks about buckets, however long the answer takes: one that comes late still says what was charged.
    pub(super) async fn put(&self, question: &Question, asking: bool) -> Result<Vec<Value>, Failure> {
        let mut answer = self.unhurried(question.command(By::Name), asking).await?;
        if is_unknown_script(&answer) {
            answer = self.unhurried(question.command(By::Source), asking).await?;
        }
        if self.is_deposed() {
            return Err(deposed());
        }
        self.unanswered.store(0, Ordering::Relaxed);
        question.answer(answer)
    }

    async fn unhurried(&self, script: Cmd, asking: bool) -> Result<Value, Failure> {
        let mut commands = self.commands.clone();
        if !asking {
            return commands.send_packed_command(&script).await.map_err(|error| Failure::of(&error));
        }
        let mut together = Pipeline::with_capacity(2);
        together.add_command(cmd("ASKING")).add_command(script);
        let answers = commands.send_packed_commands(&together, 0, 2).await.map_err(|error| Failure::of(&error))?;
        answers.into_iter().nth(1).ok_or(Failure::Nonsense("an answer is missing"))
    }

    /// An answer was waited for in vain.
    pub(super) fn miss(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells it from all others of this process.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether it still stood when it was last heard of.
    pub(super) fn is_open(&self) -> bool {
        !self.driver.is_finished() && !self.is_deposed()
    }

    /// The term of the master at its other end, where another one may be named.
    pub(super) fn term(&self) -> Option<u64> {
        self.term.as_ref().map(|term| term.number)
    }

    /// `true` once another server is the master.
    fn is_deposed(&self) -> bool {
        self.term.as_ref().is_some_and(Term::is_over)
    }

    /// Whether it has gone quiet.
    pub(super) fn is_silent(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) >= SILENCE
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Else it would stay open until everything asked was answered.
        self.driver.abort();
    }
}
