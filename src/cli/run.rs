//! `vestibule run`: serve until told to stop, then drain.

use crate::config::{self, Colour, HostDeps, Source};
use crate::serve::{Server, Signals};
use crate::telemetry::Log;
use rlimit::Resource;
use rustix::fs::Mode;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::SystemClock;
use vestibule_plugin::meter::{Registry, process};
use vestibule_store::Contact;

/// How long a store that answers is heard before the proxy listens.
const NEAR: Duration = Duration::from_millis(50);

/// Serves the configuration of `source`.
pub fn run(source: &Source) -> ExitCode {
    // The only failure is that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    keep_to_ourselves();
    // Each connection needs two descriptors, and the usual soft limit is 1,024. Where it cannot be raised it stays.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let meter = Arc::new(Registry::default());
    process::register(&meter);
    let deps = Arc::new(HostDeps::new(Arc::new(SystemClock::default()), meter));
    let generation = match config::load(source, &deps) {
        Ok(generation) => generation,
        Err(errors) => {
            eprint!("{}", errors.render(Colour::for_stderr()));
            return ExitCode::FAILURE;
        }
    };
    // Signals, reloads, the admin listener and health probes; requests have workers of their own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start a runtime: {error}")),
    };
    let served = runtime.block_on(async {
        let mut signals = Signals::heed().map_err(|error| format!("cannot wait for signals: {error}"))?;
        let stores = generation.stores.clone();
        let mut contact = tokio::spawn(async move { stores.first_contact().await });
        // A store that is near answers before anything listens; nobody waits for one that does not.
        let near = tokio::time::timeout(NEAR, &mut contact).await;
        if let Ok(Ok(Contact::Refused(why))) = near {
            return Err(format!("the store cannot be used: {why}"));
        }
        let server = Server::start(source, deps, generation)?;
        Log::heed_panics();
        let refused = async {
            let made = match near {
                Ok(made) => made,
                Err(_elapsed) => contact.await,
            };
            match made {
                Ok(Contact::Refused(why)) => Some(why),
                Ok(Contact::None(why)) => {
                    tracing::warn!(target: "store", cause = why, "the store cannot be reached; what needs it fails until it can");
                    None
                }
                Ok(Contact::Made) | Err(_) => None,
            }
        };
        tokio::select! {
            () = server.until_told_to_stop(&mut signals) => {}
            Some(why) = refused => {
                server.drain(signals.interrupt()).await;
                return Err(format!("the store cannot be used: {why}"));
            }
        }
        Ok::<usize, String>(server.drain(signals.interrupt()).await)
    });
    runtime.shutdown_background();
    match served {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => refuse(&why),
    }
}

/// Memory holds keys and what clients sent: it is not written to disk when the process dies, and what the process
/// writes is its owner's alone.
fn keep_to_ourselves() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // Lowering a limit is always allowed.
    let _ = rlimit::setrlimit(Resource::CORE, 0, 0);
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}
