//! The master that sentinels name, asked for anew for each connection.

use super::connection::{Connection, Connector};
use super::failure::Failure;
use super::url::Address;
use redis::{Value, cmd};
use tokio::time::{Instant, timeout_at};

/// Where the sentinels are and what they are asked.
pub(super) struct Sentinels {
    pub(super) addresses: Vec<Address>,
    pub(super) master: String,
    /// To sentinels: most ask for no password, and refuse one that they do not know.
    pub(super) anonymously: Connector,
    pub(super) to_master: Connector,
}

impl Sentinels {
    /// A connection to a server that says itself that it is the master.
    pub(super) async fn open(&self, deadline: Instant) -> Result<Connection, Failure> {
        let mut last = Failure::Unreachable("there is no sentinel".to_owned());
        for (asked, sentinel) in self.addresses.iter().enumerate() {
            // One that does not answer must not take the time of those after it.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(self.addresses.len() - asked).unwrap_or(1);
            let until = Instant::now() + share;
            let late = |_| Err(Failure::Unreachable(format!("{sentinel}: no master through it in time")));
            match timeout_at(until, self.through(sentinel, until)).await.unwrap_or_else(late) {
                Ok(connection) => return Ok(connection),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// What it says of the master.
    async fn ask(&self, connector: &Connector, sentinel: &Address, deadline: Instant) -> Result<Value, Failure> {
        let mut question = cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(&self.master);
        connector.open(sentinel).await?.ask(&question, deadline).await
    }

    async fn through(&self, sentinel: &Address, deadline: Instant) -> Result<Connection, Failure> {
        let named = match self.ask(&self.anonymously, sentinel, deadline).await {
            Err(Failure::Said(why)) if why.starts_with("NOAUTH") => {
                self.ask(&self.to_master, sentinel, deadline).await?
            }
            named => named?,
        };
        let address = address(&named)
            .ok_or_else(|| Failure::Unreachable(format!("{sentinel}: it knows no master {}", self.master)))?;
        let connection = self.to_master.open(&address).await?;
        // A sentinel may be late in learning that another one has become the master.
        match connection.ask(&cmd("ROLE"), deadline).await? {
            Value::Array(role) if matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") => {
                Ok(connection)
            }
            _ => Err(Failure::Unreachable(format!("{address}: it is not the master"))),
        }
    }
}

fn address(named: &Value) -> Option<Address> {
    let Value::Array(parts) = named else { return None };
    let [Value::BulkString(host), Value::BulkString(port)] = &parts[..] else { return None };
    let port = std::str::from_utf8(port).ok()?.parse().ok().filter(|port| *port != 0)?;
    Some(Address { host: String::from_utf8(host.clone()).ok()?, port })
}
