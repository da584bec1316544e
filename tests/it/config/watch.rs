//! `[server] watch = true`.

use std::fs;
use vestibule_testkit::{Origin, Proxy};

async fn generation(proxy: &Proxy, number: f64) {
    let what = format!("configuration {number}");
    proxy.wait_metrics(&what, |scrape| scrape.value("vestibule_config_generation", &[]) == number).await;
}

#[tokio::test]
async fn a_file_that_is_replaced_or_written_in_place_is_taken() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[server]\nwatch = true\nvia = \"one\"\n").await;

    // Replaced by a rename, as editors and deployments do it.
    proxy.rewrite("[server]\nwatch = true\nvia = \"two\"\n");
    generation(&proxy, 2.0).await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.last().field("via"), "1.1 two");

    let file = proxy.dir().join("vestibule.toml");
    let text = fs::read_to_string(&file).expect("its file");
    fs::write(&file, text.replace("\"two\"", "\"three\"")).expect("its file can be written");
    generation(&proxy, 3.0).await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.last().field("via"), "1.1 three");
}

#[tokio::test]
async fn a_bad_file_is_refused_and_its_correction_is_taken() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[server]\nwatch = true\nvia = \"one\"\n").await;
    proxy.rewrite("[server]\nwatch = true\nvia = \"two\"\nlistn = 1\n");
    let failed = |scrape: &vestibule_testkit::Scrape| {
        scrape.value("vestibule_config_reloads_total", &[("outcome", "failed")]) == 1.0
    };
    proxy.wait_metrics("a refused reload", failed).await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.last().field("via"), "1.1 one");
    proxy.rewrite("[server]\nwatch = true\nvia = \"two\"\n");
    generation(&proxy, 2.0).await;
}

/// A reload starts and stops the watch.
#[tokio::test]
async fn watching_needs_no_restart() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[server]\nwatch = false\n").await;
    proxy.rewrite("[server]\nwatch = true\n");
    assert_eq!(proxy.reload().await.status, 200);
    proxy.rewrite("[server]\nwatch = true\nvia = \"seen\"\n");
    generation(&proxy, 3.0).await;
    proxy.rewrite("[server]\nwatch = false\n");
    generation(&proxy, 4.0).await;
    proxy.rewrite("[server]\nvia = \"unseen\"\n");
    // Longer than the quiet time after which a watch would have reloaded.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.last().field("via"), "1.1 vestibule");
}

/// The folder of the link does not change when the file behind it does.
#[tokio::test]
async fn a_file_behind_a_link_into_another_folder_is_watched() {
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[server]\nwatch = false\nvia = \"one\"\n").await;
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let (link, real) = (proxy.dir().join("vestibule.toml"), elsewhere.path().join("real.toml"));
    let text = fs::read_to_string(&link).expect("its file").replace("watch = false", "watch = true");
    fs::write(&real, &text).expect("a file");
    fs::remove_file(&link).expect("its file");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    assert_eq!(proxy.reload().await.status, 200);
    fs::write(&real, text.replace("\"one\"", "\"two\"")).expect("a file");
    generation(&proxy, 3.0).await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.last().field("via"), "1.1 two");
}

/// Kubernetes mounts a file as a link into a folder that a second link names, and swaps that one.
#[tokio::test]
async fn a_swapped_link_is_noticed() {
    use std::os::unix::fs::symlink;
    let origin = Origin::returning(200, "ok");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[server]\nwatch = true\nvia = \"one\"\n").await;
    let dir = proxy.dir();
    let file = dir.join("vestibule.toml");
    let text = fs::read_to_string(&file).expect("its file");
    for (version, via) in [("..v1", "two"), ("..v2", "three")] {
        fs::create_dir(dir.join(version)).expect("a folder");
        fs::write(dir.join(version).join("vestibule.toml"), text.replace("\"one\"", &format!("{via:?}")))
            .expect("a file");
    }
    symlink("..v1", dir.join("..data")).expect("a link");
    symlink("..data/vestibule.toml", dir.join("vestibule.link")).expect("a link");
    fs::rename(dir.join("vestibule.link"), &file).expect("a rename");
    generation(&proxy, 2.0).await;
    symlink("..v2", dir.join("..data_tmp")).expect("a link");
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).expect("a rename");
    generation(&proxy, 3.0).await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.last().field("via"), "1.1 three");
}
