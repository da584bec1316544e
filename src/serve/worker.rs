//! A worker: one thread with a runtime of its own.
//!
//! A connection stays with the worker that accepted it, so serving it wakes no other thread and takes no lock but those
//! of the shared pools. Workers accept from the same queue; one that is busy leaves connections to the others.

use crate::listener::Listener;
use crate::proxy::Proxy;
use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The number of the worker that runs this, counted from 1; 0 on a thread that is none.
pub fn number() -> usize {
    NUMBER.get()
}

/// Starts a worker that serves on `sockets`, numbered from 1. Returns its runtime once it accepts. It ends with the
/// process.
pub fn start(
    number: usize,
    sockets: Vec<TcpListener>,
    listener: Arc<Listener<Proxy>>,
) -> io::Result<tokio::runtime::Handle> {
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        NUMBER.set(number);
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(tell.send(Err(error))),
        };
        runtime.block_on(async {
            let mut accepting = sockets.into_iter().map(|socket| {
                let socket = tokio::net::TcpListener::from_std(socket)?;
                tokio::spawn(Arc::clone(&listener).accept(socket));
                Ok(())
            });
            let accepts: io::Result<()> = accepting.try_for_each(|accepts| accepts);
            // Nobody listens when the process has given up starting.
            let _ = tell.send(accepts.map(|()| tokio::runtime::Handle::current()));
            std::future::pending::<()>().await;
        });
    })?;
    told.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}
