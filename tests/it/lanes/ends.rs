//! A request body ends once, however its end was told.

use bytes::Bytes;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vestibule_http1::{BodyReader, Limits, Parsed, Progress, read_request};
use vestibule_testkit::{Alpn, Certs, H2Client, H2Request, Proxy, Raw};

const LIMITS: Limits = Limits { max_bytes: 64 * 1024, max_fields: 256 };

/// A request as a strict origin read it: method and body.
type Seen = Result<(String, Bytes), String>;

/// An origin that takes nothing but strict HTTP/1.1, and answers each request with 200.
struct StrictOrigin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl StrictOrigin {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&all)));
            }
        });
        Self { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock())
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut input = Vec::new();
    loop {
        match read(&mut stream, &mut input).await {
            Ok(Some(request)) => seen.lock().push(Ok(request)),
            Ok(None) => return,
            Err(junk) => return seen.lock().push(Err(junk)),
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// One request; `None` at an orderly end.
async fn read(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<Option<(String, Bytes)>, String> {
    let mut progress = Progress::default();
    let head = loop {
        match read_request(input, &mut progress, &LIMITS) {
            Ok(Parsed::Complete(head)) => break head,
            Ok(Parsed::Incomplete) => {}
            Err(fault) => return Err(format!("{fault}: {:?}", String::from_utf8_lossy(input))),
        }
        if stream.read_buf(input).await.unwrap_or(0) == 0 {
            return if input.is_empty() { Ok(None) } else { Err("a head that broke off".to_owned()) };
        }
    };
    let method = String::from_utf8_lossy(head.method(input)).into_owned();
    let mut reader = BodyReader::new(head.framing(), LIMITS.max_bytes, LIMITS.max_fields);
    input.drain(..head.len());

    let mut body = Vec::new();
    while !reader.is_finished() {
        let step = reader.step(input).map_err(|fault| fault.to_string())?;
        body.extend_from_slice(&input[step.data]);
        input.drain(..step.consumed);
        let is_stuck = step.consumed == 0 && !reader.is_finished();
        if is_stuck && stream.read_buf(input).await.unwrap_or(0) == 0 {
            return Err("a body that broke off".to_owned());
        }
    }
    if !reader.trailers().is_empty() {
        return Err("trailers".to_owned());
    }
    Ok(Some((method, body.into())))
}

/// How a client tells the end of its body over HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the head: there is no body.
    Head,
    /// With the last bytes.
    LastPiece,
    /// With an empty piece behind them.
    EmptyPiece,
    /// With an empty piece, and there were no bytes.
    EmptyPieceAlone,
    /// With trailers behind the bytes.
    Trailers,
    /// With trailers, and there were no bytes.
    TrailersAlone,
}

const KEYED: &str = "[idempotency]\nprincipal = [\"none\"]\n";

async fn check(origin: &StrictOrigin, what: &str, body: &str) {
    let seen = origin.take();
    let expected: Vec<Seen> =
        vec![Ok(("POST".to_owned(), Bytes::copy_from_slice(body.as_bytes()))), Ok(("GET".to_owned(), Bytes::new()))];
    assert_eq!(seen, expected, "{what}");
}

/// DI-14: the same bytes, one request and one end of it, whatever the client's protocol said about the end, streamed and
/// held.
#[tokio::test]
async fn a_body_over_http2_ends_once_at_an_http1_origin() {
    let certs = Certs::new();
    let origin = StrictOrigin::start().await;
    let toml = format!("[server]\ntls = {}\n{KEYED}", certs.tls_toml());
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    let ends = [End::Head, End::LastPiece, End::EmptyPiece, End::EmptyPieceAlone, End::Trailers, End::TrailersAlone];
    let mut key = 0;
    for held in [false, true] {
        for declared in [false, true] {
            for end in ends {
                key += 1;
                let has_bytes = matches!(end, End::LastPiece | End::EmptyPiece | End::Trailers);
                let body = if has_bytes { "hello" } else { "" };
                let what = format!("held: {held}, declared: {declared}, {end:?}");
                let mut request = H2Request::new("POST", "/");
                if declared {
                    request = request.header("content-length", &body.len().to_string());
                }
                if held {
                    request = request.header("idempotency-key", &format!("\"{key}\""));
                }
                let stream = match end {
                    End::Head => client.open(request).await.expect("a stream"),
                    End::LastPiece => client.open(request.body(body)).await.expect("a stream"),
                    _ => {
                        let mut stream = client.open_upload(request).await.expect("a stream");
                        if has_bytes {
                            stream.data(body).expect("an open stream");
                        }
                        match end {
                            End::Trailers | End::TrailersAlone => {
                                stream.finish_with(&[("x-sum", "1")]).expect("an open stream");
                            }
                            _ => stream.finish().expect("an open stream"),
                        }
                        stream
                    }
                };
                let answer = stream.answer().await.expect("a response");
                assert_eq!((answer.status, answer.text()), (200, "done".to_owned()), "{what}");
                assert_eq!(client.get("/next").await.text(), "done", "{what}: the next on that connection");
                check(&origin, &what, body).await;
            }
        }
    }
}

/// DI-14, from HTTP/1.1 clients.
#[tokio::test]
async fn a_body_over_http1_ends_once_at_an_http1_origin() {
    let certs = Certs::new();
    let origin = StrictOrigin::start().await;
    let toml = format!("[server]\ntls = {}\n{KEYED}", certs.tls_toml());
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let mut raw = Raw::connect_tls(proxy.address(), &certs, &[Alpn::Http11]).await;
    let mut key = 0;
    for held in [false, true] {
        for (framing, body) in [
            ("\r\n", ""),
            ("content-length: 0\r\n\r\n", ""),
            ("content-length: 5\r\n\r\nhello", "hello"),
            ("transfer-encoding: chunked\r\n\r\n0\r\n\r\n", ""),
            ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n", "hello"),
            ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n", "hello"),
        ] {
            key += 1;
            let what = format!("held: {held}, {framing:?}");
            let keyed = if held { format!("idempotency-key: \"{key}\"\r\n") } else { String::new() };
            raw.write(format!("POST / HTTP/1.1\r\nhost: a\r\n{keyed}{framing}")).await;
            assert_eq!(raw.answer().await.text(), "done", "{what}");
            raw.write("GET /next HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(raw.answer().await.text(), "done", "{what}: the next on that connection");
            check(&origin, &what, body).await;
        }
    }
}

/// DI-16: HTTP/2 says by ending the stream that there is no body; some servers want to be told (411).
#[tokio::test]
async fn the_absence_of_a_body_is_said_to_an_http1_origin() {
    let certs = Certs::new();
    let origin = vestibule_testkit::Origin::replying(|request| {
        let told = request.fields.has("content-length") || request.fields.has("transfer-encoding");
        vestibule_testkit::Reply::new(if told { 200 } else { 411 })
    });
    let toml = format!(
        "[server]\ntls = {}\nmethods = [\"GET\", \"POST\", \"PUT\", \"PATCH\", \"DELETE\"]\n",
        certs.tls_toml()
    );
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    for (method, status) in [("POST", 200), ("PUT", 200), ("PATCH", 200), ("DELETE", 411), ("GET", 411)] {
        assert_eq!(client.send(H2Request::new(method, "/")).await.status, status, "{method}");
    }
    assert_eq!(origin.requests()[0].field("content-length"), "0");
}
