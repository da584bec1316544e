//! `vestibule init`

use crate::config::{Diagnostics, HostDeps, check_upstream, load_text};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// The annotated file, every key at its default.
const ANNOTATED: &str = include_str!("../../config/vestibule.toml");

/// The line that `--upstream` replaces.
const URL: &str = "url = \"http://127.0.0.1:8000\"";

/// Writes the annotated file; refuses to overwrite one, and an upstream that would not load.
pub(super) fn init(file: &Path, upstream: Option<&str>) -> Result<(), String> {
    let text = match upstream {
        None => ANNOTATED.to_owned(),
        Some(url) => {
            check_upstream(url).map_err(|why| format!("--upstream: {why}"))?;
            let text = ANNOTATED.replacen(URL, &format!("url = {}", toml::Value::String(url.to_owned())), 1);
            load_text(&text, &HostDeps::throwaway()).map_err(|wrong| refusal(&wrong))?;
            text
        }
    };
    let written = OpenOptions::new().write(true).create_new(true).open(file);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!("{} exists; it was left as it is", file.display()),
        _ => format!("cannot write {}: {error}", file.display()),
    })
}

/// What `check` would say about the file, a line each.
fn refusal(wrong: &Diagnostics) -> String {
    let lines = wrong.errors().map(|error| format!("--upstream: {}; {}", error.message, error.label));
    lines.collect::<Vec<_>>().join("\nerror: ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HostDeps, Source, load, settings::Target};

    #[test]
    fn what_is_written_loads_and_names_the_upstream() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("v.toml");
        init(&path, Some("unix:/run/a\\b.sock")).expect("written");
        let generation = load(&Source::new(Some(path)), &HostDeps::throwaway()).expect("valid");
        assert_eq!(generation.settings.upstream.target, Target::Unix("/run/a\\b.sock".into()));
    }

    #[test]
    fn a_file_that_exists_is_left_alone() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("v.toml");
        std::fs::write(&path, "mine").expect("written");
        assert!(init(&path, None).expect_err("refused").contains("exists"));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "mine");
    }

    #[test]
    fn an_upstream_that_would_not_load_writes_nothing() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("v.toml");
        for url in
            ["ftp://h", "http://127.0.0.1:8000/base", "http://u:p@h", "https://127.0.0.1", "http://127.0.0.1:8080"]
        {
            assert!(init(&path, Some(url)).is_err(), "{url}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn the_annotated_file_has_the_line_that_is_replaced() {
        assert_eq!(ANNOTATED.matches(URL).count(), 1);
    }
}
