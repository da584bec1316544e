//! Reloads when the configuration file changes (`[server] watch = true`).

use crate::config::Source;
use crate::reload::Reloader;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Editors write a file in several steps; a reload waits until it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(200);

/// Watches as long as what it returns lives. `None` when watching is off or the system refuses it, which is logged.
pub fn start(source: &Source, reloader: &Arc<Reloader>, wanted: bool) -> Option<RecommendedWatcher> {
    if !wanted {
        return None;
    }
    let changed = Arc::new(Notify::new());
    match watch(source.path(), &changed) {
        Ok(watcher) => {
            tokio::spawn(follow(changed, Arc::clone(reloader)));
            Some(watcher)
        }
        Err(error) => {
            tracing::warn!(target: "config", error = %error, "cannot watch the configuration file; use SIGHUP");
            None
        }
    }
}

/// The folder is watched, not the file: an editor that replaces the file, and a Kubernetes volume that swaps a link,
/// change the folder's entries.
fn watch(file: &Path, changed: &Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name: Option<OsString> = file.file_name().map(ToOwned::to_owned);
    let changed = Arc::clone(changed);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let ours = |path: &std::path::PathBuf| {
            path.file_name() == name.as_deref()
                || path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("..data"))
        };
        if !event.kind.is_access() && event.paths.iter().any(ours) {
            changed.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

async fn follow(changed: Arc<Notify>, reloader: Arc<Reloader>) {
    loop {
        changed.notified().await;
        while tokio::time::timeout(QUIET, changed.notified()).await.is_ok() {}
        // What was wrong is logged by the reload itself.
        let _ = reloader.reload().await;
    }
}
