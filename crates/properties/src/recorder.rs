//! An origin that takes nothing but canonical HTTP/1.1: it counts requests, and keeps what is framed otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Most bytes of a head.
const MOST_HEAD: u64 = 1 << 20;

/// What it has seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    requests: AtomicU64,
    fault: Mutex<Option<String>>,
}

impl Seen {
    /// Requests counted.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// What was not canonical, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts one; it ends with the process.
pub(crate) fn start() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = Arc::clone(&counted);
            thread::spawn(move || serve(&stream, &seen));
        }
    });
    (address, seen)
}

/// Why a connection ends.
enum Ended {
    /// The proxy hung up.
    Cut,
    /// The bytes have another reading.
    NotCanonical(String),
}

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Self {
        Self::Cut
    }
}

fn serve(stream: &TcpStream, seen: &Seen) {
    let mut reader = BufReader::new(stream);
    loop {
        match exchange(&mut reader, stream, seen) {
            Ok(()) => {}
            Err(Ended::Cut) => return,
            Err(Ended::NotCanonical(why)) => {
                *seen.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                return;
            }
        }
    }
}

fn exchange(reader: &mut BufReader<&TcpStream>, mut stream: &TcpStream, seen: &Seen) -> Result<(), Ended> {
    let line = line(reader)?;
    let method = request_line(&line).ok_or_else(|| fault("request line", &line))?;
    let framing = fields(reader)?;
    seen.requests.fetch_add(1, Ordering::SeqCst);
    match framing {
        Framing::Length(length) => discard(reader, length)?,
        Framing::Chunked => chunks(reader)?,
    }
    let body = if method == b"HEAD" { "" } else { "ok" };
    stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}").as_bytes())?;
    Ok(())
}

fn fault(what: &str, text: &[u8]) -> Ended {
    Ended::NotCanonical(format!("{what}: {:?}", String::from_utf8_lossy(text)))
}

/// A line without its CRLF.
fn line(reader: &mut BufReader<&TcpStream>) -> Result<Vec<u8>, Ended> {
    let mut line = Vec::new();
    reader.by_ref().take(MOST_HEAD).read_until(b'\n', &mut line)?;
    if !line.ends_with(b"\n") {
        return Err(if line.is_empty() { Ended::Cut } else { fault("a line that does not end", &line) });
    }
    line.strip_suffix(b"\r\n").map(<[u8]>::to_vec).ok_or_else(|| fault("line end", &line))
}

fn request_line(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let visible = |byte: &u8| (0x21..=0x7e).contains(byte) && *byte != b'#';
    let sound = words.next().is_none()
        && !method.is_empty()
        && method.iter().all(|byte| is_token(*byte))
        && !target.is_empty()
        && target.iter().all(visible)
        && version == b"HTTP/1.1";
    sound.then_some(method)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

enum Framing {
    Length(u64),
    Chunked,
}

fn fields(reader: &mut BufReader<&TcpStream>) -> Result<Framing, Ended> {
    let (mut framing, mut hosts) = (None, 0);
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| fault("field", &line))?;
        let (name, value) = (line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii());
        let bad_byte = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) || value.iter().any(bad_byte) {
            return Err(fault("field", &line));
        }
        let found = match &name[..] {
            b"host" => {
                hosts += 1;
                continue;
            }
            b"content-length" => number(value).map(Framing::Length),
            b"transfer-encoding" if value == b"chunked" => Some(Framing::Chunked),
            b"transfer-encoding" | b"content_length" | b"transfer_encoding" => None,
            _ => continue,
        };
        if found.is_none() || framing.is_some() {
            return Err(fault("framing", &line));
        }
        framing = found;
    }
    if hosts != 1 {
        return Err(fault("Host fields", hosts.to_string().as_bytes()));
    }
    Ok(framing.unwrap_or(Framing::Length(0)))
}

/// In the one spelling it has.
fn number(digits: &[u8]) -> Option<u64> {
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == digits).then_some(number)
}

fn discard(reader: &mut BufReader<&TcpStream>, length: u64) -> Result<(), Ended> {
    let read = std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
    if read == length { Ok(()) } else { Err(Ended::Cut) }
}

fn chunks(reader: &mut BufReader<&TcpStream>) -> Result<(), Ended> {
    loop {
        // A body that is cut off may end anywhere.
        let size = line(reader).map_err(|_| Ended::Cut)?;
        let text = std::str::from_utf8(&size).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let length = text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or_else(|| fault("chunk", &size))?;
        discard(reader, length)?;
        let end = line(reader).map_err(|_| Ended::Cut)?;
        if !end.is_empty() {
            return Err(fault("end of a chunk, or a trailer", &end));
        }
        if length == 0 {
            return Ok(());
        }
    }
}
