//! What is generated from the binary stays true to it.

use std::path::Path;
use std::sync::Arc;
use vestibule::config::{self, HostDeps, Source};
use vestibule::serve::Server;

const INTRODUCTION: &str = "# Metrics\n\n\
    What `/metrics` on the admin listener can hold. This page is written from the binary (`make docs`), and a test finds drift.\n\n\
    Labels come from closed sets: `http_route` is the name of a `[[routes]]` entry or `unmatched`. One scrape has at most\n\
    `[metrics] max_series` lines; label sets beyond that fold into the `_overflow` set of their family.\n\n";

/// OBS-22, the documentation's half: every family, label and closed value stands in `docs/metrics.md`.
#[tokio::test]
async fn the_page_of_metrics_is_the_binarys_own_inventory() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vestibule.toml");
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[upstream]\nhealth_path = \"/health\"\n[auth]\nmode = \"off\"\n\
         [rate_limit]\n[csp]\nreports = true\n[idempotency]\n[etag]\n[audit]\ndir = \"{}\"\nsinks = [\"syslog:127.0.0.1:1\"]\n",
        folder.path().join("audit").display()
    );
    std::fs::write(&file, toml).expect("the file is written");
    let deps = Arc::new(HostDeps::throwaway());
    let meter = Arc::clone(&deps.meter);
    let source = Source::new(Some(file));
    let generation = config::load(&source, &deps).expect("the file is valid");
    let server = Server::start(&source, deps, generation).expect("it starts");
    let page = format!("{INTRODUCTION}{}", meter.inventory_markdown());
    server.drain(std::future::pending()).await;

    let path = root.join("docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/metrics.md is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/metrics.md is not what the binary says; run `make docs`");
}

/// Every link of a page to a file of the project leads somewhere.
#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages =
        vec![root.join("README.md"), root.join("CHANGELOG.md"), root.join("SECURITY.md"), root.join("bench/README.md")];
    pages.extend(std::fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("entry").path()));
    for plugin in std::fs::read_dir(root.join("plugins")).expect("plugins") {
        pages.push(plugin.expect("entry").path().join("README.md"));
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split(')').next().unwrap_or("").split('#').next().unwrap_or("");
            if link.is_empty() || link.contains("://") {
                continue;
            }
            let target = page.parent().expect("a folder").join(link);
            assert!(target.exists(), "{} links to {link}", page.display());
        }
    }
}

/// Every test and target that `docs/security.md` names is there, and it names every target.
#[test]
fn the_page_of_security_names_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/security.md")).expect("docs/security.md");
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).collect();

    for file in named.iter().filter(|name| name.ends_with(".rs") && !name.contains(' ')) {
        let found = [root.join("tests/it").join(file), root.join(file)].iter().any(|path| path.exists());
        assert!(found, "docs/security.md names {file}");
    }
    for target in std::fs::read_dir(root.join("tests/fuzz/targets")).expect("targets") {
        let name = target.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(page.contains(&format!("\n| `{name}` | ")), "docs/security.md says nothing of {name}");
    }
}
