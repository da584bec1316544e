//! One connection to an HTTP/1 origin, request by request.

use super::plan::{Plan, Step, chunk};
use super::received::Received;
use super::reply::{Reply, Then, Upload};
use super::state::State;
use crate::wire::{BodyEnd, Framing, Wire};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Chooses replies.
pub(super) type Choose = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// When the reply is chosen.
#[derive(Clone)]
pub(super) enum Script {
    /// Once the whole request is there.
    AtEnd(Choose),
    /// Once its head is there.
    AtHead(Choose),
}

/// Serves until the connection ends.
pub(super) async fn serve(mut wire: Wire, connection: usize, script: &Script, state: &State) {
    let mut nth_on_connection = 0;
    while let Ok(Some(head)) = wire.head().await {
        nth_on_connection += 1;
        let mut received = Received { connection, nth_on_connection, ..Received::from_head(head) };
        state.arrived(&mut received);
        let reply = match script {
            Script::AtEnd(choose) => {
                if received.fields.lists("expect", "100-continue")
                    && wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err()
                {
                    return;
                }
                if read_body(&mut wire, &mut received, state).await != BodyEnd::Complete {
                    return;
                }
                choose(&received)
            }
            Script::AtHead(choose) => choose(&received),
        };
        if let ControlFlow::Break(end) = answer(&mut wire, &mut received, &reply, state).await {
            return finish(wire, end).await;
        }
    }
}

async fn answer(wire: &mut Wire, received: &mut Received, reply: &Reply, state: &State) -> ControlFlow<Then> {
    let plan = reply.plan(&received.method);
    let watching = match reply.upload {
        Upload::ReadAfterwards => Watch::Peer,
        Upload::LeaveUnread => Watch::Nothing,
    };
    if perform(wire, &plan, watching).await.is_err() {
        state.count(|counts| counts.aborted += 1);
        return ControlFlow::Break(Then::HangUp);
    }
    match (received.body_end, reply.upload, plan.then) {
        (_, _, then @ (Then::HangUp | Then::Reset)) => ControlFlow::Break(then),
        (BodyEnd::Unread, Upload::LeaveUnread, Then::KeepAlive) => std::future::pending().await,
        (BodyEnd::Unread, Upload::ReadAfterwards, then) => match read_body(wire, received, state).await {
            BodyEnd::Complete if then == Then::KeepAlive => ControlFlow::Continue(()),
            _ => ControlFlow::Break(Then::HangUp),
        },
        (_, _, Then::KeepAlive) => ControlFlow::Continue(()),
        (_, _, then) => ControlFlow::Break(then),
    }
}

async fn read_body(wire: &mut Wire, received: &mut Received, state: &State) -> BodyEnd {
    let framing = Framing::of_request(&received.fields);
    let mut progress = |bytes: usize| state.count(|counts| counts.body_bytes += bytes as u64);
    let body = wire.body(framing, &mut progress).await;
    (received.body, received.trailers, received.body_end) = (body.data.into(), body.trailers, body.end);
    state.read(received);
    body.end
}

/// Whether waiting notices that the other side left; noticing means reading.
#[derive(Clone, Copy)]
enum Watch {
    Peer,
    Nothing,
}

/// Does what the plan says; an error when the other side left meanwhile.
async fn perform(wire: &mut Wire, plan: &Plan, watch: Watch) -> io::Result<()> {
    for step in &plan.steps {
        match step {
            Step::Wait(delay) => unless_gone(wire, watch, tokio::time::sleep(*delay)).await?,
            Step::Until(gate) => unless_gone(wire, watch, gate.opened()).await?,
            Step::Forever => unless_gone(wire, watch, std::future::pending()).await?,
            Step::Send(bytes) => wire.write(bytes).await?,
            Step::Events { interval, stop, event } => {
                for n in 0.. {
                    wire.write(&chunk(format!("data: {}\n\n", (event.0)(n)).as_bytes())).await?;
                    let mut stopped = false;
                    let pause = async { stopped = tokio::time::timeout(*interval, stop.opened()).await.is_ok() };
                    unless_gone(wire, watch, pause).await?;
                    if stopped {
                        break;
                    }
                }
            }
            Step::Echo => loop {
                let bytes = wire.take_buffered();
                wire.write(&bytes).await?;
                if wire.fill().await? == 0 {
                    break;
                }
            },
        }
    }
    Ok(())
}

async fn unless_gone<T>(wire: &mut Wire, watch: Watch, wait: impl Future<Output = T>) -> io::Result<T> {
    match watch {
        Watch::Nothing => Ok(wait.await),
        Watch::Peer => tokio::select! {
            value = wait => Ok(value),
            error = gone(wire) => Err(error),
        },
    }
}

/// Returns once the other side has ended the connection; what it sends before that is kept.
async fn gone(wire: &mut Wire) -> io::Error {
    loop {
        match wire.fill().await {
            Ok(0) => return io::ErrorKind::ConnectionAborted.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

async fn finish(mut wire: Wire, then: Then) {
    match then {
        Then::Reset => wire.reset(),
        // A connection that is gone cannot be ended again.
        _ => drop(wire.finish_writing().await),
    }
}
