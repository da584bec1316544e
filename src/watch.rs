//! Reloads when the configuration file changes (`[server] watch = true`).

use crate::reload::Reloader;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Editors write a file in several steps; a reload waits until it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(200);

/// A watch on the configuration file; ends when it is dropped.
pub struct Watch {
    _watcher: RecommendedWatcher,
    /// The file that was found behind all links.
    file: PathBuf,
}

impl Watch {
    /// Calls for a reload whenever the file of `reloader` changes. `None` when the system refuses it, which is logged.
    /// Needs a runtime.
    pub fn start(path: &Path, reloader: &Arc<Reloader>) -> Option<Self> {
        let (changed, heard) = mpsc::channel(1);
        let file = behind_links(path);
        match watch(path, &file, changed) {
            Ok(watcher) => {
                tokio::spawn(follow(heard, Arc::clone(reloader)));
                Some(Self { _watcher: watcher, file })
            }
            Err(error) => {
                tracing::warn!(target: "config", error = %error, "cannot watch the configuration file; use SIGHUP");
                None
            }
        }
    }

    /// Whether `path` still leads to the file that is watched.
    pub fn holds(&self, path: &Path) -> bool {
        behind_links(path) == self.file
    }
}

fn behind_links(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Folders are watched, not files: an editor that replaces the file, and a Kubernetes volume that swaps a link, change
/// the folder's entries. A file behind a link is also watched where it is.
fn watch(path: &Path, file: &Path, changed: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let names = [path.file_name(), file.file_name()].map(|name| name.map(ToOwned::to_owned));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let ours = |path: &PathBuf| {
            path.file_name().is_some_and(|name| {
                names.iter().flatten().any(|own| own == name) || name.to_string_lossy().starts_with("..data")
            })
        };
        if !event.kind.is_access() && event.paths.iter().any(ours) {
            // One that waits already is enough.
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(folder(path), RecursiveMode::NonRecursive)?;
    if behind_links(folder(path)) != folder(file) {
        watcher.watch(folder(file), RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

async fn follow(mut changed: mpsc::Receiver<()>, reloader: Arc<Reloader>) {
    while changed.recv().await.is_some() {
        while let Ok(Some(())) = tokio::time::timeout(QUIET, changed.recv()).await {}
        // A change that was heard before the watch was switched off is not followed after.
        if reloader.is_watching() {
            // What was wrong is logged by the reload itself.
            let _ = reloader.reload().await;
        }
    }
}
