//! Syslog over TCP: RFC 5424 messages, octet-counted (RFC 6587 section 3.4.1).

use super::reader::Item;
use std::io;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Facility 13, log audit; severity 6, informational (RFC 5424 section 6.2.1).
const PRIORITY: u8 = 13 * 8 + 6;

/// A receiver, connected when there is something for it.
pub(crate) struct Syslog {
    host: String,
    port: u16,
    source: String,
    connection: Option<TcpStream>,
}

impl Syslog {
    pub(crate) fn new(host: &str, port: u16, source: &str) -> Self {
        Self { host: host.to_owned(), port, source: source.to_owned(), connection: None }
    }

    /// Writes all of them to the socket: nothing more is known of what becomes of them.
    pub(crate) async fn send(&mut self, items: &[Item]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for item in items {
            frame(&mut bytes, &self.source, &item.text("time"), &item.event);
        }
        let mut connection = match self.connection.take().filter(is_open) {
            Some(connection) => connection,
            None => TcpStream::connect((self.host.as_str(), self.port)).await?,
        };
        connection.write_all(&bytes).await?;
        connection.flush().await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Forgets a connection on which something may be half written.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }
}

/// A receiver that has closed says so by an end; what is written then is lost without a word.
fn is_open(connection: &TcpStream) -> bool {
    let mut byte = [0];
    match connection.try_read(&mut byte) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

fn frame(out: &mut Vec<u8>, source: &str, time: &str, event: &[u8]) {
    let head = format!("<{PRIORITY}>1 {time} {source} vestibule {} audit - ", std::process::id());
    out.extend_from_slice(format!("{} ", head.len() + event.len()).as_bytes());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(event);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_counted_and_whole() {
        let mut out = Vec::new();
        frame(&mut out, "proxy-1", "2026-11-22T10:03:11.482Z", b"{}");
        let text = String::from_utf8(out).expect("text");
        let (length, message) = text.split_once(' ').expect("a count");
        assert_eq!(length.parse(), Ok(message.len()));
        let expected = format!("<110>1 2026-11-22T10:03:11.482Z proxy-1 vestibule {} audit - {{}}", std::process::id());
        assert_eq!(message, expected);
    }
}
