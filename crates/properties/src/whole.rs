//! The whole proxy, in this process, over loopback: any bytes from a client, before an origin that is strict.

use crate::recorder::{self, Seen};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use vestibule::config::{self, Colour, HostDeps, Source};
use vestibule::serve::Server;
use vestibule_plugin::SystemClock;
use vestibule_plugin::meter::{Format, Registry};

/// A proxy that is silent for so long has nothing more to say.
const QUIET: Duration = Duration::from_millis(60);
/// The longest that another client waits for an answer.
const SERVED_WITHIN: Duration = Duration::from_secs(10);
/// Between the end of a connection and the count of what was on it.
const COUNTED_WITHIN: Duration = Duration::from_secs(5);
/// Behind the bytes, so that a connection whose bytes were understood ends at once.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nhost: origin.test\r\nconnection: close\r\n\r\n";
/// First bytes of a client of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const COUNT: &str = "http_server_request_duration_seconds_count";

struct Running {
    proxy: SocketAddr,
    origin: Arc<Seen>,
    meter: Arc<Registry>,
}

/// Holds of the proxy: its origin never counts a request more than it did itself, never sees a framing that is not
/// canonical, and another client is served.
pub fn whole_proxy(data: &[u8]) {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    let running = RUNNING.get_or_init(start);
    let text = String::from_utf8_lossy(&converse(running.proxy, &[data, LAST].concat(), QUIET)).into_owned();
    // A client that speaks HTTP/2 is answered in frames.
    assert!(text.is_empty() || data.starts_with(PREFACE) || text.starts_with("HTTP/1.1 "), "{text:?}");

    let other = converse(running.proxy, LAST, SERVED_WITHIN);
    assert!(other.starts_with(b"HTTP/1.1 200 "), "another client got {:?}", String::from_utf8_lossy(&other));
    assert!(other.ends_with(b"\r\n\r\nok"), "another client got {:?}", String::from_utf8_lossy(&other));
    assert_eq!(running.origin.fault(), None, "not canonical");

    let began = Instant::now();
    while running.origin.requests() > counted(&running.meter) {
        assert!(began.elapsed() < COUNTED_WITHIN, "the origin counted more requests than the proxy");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends and reads until the proxy closes or falls silent.
fn converse(address: SocketAddr, bytes: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the proxy listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(patience)).expect("a socket");
    // A proxy that has refused what came first does not take the rest.
    let _ = stream.write_all(bytes);
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return received,
            Ok(length) => received.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return received,
        }
    }
}

fn counted(meter: &Registry) -> u64 {
    let text = meter.encode(Format::Text);
    let samples = text.lines().filter(|line| line.starts_with(COUNT));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn start() -> Running {
    let (upstream, origin) = recorder::start();
    let meter = Arc::new(Registry::default());
    let deps = Arc::new(HostDeps::new(Arc::new(SystemClock::default()), Arc::clone(&meter)));
    let file = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\nworkers = 1\n[upstream]\nurl = \"http://{upstream}\"\n\
         [log]\nlevel = \"error\"\naccess = false\n"
    );
    let generation = config::load_text(&file, &deps);
    let generation = generation.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(Colour::Never)));
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server = Server::start(&Source::new(None), deps, generation).expect("the proxy starts");
            tell.send(server.addresses()[0]).expect("somebody waits");
            std::future::pending::<()>().await;
        });
    });
    Running { proxy: told.recv().expect("the proxy starts"), origin, meter }
}
