//! One process of the application, and the directory it lives in.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;

/// A directory with a database that is not there yet.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.path().join("upstream.db")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule-upstream"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("DATABASE_URL", format!("sqlite://{}", self.database().display()))
            .env("LISTEN", "127.0.0.1:0")
            .env("INTERNAL_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null());
        command
    }

    /// Writes a file beside the database.
    pub(crate) fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        path
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Adds the 57 projects of the seed.
    pub(crate) fn seed(&self) {
        let output = self.run(&["seed"]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Starts `serve` and waits until both listeners are announced.
    pub(crate) fn serve(&self) -> Service {
        self.serve_with(&[])
    }

    /// The same with variables that name files.
    pub(crate) fn serve_with(&self, files: &[(&str, &Path)]) -> Service {
        let mut command = self.command(&["serve"]);
        let mut child = command.envs(files.iter().copied()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a piped stderr")).lines();
        let (mut public, mut internal) = (None, None);
        while public.is_none() || internal.is_none() {
            let line = lines.next().expect("both listeners are announced").expect("text");
            let line: Value = serde_json::from_str(&line).expect("a JSON line");
            if line["msg"] == "listening" {
                let address = line["address"].as_str().map(str::to_owned);
                if line["listener"] == "public" { public = address } else { internal = address }
            }
        }
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("no panic").push(line);
            }
        });
        Service {
            child,
            public: Client::to(&public.expect("announced")),
            internal: Client::to(&internal.expect("announced")),
            log,
            reader: Some(reader),
        }
    }
}

/// A running `serve`; killed when dropped.
pub(crate) struct Service {
    child: Child,
    pub(crate) public: Client,
    pub(crate) internal: Client,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Service {
    /// Sends SIGTERM to this process.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for the end; gives the exit status and every line logged since the start.
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.child.wait().expect("a child");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read");
        }
        let lines = std::mem::take(&mut *self.log.lock().expect("no panic"));
        (status, lines.iter().map(|line| serde_json::from_str(line).expect("a JSON line")).collect())
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
