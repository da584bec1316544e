//! The client's side of an exchange while its call is under way: its body goes up as the call asks for it, and its leaving
//! is noticed.

use crate::connections::UploadSender;
use crate::downstream::Downstream;
use crate::downstream::connection::Expecting;
use crate::exchange::{ClientSide, Exchange};
use crate::proxy::failure;
use http::Version;
use pingora::{Error, ErrorType, Result};
use std::future::poll_fn;

/// A request body that is passed on while the call is made.
pub struct Intake {
    sender: UploadSender,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// More may come.
    Open,
    /// All of it has come.
    Complete,
}

impl Intake {
    /// Passes on to `sender`.
    pub fn new(sender: UploadSender) -> Self {
        Self { sender, state: State::Open }
    }
}

/// Passes the body on for as long as this is polled; resolves when the client is gone, or sends what it may not.
/// What it has read it has passed on, so it may be dropped at any time.
pub async fn attend(
    downstream: &mut Downstream,
    client: &mut ClientSide<'_>,
    intake: Option<&mut Intake>,
) -> Box<Error> {
    let Some(intake) = intake else { return downstream.leaves().await };
    loop {
        match intake.state {
            State::Open => {
                if let Err(error) = pass_piece(downstream, client, intake).await {
                    return error;
                }
            }
            State::Complete => return downstream.leaves().await,
        }
    }
}

async fn pass_piece(downstream: &mut Downstream, client: &mut ClientSide<'_>, intake: &mut Intake) -> Result<()> {
    // While nobody wants more of a body its leaving cannot be told from more of it; the next write will tell.
    poll_fn(|cx| intake.sender.poll_wanted(cx)).await;
    client.connection.upload().begin();
    let Some(piece) = client.in_time(downstream.read_body()).await? else {
        client.connection.expect(Expecting::Nothing);
        intake.sender.end();
        intake.state = State::Complete;
        return Ok(());
    };

    *client.request_bytes += piece.len() as u64;
    if client.limit.is_some_and(|limit| *client.request_bytes > limit) {
        return Err(Error::explain(failure::BODY_TOO_LARGE, "request body over max_body_bytes").into_down());
    }
    client.keep_pace(piece.len())?;
    intake.sender.send(piece);
    Ok(())
}

impl ClientSide<'_> {
    /// The next piece of the body. Refuses one over HTTP/2 that falls behind; over HTTP/1 whoever reads it does.
    ///
    /// # Errors
    ///
    /// `ReadTimedout` of the client's side, and those of `read`.
    pub async fn in_time<T>(&self, read: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.keeps_time() {
            return read.await.map_err(Error::into_down);
        }
        tokio::select! {
            biased;
            piece = read => piece.map_err(Error::into_down),
            () = self.connection.upload().falls_behind(self.floor) => Err(self.too_slow()),
        }
    }

    /// The same of one that comes in drops.
    ///
    /// # Errors
    ///
    /// `ReadTimedout` of the client's side.
    pub fn keep_pace(&self, bytes: usize) -> Result<()> {
        if !self.keeps_time() || self.connection.upload().came(bytes, self.floor) {
            return Ok(());
        }
        Err(self.too_slow())
    }

    fn keeps_time(&self) -> bool {
        self.request.version == Version::HTTP_2 && self.connection.expecting() == Expecting::Body
    }

    fn too_slow(&self) -> Box<Error> {
        self.connection.mark_slow_body();
        Error::explain(ErrorType::ReadTimedout, "request body too slow").into_down()
    }
}

impl Exchange {
    /// Its two sides, so that the call and the client can be served at the same time.
    pub fn split(&mut self) -> (&mut crate::exchange::Story, ClientSide<'_>) {
        let server = &self.pipeline.settings.server;
        let client = ClientSide {
            connection: &self.connection,
            request: &self.request,
            request_bytes: &mut self.request_bytes,
            limit: server.max_body_bytes,
            floor: server.min_body_rate,
        };
        (&mut self.story, client)
    }
}
