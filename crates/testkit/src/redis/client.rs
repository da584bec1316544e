//! As much of the protocol of Redis as tests speak.

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resp {
    /// `+OK`
    Simple(String),
    /// `-ERR …`
    Error(String),
    /// `:1`
    Int(i64),
    /// `$3`
    Bulk(Vec<u8>),
    /// `*2`
    Array(Vec<Resp>),
    /// `$-1`
    Nil,
}

impl Resp {
    /// As text; panics unless it is some.
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?} is not a text"),
        }
    }

    /// As a number; panics unless it is one.
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(int) => *int,
            other => panic!("{other:?} is not a number"),
        }
    }

    /// The bytes of a string; panics when it is none.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bulk(bytes) => bytes,
            other => panic!("no string: {other:?}"),
        }
    }

    /// Its parts; panics unless it has some.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Array(parts) => parts,
            other => panic!("{other:?} has no parts"),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection that asks one thing after the other.
pub(super) struct Client(BufReader<Box<dyn Stream>>);

impl Client {
    pub(super) async fn connect(
        address: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
        password: Option<&str>,
    ) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(tcp),
            Some(config) => {
                let connector = TlsConnector::from(config);
                Box::new(connector.connect(ServerName::from(address.ip()), tcp).await?)
            }
        };
        let mut client = Self(BufReader::new(stream));
        if let Some(password) = password {
            client.ask(&["AUTH", password]).await?;
        }
        Ok(client)
    }

    pub(super) async fn ask<A: AsRef<[u8]>>(&mut self, words: &[A]) -> io::Result<Resp> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n", word.as_ref().len()).as_bytes());
            command.extend_from_slice(word.as_ref());
            command.extend_from_slice(b"\r\n");
        }
        self.0.write_all(&command).await?;
        self.0.flush().await?;
        self.answer().await
    }

    pub(super) fn answer(&mut self) -> Pin<Box<dyn Future<Output = io::Result<Resp>> + Send + '_>> {
        Box::pin(async move {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            let (kind, rest) = line.split_at_checked(1).ok_or(io::ErrorKind::InvalidData)?;
            let number = || rest.parse::<i64>().map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
            Ok(match kind {
                "+" => Resp::Simple(rest.to_owned()),
                "-" => Resp::Error(rest.to_owned()),
                ":" => Resp::Int(number()?),
                "$" => match usize::try_from(number()?) {
                    Err(_) => Resp::Nil,
                    Ok(length) => {
                        let mut bytes = vec![0; length + 2];
                        self.0.read_exact(&mut bytes).await?;
                        bytes.truncate(length);
                        Resp::Bulk(bytes)
                    }
                },
                "*" => match usize::try_from(number()?) {
                    Err(_) => Resp::Nil,
                    Ok(length) => {
                        let mut parts = Vec::new();
                        for _ in 0..length {
                            parts.push(self.answer().await?);
                        }
                        Resp::Array(parts)
                    }
                },
                _ => return Err(io::ErrorKind::InvalidData.into()),
            })
        })
    }
}
