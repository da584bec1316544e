//! `vestibule check`

use crate::config::{Colour, Diagnostics, Generation, HostDeps, Source, load};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Says on stderr what is wrong with a configuration and on stdout that it is valid, or, with `print`, what it is.
pub(super) fn check(config: Option<PathBuf>, print: bool) -> io::Result<ExitCode> {
    let source = Source::new(config);
    verdict(&source, print, Colour::for_stderr(), &mut io::stdout().lock(), &mut io::stderr().lock())
}

fn verdict(
    source: &Source,
    print: bool,
    colour: Colour,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    match load(source, &HostDeps::throwaway()) {
        Ok(generation) => {
            err.write_all(Diagnostics::from(generation.warnings.clone()).render(colour).as_bytes())?;
            match print {
                true => out.write_all(generation.effective.as_bytes())?,
                false => writeln!(out, "{}", summary(source, &generation))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(diagnostics) => {
            err.write_all(diagnostics.render(colour).as_bytes())?;
            let count = diagnostics.errors().count();
            writeln!(err, "{}: {count} error{}", source.name(), if count == 1 { "" } else { "s" })?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn summary(source: &Source, generation: &Generation) -> String {
    let routes = generation.settings.routes.len();
    let plural = if routes == 1 { "" } else { "s" };
    let plugins: String = generation.plugins.iter().map(|plugin| format!(" {}", plugin.name)).collect();
    format!(
        "{}: ok, {routes} route{plural}, plugins{}",
        source.name(),
        if plugins.is_empty() { " none" } else { &plugins }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, print: bool) -> (bool, String, String) {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("v.toml");
        std::fs::write(&path, text).expect("written");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let source = Source::new(Some(path.clone()));
        let code = verdict(&source, print, Colour::Never, &mut out, &mut err).expect("memory");
        let read = |bytes| String::from_utf8(bytes).expect("text").replace(&path.display().to_string(), "v.toml");
        (code == ExitCode::SUCCESS, read(out), read(err))
    }

    #[test]
    fn a_valid_file_is_one_line_on_stdout() {
        let routes = "[[routes]]\nname = \"a\"\npath = \"/a\"\n";
        let (ok, out, err) = run(&format!("[etag]\n{routes}"), false);
        assert_eq!((ok, out.as_str(), err.as_str()), (true, "v.toml: ok, 1 route, plugins trace metrics etag\n", ""));
        let (_, out, _) = run("[trace]\nenabled = false\n[metrics]\nenabled = false\n", false);
        assert_eq!(out, "v.toml: ok, 0 routes, plugins none\n");
    }

    #[test]
    fn an_invalid_file_is_told_on_stderr_alone() {
        let (ok, out, err) = run("[server]\nlistn = 1\nworkers = -1\n", false);
        assert!(!ok && out.is_empty());
        assert!(err.starts_with("error: unknown key `listn`\n --> v.toml:2:1\n"), "{err}");
        assert!(err.ends_with("\n\nv.toml: 2 errors\n"), "{err}");
    }

    #[test]
    fn print_shows_a_file_that_is_valid_itself() {
        let (ok, out, _) = run("[etag]\n", true);
        assert!(ok && out.contains("[server]\nlisten = \"0.0.0.0:8080\"\n") && out.contains("[etag]\n"), "{out}");
        assert!(run(&out, false).0);
    }
}
