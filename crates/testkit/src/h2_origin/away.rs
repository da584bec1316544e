//! A connection that takes no stream at all: it answers the first HEADERS with a GOAWAY that excludes it.
//!
//! The h2 library counts a stream it has handed out as processed, so this one speaks frames itself.

use crate::frames::{ACK, Frame, Kind, PREFACE, frame, go_away, settings};
use crate::origin::{Received, State};
use crate::wire::Io;
use bytes::Bytes;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs until the other side closes; each HEADERS frame is a hit without a method.
pub(super) async fn refuse_all(mut io: Box<dyn Io>, connection: usize, state: &State) -> io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    io.read_exact(&mut preface).await?;
    io.write_all(&settings()).await?;
    io.flush().await?;
    let mut nth_on_connection = 0;
    loop {
        let frame_in = read_frame(&mut io).await?;
        if frame_in.is(Kind::Settings) && frame_in.flags & ACK == 0 {
            io.write_all(&frame(Kind::Settings, ACK, 0, &[])).await?;
        } else if frame_in.is(Kind::Headers) {
            nth_on_connection += 1;
            let version = "HTTP/2.0".to_owned();
            state.arrived(&mut Received { connection, nth_on_connection, version, ..Received::default() });
            io.write_all(&go_away(0, 0)).await?;
        }
        io.flush().await?;
    }
}

async fn read_frame(io: &mut Box<dyn Io>) -> io::Result<Frame> {
    let mut header = [0; 9];
    io.read_exact(&mut header).await?;
    let (length, frame) = Frame::announced(header);
    let mut payload = vec![0; length];
    io.read_exact(&mut payload).await?;
    Ok(Frame { payload: Bytes::from(payload), ..frame })
}
