//! A password and an authority that are replaced while everybody goes on.

use super::ALONE;
use super::traffic::Traffic;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use vestibule_testkit::{Certs, Redis};

fn toml(store: &str) -> String {
    format!("[store]\n{store}\nsecret = \"test\"\n[idempotency]\nprincipal = [\"authorization\"]\nlease = \"30s\"\n")
}

/// Both passwords hold for a while; then the old one does not, and whoever still uses it is cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_rotated_under_traffic() {
    let _alone = ALONE.lock().await;
    let redis = Redis::setup().start().await;
    let rules = ["ACL", "SETUSER", "app", "on", ">old", "~*", "&*", "+@all"];
    assert_eq!(redis.command(&rules).await.text(), "OK");
    let url = |password| format!("url = \"redis://app:{password}@{}/0\"", redis.address());
    let traffic = Traffic::start(2, &toml(&url("old"))).await;
    let rotating = async {
        sleep(Duration::from_secs(1)).await;
        redis.command(&["ACL", "SETUSER", "app", ">new"]).await;
        traffic.reload(|toml| toml.replace(&url("old"), &url("new"))).await;
        sleep(Duration::from_secs(1)).await;
        redis.command(&["ACL", "SETUSER", "app", "<old"]).await;
        redis.command(&["CLIENT", "KILL", "USER", "app"]).await;
        Instant::now()
    };
    let (seen, rotated) = tokio::join!(traffic.run(Duration::from_secs(6)), rotating);
    seen.hold("password rotated", rotated);
    assert_eq!(seen.twice().len(), 0);
    assert!(seen.refusals().is_empty(), "{:?}", seen.refusals());
    hold_logs(&traffic).await;
}

/// Proxies trust both authorities before the server shows a certificate of the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_rotated_under_traffic() {
    let _alone = ALONE.lock().await;
    let (old, new) = (Certs::new(), Certs::new());
    let redis = Redis::setup().tls(&old).start().await;
    let store = |ca: &Path| format!("url = \"{}\"\nca_file = {ca:?}", redis.url());
    let traffic = Traffic::start(2, &toml(&store(&old.ca_file()))).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let both = directory.path().join("both.pem");
    let read = |certs: &Certs| std::fs::read_to_string(certs.ca_file()).expect("an authority");
    std::fs::write(&both, read(&old) + &read(&new)).expect("a file can be written");

    let rotating = async {
        sleep(Duration::from_secs(1)).await;
        traffic.reload(|toml| toml.replace(&store(&old.ca_file()), &store(&both))).await;
        sleep(Duration::from_secs(1)).await;
        let files = [("tls-cert-file", new.cert_file()), ("tls-key-file", new.key_file())];
        let mut command = vec!["CONFIG".to_owned(), "SET".to_owned()];
        command.extend(files.iter().flat_map(|(name, file)| [(*name).to_owned(), file.display().to_string()]));
        assert_eq!(redis.command(&command).await.text(), "OK");
        // By one that trusts the new authority: whoever connects from now on sees its certificate.
        redis.command_trusting(&new, &["CLIENT", "KILL", "TYPE", "normal"]).await;
        traffic.reload(|toml| toml.replace(&store(&old.ca_file()), &store(&new.ca_file()))).await;
        Instant::now()
    };
    let (seen, rotated) = tokio::join!(traffic.run(Duration::from_secs(6)), rotating);
    seen.hold("authority rotated", rotated);
    assert_eq!(seen.twice().len(), 0);
    assert!(seen.refusals().is_empty(), "{:?}", seen.refusals());
    hold_logs(&traffic).await;
}

/// What was stored is found as before, and nobody is told otherwise.
async fn hold_logs(traffic: &Traffic) {
    for at in 0..2 {
        let lines = traffic.proxy(at).await.logs();
        let wrong: Vec<_> = lines.iter().filter(|line| line.to_string().contains("free again")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
