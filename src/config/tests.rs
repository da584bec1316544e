//! The configuration through the door an operator uses: a text in, a generation or diagnostics out.

mod effective;
mod examples;
mod mistakes;
mod rules;
mod secrets;
mod several;

use crate::config::{Diagnostics, Generation, HostDeps, Source, load};
use std::io::Write;
use tempfile::NamedTempFile;

/// A file with this text, in which `${NAME}` knows these variables.
fn source(text: &str, variables: &[(&str, &str)]) -> (NamedTempFile, Source) {
    let mut file = NamedTempFile::new().expect("temporary file");
    file.write_all(text.as_bytes()).expect("written");
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let source = Source::new(Some(file.path().to_owned())).with_environment(move |name| {
        variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    });
    (file, source)
}

fn try_load(text: &str, variables: &[(&str, &str)]) -> Result<Generation, Diagnostics> {
    let (_file, source) = source(text, variables);
    load(&source, &HostDeps::throwaway())
}

/// The generation of a valid file.
fn valid(text: &str) -> Generation {
    try_load(text, &[]).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// What is said about an invalid file, named `v.toml`.
fn invalid(text: &str) -> String {
    invalid_with(text, &[])
}

fn invalid_with(text: &str, variables: &[(&str, &str)]) -> String {
    let (file, source) = source(text, variables);
    let diagnostics = load(&source, &HostDeps::throwaway()).err().expect("invalid");
    diagnostics.to_string().replace(&file.path().display().to_string(), "v.toml")
}

/// `line:column message; label` of every error of an invalid file.
fn errors(text: &str) -> Vec<String> {
    let diagnostics = try_load(text, &[]).err().unwrap_or_else(|| panic!("valid: {text}"));
    let place = |place: Option<usize>| place.map_or("-".to_owned(), |place| place.to_string());
    diagnostics
        .errors()
        .map(|one| format!("{}:{} {}; {}", place(one.line), place(one.column), one.message, one.label))
        .collect()
}

/// The one error of an invalid file.
fn error(text: &str) -> String {
    let mut all = errors(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}
