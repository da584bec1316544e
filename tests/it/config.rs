//! The file, the command line and reloads, as an operator meets them.

mod commands;
mod explain;
mod mistakes;
mod reload;
mod start;
mod under_way;
mod watch;

use std::path::Path;
use std::process::Output;
use vestibule_testkit::within;

/// Runs the program in `dir` to its end.
pub(crate) async fn vestibule(dir: &Path, args: &[&str]) -> Ran {
    let mut command = tokio::process::Command::new(crate::bin());
    command.args(args).current_dir(dir).kill_on_drop(true);
    let output = within(&format!("`vestibule {}` to end", args.join(" ")), command.output()).await;
    Ran::from(output.expect("the program can be run"))
}

/// A directory with `toml` in it as `vestibule.toml`.
pub(crate) fn holding(toml: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("vestibule.toml"), toml).expect("a writable directory");
    dir
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program prints UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
