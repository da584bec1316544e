//! Where the configuration comes from.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that is read when none is named, if it exists.
pub const DEFAULT_FILE: &str = "vestibule.toml";

/// Most bytes of a configuration file.
const MAX_BYTES: u64 = 4 << 20;

/// The value of a variable by its name.
type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Why there is no text.
pub(super) enum Unreadable {
    /// The file is not text.
    NotUtf8 {
        /// What stands before the first byte that is none.
        before: String,
    },
    /// It cannot be read.
    Other(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Other(error)
    }
}

/// A file, what the command line overrides in it, and the environment its `${NAME}`s come from.
#[derive(Clone)]
pub struct Source {
    path: Option<PathBuf>,
    pub(super) upstream: Option<String>,
    pub(super) listen: Option<String>,
    environment: Arc<Environment>,
}

impl Source {
    /// `path` as given with `-c`; without one `./vestibule.toml` is read if it exists, else there are only defaults.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, upstream: None, listen: None, environment: Arc::new(|name| std::env::var(name).ok()) }
    }

    /// With the default file pinned when it is there now: should it go away, a reload must not fall back to defaults.
    pub fn pinned(mut self) -> Self {
        if self.path.is_none() && Path::new(DEFAULT_FILE).exists() {
            self.path = Some(PathBuf::from(DEFAULT_FILE));
        }
        self
    }

    /// With `--upstream`.
    pub fn with_upstream(mut self, url: Option<String>) -> Self {
        self.upstream = url;
        self
    }

    /// With `--listen`.
    pub fn with_listen(mut self, address: Option<String>) -> Self {
        self.listen = address;
        self
    }

    /// With another environment than the process's.
    pub fn with_environment(mut self, environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.environment = Arc::new(environment);
        self
    }

    /// The file, for messages and for a watcher.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// The file as it is named to people; `defaults` when there is none.
    pub fn name(&self) -> String {
        match self.path.is_none() && !self.path().exists() {
            true => "defaults".to_owned(),
            false => self.path().display().to_string(),
        }
    }

    /// The text of the file; empty when there is none and none was named.
    pub(super) fn read(&self) -> Result<String, Unreadable> {
        String::from_utf8(self.bytes()?).map_err(|error| {
            let sound = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(sound);
            Unreadable::NotUtf8 { before: String::from_utf8(bytes).unwrap_or_default() }
        })
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let file = match std::fs::File::open(self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.is_none() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MAX_BYTES + 1), &mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4MiB"));
        }
        Ok(bytes)
    }

    /// The value of an environment variable.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }
}
