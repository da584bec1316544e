//! What the process says about itself: log lines.

pub mod access;
mod digits;
mod line;
mod refusals;
mod subscriber;
mod writer;

use crate::config::settings::{LogClient, LogFormat};
use hmac::{Hmac, Mac};
use line::Line;
use parking_lot::Mutex;
use refusals::{Refusals, Share, WINDOW};
use sha2::Sha256;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use vestibule_plugin::ClientAddress;
use vestibule_plugin::meter::Registry;
use writer::Writer;

/// Least time between two lines about malformed heads.
const MALFORMED_EVERY: Duration = Duration::from_secs(1);

/// Where log lines go. Cloning shares it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    writer: Writer,
    format: AtomicU8,
    level: AtomicU8,
    secret: Mutex<[u8; 32]>,
    malformed: Mutex<Malformed>,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Malformed {
    last: Option<Instant>,
    left_out: u64,
}

impl Log {
    /// Starts the writer and makes `tracing` events go to it.
    pub fn start(meter: &Registry) -> Self {
        let log = Self {
            shared: Arc::new(Shared {
                writer: Writer::start(meter),
                format: AtomicU8::new(0),
                level: AtomicU8::new(level_rank(tracing::Level::INFO)),
                secret: Mutex::new([0; 32]),
                malformed: Mutex::new(Malformed::default()),
                refusals: Mutex::default(),
            }),
        };
        // A second subscriber in one process (tests) is refused; the first one stays.
        let _ = tracing::subscriber::set_global_default(subscriber::Events::new(log.clone()));
        log
    }

    /// Takes over format, level and the key of hashed clients from a configuration.
    pub fn configure(&self, settings: crate::config::settings::Log, secret: [u8; 32]) {
        self.shared.format.store(u8::from(settings.format == LogFormat::Text), Ordering::Relaxed);
        self.shared.level.store(level_rank(settings.level), Ordering::Relaxed);
        *self.shared.secret.lock() = secret;
        tracing::callsite::rebuild_interest_cache();
    }

    fn format(&self) -> LogFormat {
        if self.shared.format.load(Ordering::Relaxed) == 0 { LogFormat::Json } else { LogFormat::Text }
    }

    fn write(&self, line: Line) {
        self.shared.writer.write(&line.finish(), self.format());
    }

    fn admits(&self, level: tracing::Level) -> bool {
        level_rank(level) <= self.shared.level.load(Ordering::Relaxed)
    }

    /// Whether a refused head has an access line of its own; beyond 100 a second they share one, which this sees to.
    pub fn gives_refusal_a_line(&self, generation: u64) -> bool {
        match self.shared.refusals.lock().add(Instant::now()) {
            Share::Own => return true,
            Share::Counted => {}
            Share::First => {
                let log = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(WINDOW).await;
                    log.shared_refusals(generation);
                });
            }
        }
        false
    }

    fn shared_refusals(&self, generation: u64) {
        let refused = self.shared.refusals.lock().take();
        let mut line = Line::new(self.format(), "INFO", "access", "requests");
        for name in ["trace_id", "method", "path", "status"] {
            line.null(name);
        }
        line.number("requests", refused);
        line.text("end", "refused");
        line.number("generation", generation);
        self.write(line);
    }

    /// Writes one access line.
    pub fn access(&self, access: &access::Access<'_>) {
        // Whatever the level: `[log] access` says whether they are wanted.
        let mut line = Line::new(self.format(), "INFO", "access", "request");
        let client = access.sender.as_ref().map(|sender| match sender.client {
            LogClient::Hash => self.hide(access.facts.address()),
            LogClient::Address => access.facts.address().to_string(),
        });
        let subject = access.facts.principal().and_then(|principal| principal.subject.as_deref());
        let subject = subject.map(|subject| hmac_text(&self.shared.secret.lock(), subject));
        access.write(&mut line, client.as_deref(), subject.as_deref());
        self.write(line);
    }

    /// A head came that never became an exchange: said at most once a second, with how many were left out.
    pub fn refused_head(&self, kind: &'static str) {
        let mut malformed = self.shared.malformed.lock();
        if malformed.last.is_some_and(|last| last.elapsed() < MALFORMED_EVERY) {
            malformed.left_out += 1;
            return;
        }
        malformed.last = Some(Instant::now());
        let left_out = std::mem::take(&mut malformed.left_out);
        drop(malformed);
        tracing::warn!(target: "listener", kind, left_out, "a request head was refused");
    }

    /// The client as hash: 16 hexadecimal digits of HMAC-SHA256 under the store secret.
    fn hide(&self, address: ClientAddress) -> String {
        let secret = *self.shared.secret.lock();
        // Requests of one client tend to follow each other.
        let known = |(last, key, hidden): &(ClientAddress, [u8; 32], String)| {
            (*last == address && *key == secret).then(|| hidden.clone())
        };
        if let Some(hidden) = LAST_HIDDEN.with_borrow(|last| last.as_ref().and_then(known)) {
            return hidden;
        }
        let hidden = hmac_text(&secret, &address.to_string());
        LAST_HIDDEN.set(Some((address, secret, hidden.clone())));
        hidden
    }

    /// Makes a panic a line like any other, escaped and cut like any other, with its place.
    pub fn heed_panics() {
        std::panic::set_hook(Box::new(|panic| {
            let said = panic.payload();
            let text = said.downcast_ref::<&str>().copied();
            let text = text.or_else(|| said.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic");
            let at = panic.location().map(ToString::to_string);
            tracing::error!(target: "panic", location = at, "{text}");
        }));
    }

    /// Waits until all lines so far are written, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        self.shared.writer.flush(patience);
    }
}

thread_local! {
    static LAST_HIDDEN: RefCell<Option<(ClientAddress, [u8; 32], String)>> = const { RefCell::new(None) };
}

/// 16 hexadecimal digits of HMAC-SHA256.
fn hmac_text(secret: &[u8; 32], text: &str) -> String {
    use std::fmt::Write as _;
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(text.as_bytes());
    let mut hex = String::with_capacity(16);
    for byte in &mac.finalize().into_bytes()[..8] {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Smaller is more important.
fn level_rank(level: tracing::Level) -> u8 {
    match level {
        tracing::Level::ERROR => 0,
        tracing::Level::WARN => 1,
        tracing::Level::INFO => 2,
        tracing::Level::DEBUG => 3,
        tracing::Level::TRACE => 4,
    }
}
