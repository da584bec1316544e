//! Reloads when the configuration file, or a file that it rests on, changes (`[server] watch = true`).

use crate::reload::Reloader;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Editors write a file in several steps; a reload waits until it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(200);

/// A watch on files; ends when it is dropped.
pub struct Watch {
    _watcher: RecommendedWatcher,
    files: Vec<Watched>,
}

/// A file as it is named, and what was found behind all links.
#[derive(PartialEq, Eq)]
struct Watched {
    named: PathBuf,
    behind: PathBuf,
}

impl Watched {
    fn of(path: &Path) -> Self {
        Self { named: path.to_owned(), behind: behind_links(path) }
    }
}

impl Watch {
    /// Calls for a reload of `reloader` whenever one of `files` changes. `None` when the system refuses it, which is logged.
    /// Needs a runtime.
    pub fn start(files: &[PathBuf], reloader: &Arc<Reloader>) -> Option<Self> {
        let (changed, heard) = mpsc::channel(1);
        let files: Vec<Watched> = files.iter().map(|path| Watched::of(path)).collect();
        match watch(&files, changed) {
            Ok(watcher) => {
                tokio::spawn(follow(heard, Arc::clone(reloader)));
                Some(Self { _watcher: watcher, files })
            }
            Err(error) => {
                tracing::warn!(target: "config", error = %error, "cannot watch the configuration files; use SIGHUP");
                None
            }
        }
    }

    /// Whether these are the files that are watched, and still lead where they led.
    pub fn holds(&self, files: &[PathBuf]) -> bool {
        files.len() == self.files.len() && files.iter().zip(&self.files).all(|(path, own)| Watched::of(path) == *own)
    }
}

fn behind_links(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Folders are watched, not files: an editor that replaces the file, and a Kubernetes volume that swaps a link, change
/// the folder's entries. A file behind a link is also watched where it is.
fn watch(files: &[Watched], changed: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let paths = || files.iter().flat_map(|file| [file.named.as_path(), file.behind.as_path()]);
    let names: BTreeSet<OsString> = paths().filter_map(Path::file_name).map(ToOwned::to_owned).collect();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let ours = |path: &PathBuf| {
            path.file_name().is_some_and(|name| names.contains(name) || name.to_string_lossy().starts_with("..data"))
        };
        if !event.kind.is_access() && event.paths.iter().any(ours) {
            // One that waits already is enough.
            let _ = changed.try_send(());
        }
    })?;
    let folders: BTreeSet<PathBuf> = paths().map(|path| behind_links(folder(path))).collect();
    for folder in &folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
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
