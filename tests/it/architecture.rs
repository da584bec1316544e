//! The rules of the house: who may know whom, which licences may come in, what the lock file must hold.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let compiler = Command::new("rustc").arg("-vV").output().expect("rustc runs");
        let compiler = String::from_utf8_lossy(&compiler.stdout).into_owned();
        let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
            .current_dir(root())
            .output()
            .expect("cargo metadata runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
    })
}

/// Names of the crates a crate of the workspace depends on directly, development aside.
fn dependencies(of: &str) -> BTreeSet<String> {
    let packages = metadata()["packages"].as_array().expect("packages");
    let package = packages.iter().find(|p| p["name"] == of).unwrap_or_else(|| panic!("no package {of}"));
    let edges = package["dependencies"].as_array().expect("dependencies");
    edges.iter().filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().expect("name").to_owned()).collect()
}

fn plugins() -> Vec<String> {
    let mut folders: Vec<String> = std::fs::read_dir(root().join("plugins"))
        .expect("plugins")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("a name"))
        .collect();
    folders.sort();
    folders
}

fn sources(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rule 1: a plugin knows the contract, the stores if it stores, and crates that know neither; never the host, never another
/// plugin.
#[test]
fn a_plugin_knows_the_contract_and_the_stores_alone() {
    for folder in plugins() {
        let known = dependencies(&format!("vestibule-{folder}"));
        let ours: Vec<&String> = known.iter().filter(|name| name.starts_with("vestibule")).collect();
        for name in ours {
            assert!(
                ["plugin", "store", "coding", "chain", "outbound"]
                    .iter()
                    .any(|known| *name == format!("vestibule-{known}")),
                "{folder} depends on {name}"
            );
        }
    }
}

/// Rule 2: the contract knows no runtime, no engine and no store.
#[test]
fn the_contract_knows_no_runtime() {
    for name in ["vestibule-plugin", "vestibule-meter"] {
        let known = dependencies(name);
        for banned in ["tokio", "pingora", "redis", "vestibule-store"] {
            assert!(!known.contains(banned), "{name} depends on {banned}");
        }
    }
}

/// Rule 3: one crate each imports pingora and redis, and two check signatures.
#[test]
fn heavy_dependencies_stay_behind_one_door() {
    let allowed = BTreeMap::from([
        ("pingora", &["vestibule"][..]),
        ("redis", &["vestibule-store"]),
        ("ring", &["vestibule-auth", "vestibule-chain"]),
    ]);
    let members = metadata()["workspace_members"].as_array().expect("members").len();
    let packages = metadata()["packages"].as_array().expect("packages");
    let ours: Vec<&str> =
        packages.iter().filter(|p| p["source"].is_null()).map(|p| p["name"].as_str().expect("name")).collect();
    assert_eq!(ours.len(), members);
    for name in ours {
        let known = dependencies(name);
        for (dependency, owners) in &allowed {
            assert!(!known.contains(*dependency) || owners.contains(&name), "{name} depends on {dependency}");
        }
    }
}

/// Rule 4: `src/registry.rs` and `Cargo.toml` alone name a plugin.
#[test]
fn one_file_names_the_plugins() {
    for path in sources(&root().join("src")) {
        if path.ends_with("src/registry.rs") || path.to_string_lossy().contains("tests") {
            continue;
        }
        let text = read(&path);
        for folder in plugins() {
            let krate = format!("vestibule_{}", folder.replace('-', "_"));
            let named = text.match_indices(&krate).any(|(at, _)| {
                // A metric such as vestibule_etag_responses_total is not the crate.
                text[at + krate.len()..].starts_with("::")
            });
            assert!(!named, "{} names {krate}", path.display());
        }
    }
}

/// Rule 5: domain files are values in, values out.
#[test]
fn domain_files_are_pure() {
    let domain = [
        "gcra.rs",
        "sliding_log.rs",
        "tag.rs",
        "list.rs",
        "traceparent.rs",
        "tracestate.rs",
        "baggage.rs",
        "b3.rs",
        "fate.rs",
        "word.rs",
        "fingerprint.rs",
        "json.rs",
        "multipart.rs",
        "stored.rs",
        "rules.rs",
        "clean.rs",
        "noise.rs",
        "fold.rs",
        "rate.rs",
    ];
    let mut seen = BTreeSet::new();
    for folder in ["plugins", "crates"] {
        for path in sources(&root().join(folder)) {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if !domain.contains(&name.as_str()) || path.to_string_lossy().contains("/tests/") {
                continue;
            }
            let text = read(&path);
            let code = text.split("#[cfg(test)]").next().unwrap_or("");
            for banned in ["async fn", ".await", "Instant::now", "SystemTime::now", "Mutex", "RwLock", "dyn Clock"] {
                assert!(!code.contains(banned), "{} uses {banned}", path.display());
            }
            seen.insert(name);
        }
    }
    assert_eq!(seen.len(), domain.len(), "domain files that are gone: {seen:?}");
}

/// Rule 6: what outlives a reload lives in stores of the host: a plugin holds no global state.
#[test]
fn plugins_hold_no_globals() {
    for path in sources(&root().join("plugins")) {
        let text = read(&path);
        for (n, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let global = line.starts_with("static ") || line.starts_with("pub static ");
            let mutable = ["Mutex", "RwLock", "Atomic", "OnceLock", "LazyLock"].iter().any(|kind| line.contains(kind));
            assert!(!(global && mutable), "{}:{}: {line}", path.display(), n + 1);
        }
    }
}

/// The reference application imports nothing of the proxy.
#[test]
fn the_application_knows_nothing_of_the_proxy() {
    assert!(dependencies("vestibule-upstream").iter().all(|name| !name.starts_with("vestibule")));
}

/// The engine's imports stay in the host's own folders: nothing under `src/config` or `src/edge` needs a proxy.
#[test]
fn configuration_and_edge_do_not_import_the_engine() {
    for folder in ["src/config", "src/edge", "src/cli"] {
        for path in sources(&root().join(folder)) {
            assert!(!read(&path).contains("pingora::"), "{} imports the engine", path.display());
        }
    }
}

/// No crate of ours may use `unsafe`, and each takes the workspace's lints.
#[test]
fn every_crate_takes_the_lints() {
    for package in metadata()["packages"].as_array().expect("packages").iter().filter(|p| p["source"].is_null()) {
        let manifest = read(Path::new(package["manifest_path"].as_str().expect("path")));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} lacks [lints]", package["name"]);
    }
    assert!(read(&root().join("Cargo.toml")).contains("unsafe_code = \"forbid\""));
}

/// Licences that may come in (deny.toml holds the same list for cargo-deny).
const LICENCES: [&str; 11] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
    "MPL-2.0",
];

/// Licences of single crates, excepted in deny.toml as well: public-domain dedications and Boost's.
const EXCEPTIONS: [(&str, &str); 3] = [("notify", "CC0-1.0"), ("tiny-keccak", "CC0-1.0"), ("xxhash-rust", "BSL-1.0")];

/// Whether an SPDX expression can be met with the allowed licences; `/` is the old spelling of OR.
fn allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some((left, right)) = split_outermost(expression, " OR ") {
        return allowed(left) || allowed(right);
    }
    if let Some((left, right)) = split_outermost(expression, " AND ") {
        return allowed(left) && allowed(right);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => allowed(inner),
        None => LICENCES.contains(&expression),
    }
}

fn split_outermost<'a>(text: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    text.match_indices(operator)
        .map(|(at, _)| (&text[..at], &text[at + operator.len()..]))
        .find(|(left, _)| left.matches('(').count() == left.matches(')').count())
}

#[test]
fn expressions_of_licences_are_understood() {
    assert!(allowed("MIT OR GPL-3.0"));
    assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(allowed("MIT/Apache-2.0"));
    assert!(!allowed("MIT AND GPL-3.0"));
    assert!(!allowed("GPL-3.0"));
}

#[test]
fn every_dependency_has_an_allowed_licence_and_comes_from_the_registry() {
    let deny = read(&root().join("deny.toml"));
    for (krate, licence) in EXCEPTIONS {
        assert!(deny.contains(&format!("crate = \"{krate}\", allow = [\"{licence}\"]")), "deny.toml lacks {krate}");
    }
    for licence in LICENCES {
        assert!(deny.contains(&format!("\"{licence}\"")), "deny.toml lacks {licence}");
    }
    for package in metadata()["packages"].as_array().expect("packages") {
        let (name, licence) = (&package["name"], package["license"].as_str().unwrap_or(""));
        let excepted = EXCEPTIONS.iter().any(|(krate, its)| name == krate && licence == *its);
        assert!(allowed(licence) || excepted, "{name}: licence `{licence}`");
        if let Some(source) = package["source"].as_str() {
            assert!(source.starts_with("registry+"), "{name} comes from {source}");
        }
    }
}

/// SEC-23 (lock file floors): the engine and its HTTP/2 are at least the versions whose limits are relied upon.
#[test]
fn the_lock_file_holds_its_floors() {
    for (name, floor) in [("pingora", [0, 9, 1]), ("h2", [0, 4, 16])] {
        let packages = metadata()["packages"].as_array().expect("packages");
        let versions: Vec<&str> =
            packages.iter().filter(|p| p["name"] == name).filter_map(|p| p["version"].as_str()).collect();
        assert!(!versions.is_empty(), "{name} is gone");
        for version in versions {
            let parts: Vec<u64> = version.split('.').map(|part| part.parse().expect("a number")).collect();
            assert!(parts.as_slice() >= floor.as_slice(), "{name} {version} is below its floor");
        }
    }
}

/// The project speaks of itself alone, and of no machine.
#[test]
fn no_file_names_a_machine() {
    let tracked = Command::new("git").args(["ls-files"]).current_dir(root()).output().expect("git runs");
    let home = ["/ro", "ot/"].concat();
    let work = ["/wo", "rk/"].concat();
    for name in String::from_utf8_lossy(&tracked.stdout).lines() {
        let Ok(text) = std::fs::read_to_string(root().join(name)) else { continue };
        for path in [&home, &work] {
            assert!(!text.contains(path.as_str()), "{name} names {path}");
        }
    }
}
