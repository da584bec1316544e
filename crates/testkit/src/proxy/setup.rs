//! How a proxy is started: its file, what lies beside it, and its environment.

use super::Proxy;
use super::lines::{Lines, parsed};
use crate::deadline::within;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::process::Command;

/// A proxy to be started in a directory of its own, which is also its working directory.
#[derive(Clone, Debug)]
pub struct Setup {
    bin: PathBuf,
    toml: String,
    upstream: Option<String>,
    files: Vec<(String, Vec<u8>)>,
    env: Vec<(String, String)>,
    args: Vec<String>,
}

/// A start that ended before the proxy listened.
#[derive(Debug)]
pub struct Failed {
    /// How the program ended.
    pub status: ExitStatus,
    /// Everything it said.
    pub stderr: String,
}

impl Setup {
    /// The program at `bin`, e.g. `env!("CARGO_BIN_EXE_vestibule")`, with an empty file.
    pub fn new(bin: impl AsRef<Path>) -> Self {
        Self {
            bin: bin.as_ref().to_owned(),
            toml: String::new(),
            upstream: None,
            files: Vec::new(),
            env: Vec::new(),
            args: Vec::new(),
        }
    }

    /// The configuration. `listen` and `admin` of `[server]` become ephemeral ports unless it names them.
    pub fn toml(mut self, toml: impl Into<String>) -> Self {
        self.toml = toml.into();
        self
    }

    /// `[upstream] url`, unless the configuration names one.
    pub fn upstream(mut self, url: impl Into<String>) -> Self {
        self.upstream = Some(url.into());
        self
    }

    /// A file beside the configuration, mode 0600.
    pub fn file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), contents.into()));
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A further argument behind `run -c FILE`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Starts it and waits until it listens; panics with what it said when it does not.
    pub async fn start(self) -> Proxy {
        match self.try_start().await {
            Ok(proxy) => proxy,
            Err(failed) => panic!("the proxy ended with {} before it listened:\n{}", failed.status, failed.stderr),
        }
    }

    /// Starts it and waits until it listens, or has ended.
    pub async fn try_start(self) -> Result<Proxy, Failed> {
        let dir = tempfile::tempdir().expect("a temporary directory for the proxy");
        let config = dir.path().join("vestibule.toml");
        write_config(&config, &self.toml, self.upstream.as_deref()).expect("the configuration can be written");
        for (name, contents) in &self.files {
            write_private(&dir.path().join(name), contents).expect("a file beside the configuration can be written");
        }
        let mut child = Command::new(&self.bin)
            .args(["run", "-c", "vestibule.toml"])
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.bin.display()));
        let pid = child.id().expect("a child that was not awaited has an id");
        let stderr = Lines::collect(child.stderr.take().expect("stderr is piped"));
        let stdout = Lines::collect(child.stdout.take().expect("stdout is piped"));

        let wants = Listening::of(&with_injected(&self.toml, self.upstream.as_deref()));
        let mut seen = Seen::default();
        let up = stderr.reach(|lines| {
            seen = Seen::of(lines);
            seen.satisfies(wants)
        });
        if within(&format!("the proxy to listen ({wants:?})"), up).await {
            let upstream = self.upstream;
            let Seen { proxy: addresses, admin } = seen;
            return Ok(Proxy { child, pid, dir, config, upstream, addresses, admin, stderr, stdout });
        }
        let status = within("the failed proxy to end", child.wait()).await.expect("a child can be awaited");
        Err(Failed { status, stderr: stderr.text() })
    }
}

/// The listeners a configuration asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listening {
    proxy: usize,
    admin: usize,
}

impl Listening {
    fn of(toml: &str) -> Self {
        let server = |key: &str| value_of(toml, "server", key).unwrap_or_default();
        let listen = server("listen");
        // A list has one string, so two quotes, an address.
        let proxy = if listen.starts_with('[') { (listen.matches('"').count() / 2).max(1) } else { 1 };
        Self { proxy, admin: usize::from(!server("admin").starts_with("\"off\"")) }
    }
}

#[derive(Default)]
struct Seen {
    proxy: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Seen {
    fn of(lines: &[String]) -> Self {
        let mut seen = Self::default();
        for line in lines.iter().filter_map(parsed).filter(|line| line["msg"] == "listening") {
            let address = line["addr"].as_str().and_then(|addr| addr.parse().ok());
            match (line["listener"].as_str(), address) {
                (Some("proxy"), Some(address)) => seen.proxy.push(address),
                (Some("admin"), Some(address)) => seen.admin = Some(address),
                _ => {}
            }
        }
        seen
    }

    fn satisfies(&self, wants: Listening) -> bool {
        self.proxy.len() >= wants.proxy && usize::from(self.admin.is_some()) >= wants.admin
    }
}

pub(super) fn write_config(path: &Path, toml: &str, upstream: Option<&str>) -> io::Result<()> {
    // Written aside and renamed, as editors do: a proxy that watches never reads half a file.
    let aside = path.with_extension("new");
    write_private(&aside, with_injected(toml, upstream).as_bytes())?;
    fs::rename(aside, path)
}

fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(contents)
}

/// `toml` with what a test should not have to say.
fn with_injected(toml: &str, upstream: Option<&str>) -> String {
    let mut toml = with_default(toml, "server", "listen", "127.0.0.1:0");
    toml = with_default(&toml, "server", "admin", "127.0.0.1:0");
    match upstream {
        Some(url) => with_default(&toml, "upstream", "url", url),
        None => toml,
    }
}

/// `toml` with `key = "value"` in `table`, unless it has the key. Below the table's header when there is one, else at
/// the end, so that the lines a test wrote keep their numbers.
fn with_default(toml: &str, table: &str, key: &str, value: &str) -> String {
    if value_of(toml, table, key).is_some() {
        return toml.to_owned();
    }
    let header = format!("[{table}]");
    let mut lines: Vec<String> = toml.lines().map(str::to_owned).collect();
    let line = format!("{key} = {value:?}");
    match lines.iter().position(|line| is_header(line, &header)) {
        Some(at) => lines.insert(at + 1, line),
        None => lines.extend([header, line]),
    }
    lines.join("\n") + "\n"
}

/// What is written behind `key =` in `table`: enough of TOML for files that tests write.
fn value_of<'a>(toml: &'a str, table: &str, key: &str) -> Option<&'a str> {
    let header = format!("[{table}]");
    let mut lines = toml.lines().skip_while(|line| !is_header(line, &header)).skip(1);
    lines.by_ref().take_while(|line| !line.trim_start().starts_with('[')).find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn is_header(line: &str, header: &str) -> bool {
    line.trim_start()
        .strip_prefix(header)
        .is_some_and(|rest| matches!(rest.trim_start().chars().next(), None | Some('#')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_injected_where_the_test_named_none() {
        assert_eq!(
            with_injected("[etag]\n", Some("http://h:1")),
            "[etag]\n[server]\nadmin = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://h:1\"\n"
        );
        let written = "[server] # ours\nlisten = \"127.0.0.1:9\"\nadmin=\"off\"\n[upstream]\nurl = \"http://own\"\n";
        assert_eq!(with_injected(written, Some("http://h:1")), written);
    }

    #[test]
    fn keys_of_other_tables_do_not_count() {
        let toml = "[server]\nvia = \"\"\n[x]\nlisten = \"1\"\n";
        assert_eq!(value_of(toml, "server", "listen"), None);
        assert_eq!(value_of(toml, "x", "listen"), Some("\"1\""));
        assert!(with_default(toml, "server", "listen", "a").starts_with("[server]\nlisten = \"a\"\nvia"));
    }

    #[test]
    fn it_knows_how_many_listeners_to_wait_for() {
        assert_eq!(Listening::of(&with_injected("", None)), Listening { proxy: 1, admin: 1 });
        let two = "[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nadmin = \"off\"\n";
        assert_eq!(Listening::of(two), Listening { proxy: 2, admin: 0 });
    }
}
