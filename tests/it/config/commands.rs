//! `check`, `schema`, `init` and `--version`.

use super::{holding, vestibule};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[tokio::test]
async fn check_says_one_line_on_stdout_when_all_is_well() {
    let dir = holding("[etag]\n[[routes]]\nname = \"a\"\npath = \"/a\"\n");
    let ran = vestibule(dir.path(), &["check"]).await;
    assert_eq!(ran.stdout, "vestibule.toml: ok, 1 route, plugins trace metrics etag\n");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn check_without_a_file_checks_the_defaults() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ran = vestibule(dir.path(), &["check"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "defaults: ok, 0 routes, plugins trace metrics\n"));
    let named = vestibule(dir.path(), &["check", "-c", "missing.toml"]).await;
    assert_eq!(named.code, Some(1));
    assert!(named.stderr.contains("missing.toml"), "{}", named.stderr);
}

#[tokio::test]
async fn what_check_prints_is_a_file_that_means_the_same() {
    let dir = holding("[server]\nidle_timeout = \"90s\"\n[rate_limit]\n[[routes]]\nname = \"a\"\npath = \"/a\"\n");
    let printed = vestibule(dir.path(), &["check", "--print"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stdout.contains("idle_timeout = \"90s\""), "{}", printed.stdout);
    let again = holding(&printed.stdout);
    assert_eq!(vestibule(again.path(), &["check", "--print"]).await.stdout, printed.stdout);
}

#[tokio::test]
async fn the_schema_knows_every_table_and_refuses_unknown_keys() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ran = vestibule(dir.path(), &["schema"]).await;
    let schema: Value = serde_json::from_str(&ran.stdout).expect("the schema is JSON");
    for table in ["server", "upstream", "store", "log", "routes", "trace", "metrics", "rate_limit", "etag"] {
        assert!(schema["properties"].get(table).is_some(), "no `{table}`");
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[tokio::test]
async fn init_writes_a_file_that_checks_out_and_never_overwrites_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ran = vestibule(dir.path(), &["init", "--upstream", "http://127.0.0.1:3000"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let written = std::fs::read_to_string(dir.path().join("vestibule.toml")).expect("the file that was written");
    assert!(written.contains("url = \"http://127.0.0.1:3000\""), "{written}");
    assert_eq!(vestibule(dir.path(), &["check"]).await.code, Some(0));

    let again = vestibule(dir.path(), &["init", "--upstream", "http://127.0.0.1:4000"]).await;
    assert_eq!(again.code, Some(1));
    assert_eq!(again.stderr, "error: vestibule.toml exists; it was left as it is\n");
    assert_eq!(std::fs::read_to_string(dir.path().join("vestibule.toml")).expect("the same file"), written);
}

/// What `init` writes is the documented default: it means what no file means.
#[tokio::test]
async fn an_annotated_file_has_every_key_at_its_default() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let defaults = vestibule(dir.path(), &["check", "--print"]).await.stdout;
    assert_eq!(vestibule(dir.path(), &["init"]).await.code, Some(0));
    assert_eq!(vestibule(dir.path(), &["check", "--print"]).await.stdout, defaults);
}

#[tokio::test]
async fn version_tells_version_revision_and_profile() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ran = vestibule(dir.path(), &["--version"]).await;
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let told = ran.stdout.trim_end();
    let inside = told.strip_prefix(concat!("vestibule ", env!("CARGO_PKG_VERSION"), " ("));
    let inside = inside.and_then(|rest| rest.strip_suffix(&format!(", {profile})")));
    let revision = inside.unwrap_or_else(|| panic!("not a version: {told:?}"));
    let is_revision = revision.len() == 12 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(is_revision || revision == "unknown", "{revision:?}");
    assert_eq!(ran.code, Some(0));
}

/// Every file we hand out loads.
#[tokio::test]
async fn every_example_checks_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = |dir: PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let is_toml = |path: &PathBuf| path.extension().is_some_and(|end| end == "toml");
    let mut files: Vec<PathBuf> = list(root.join("config/examples")).into_iter().filter(is_toml).collect();
    let plugins = list(root.join("plugins")).into_iter().map(|plugin| plugin.join("example.toml"));
    files.extend(plugins.filter(|example| example.exists()));
    files.push(root.join("config/vestibule.toml"));
    assert!(files.len() >= 8, "{files:?}");
    let dir = tempfile::tempdir().expect("a temporary directory");
    for file in files {
        let ran = vestibule(dir.path(), &["check", "-c", file.to_str().expect("a path of text")]).await;
        assert_eq!(ran.code, Some(0), "{}: {}", file.display(), ran.stderr);
        assert!(ran.stderr.is_empty(), "{} warns: {}", file.display(), ran.stderr);
    }
}
