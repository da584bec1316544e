//! Whether the database answers.

use std::fs;
use std::time::{Duration, Instant};

use crate::service::Place;

/// UP-25: `/health` tells of a database file that cannot be read, within 1 s, and of its return.
#[tokio::test]
async fn health_is_503_while_the_database_cannot_be_read() {
    let place = Place::new();
    let service = place.serve();
    let healthy = service.public.get("/health").await;
    assert_eq!((healthy.status.as_u16(), healthy.header("cache-control")), (200, "no-store"));
    assert_eq!(healthy.value()["database"], "ok");
    assert_eq!(healthy.value()["version"], env!("CARGO_PKG_VERSION"));

    // Permissions would not stop a test that runs as root; a directory in place of the file stops anybody.
    let (file, away) = (place.database(), place.database().with_extension("away"));
    fs::rename(&file, &away).expect("the file moves");
    fs::create_dir(&file).expect("a directory takes its place");
    let begun = Instant::now();
    let ill = service.public.get("/health").await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(ill.status, 503);
    assert_eq!((&ill.value()["status"], &ill.value()["database"]), (&"unavailable".into(), &"unavailable".into()));

    fs::remove_dir(&file).expect("the directory goes");
    fs::rename(&away, &file).expect("the file comes back");
    assert_eq!(service.public.get("/health").await.status, 200);
}
