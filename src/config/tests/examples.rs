//! Every configuration that is shown to an operator loads.

use super::{try_load, valid};
use std::fs;
use std::path::{Path, PathBuf};

const ANNOTATED: &str = include_str!("../../../config/vestibule.toml");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn toml_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("directory").map(|entry| entry.expect("entry").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect()
}

fn loads(path: &Path) {
    let text = fs::read_to_string(path).expect("read");
    try_load(&text, &[]).unwrap_or_else(|diagnostics| panic!("{}\n{diagnostics}", path.display()));
}

#[test]
fn the_examples_load() {
    let examples = toml_files(&root().join("config/examples"));
    assert!(examples.len() >= 3);
    examples.iter().for_each(|path| loads(path));
}

#[test]
fn the_examples_of_the_plugins_load() {
    for plugin in fs::read_dir(root().join("plugins")).expect("directory") {
        let example = plugin.expect("entry").path().join("example.toml");
        if example.exists() {
            loads(&example);
        }
    }
}

#[test]
fn the_annotated_file_is_the_defaults() {
    assert_eq!(valid(ANNOTATED).effective, valid("").effective);
}

/// The file with everything that is off switched on.
fn uncommented() -> String {
    let lines = ANNOTATED.lines().map(|line| match line.strip_prefix('#') {
        Some(code) if !code.starts_with(' ') => code,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_off_in_the_annotated_file_stands_at_its_default_too() {
    let shown = |text: &str| valid(text).effective.parse::<toml::Table>().expect("TOML");
    // Somebody has to say where keys are.
    let annotated = uncommented().replace("jwks_url = \"\" ", "jwks_url = \"http://127.0.0.1/keys\" ");
    let (annotated, defaults) = (shown(&annotated), shown("[auth]\nmode = \"off\"\n[rate_limit]\n[etag]\n[audit]\n"));
    for (key, value) in defaults["auth"].as_table().expect("table") {
        if !matches!(key.as_str(), "mode" | "jwks_url") {
            assert_eq!(annotated["auth"][key], *value, "{key}");
        }
    }
    assert_eq!(annotated["etag"], defaults["etag"]);
    for (key, value) in defaults["rate_limit"].as_table().expect("table") {
        if !matches!(key.as_str(), "policies" | "tiers") {
            assert_eq!(annotated["rate_limit"][key], *value, "{key}");
        }
    }
}

#[test]
fn the_annotated_file_has_every_key() {
    let written: toml::Table = uncommented().parse().expect("TOML");
    let schema = crate::config::schema();
    let properties = |schema: &serde_json::Value| -> Vec<String> {
        schema["properties"].as_object().expect("keys").keys().cloned().collect()
    };
    for (table, keys) in schema["properties"].as_object().expect("tables") {
        let (names, written) = match table.as_str() {
            "routes" => (properties(&keys["items"]), &written["routes"][0]),
            _ => {
                let definition = keys["$ref"].as_str().expect("reference").trim_start_matches('#');
                (properties(schema.pointer(definition).expect("definition")), &written[table])
            }
        };
        // The literal forms of secrets are not what an operator should reach for first.
        for name in names.iter().filter(|name| !names.contains(&format!("{name}_file"))) {
            assert!(written.get(name).is_some(), "[{table}] {name}");
        }
    }
}
