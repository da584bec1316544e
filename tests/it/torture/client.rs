//! Clients that do what clients do: send, leave, repeat, come back, and sometimes all at once.

use super::history::{Key, Told};
use super::world::World;
use fastrand::Rng;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vestibule_testkit::{BodyEnd, Request};

/// The longest a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// A client does not come back to a key that it has used for this long.
const MEMORY: Duration = Duration::from_secs(10);

/// One key after the other until the time is over.
pub async fn run(world: Arc<World>, number: u64, until: Instant) {
    let mut rng = Rng::with_seed(world.seed.wrapping_mul(1000).wrapping_add(number));
    let mut count = 0;
    while Instant::now() < until {
        count += 1;
        let key = Key { caller: format!("caller-{}", rng.u8(..3)), text: format!("k-{number}-{count}") };
        let style = rng.u8(..10);
        let until = Instant::now() + MEMORY;
        if style < 3 {
            // Several at once.
            let many = rng.usize(2..6);
            let seeds: Vec<u64> = (0..many).map(|_| rng.u64(..)).collect();
            let asked = seeds.iter().map(|seed| repeat(&world, &key, Rng::with_seed(*seed), (2, until)));
            futures::future::join_all(asked).await;
        }
        let again = rng.fork();
        repeat(&world, &key, again, (4, until)).await;
    }
}

/// Sends it until there is a final answer, and a few times more.
async fn repeat(world: &World, key: &Key, mut rng: Rng, (times, until): (usize, Instant)) {
    for _ in 0..times {
        if Instant::now() > until {
            return;
        }
        let told = ask(world, key, &mut rng).await;
        let is_final = match &told {
            Told::Reply { status, .. } => !matches!(status, 503 | 429),
            Told::Problem { slug, .. } => {
                matches!(slug.as_str(), "idempotency-outcome-unknown" | "idempotency-response-not-stored")
            }
            Told::Nothing => false,
        };
        world.histories.told(key, told);
        if is_final && rng.u8(..3) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(..40))).await;
    }
}

/// Sends it once, to one of the proxies. The key decides the route, so that a key has one request.
async fn ask(world: &World, key: &Key, rng: &mut Rng) -> Told {
    let proxy = world.proxies[rng.usize(..2)].read().await.address();
    let waits = key.text.len().is_multiple_of(2);
    let target = if waits { "/wait/x" } else { "/orders" };
    let request = Request::new(proxy, "POST", target)
        .header("authorization", &key.caller)
        .header("idempotency-key", &key.text)
        .body(format!("body of {}", key.text));
    let patience = if rng.u8(..10) == 0 { Duration::from_millis(rng.u64(1..60)) } else { PATIENCE };
    let Ok(Ok(answer)) = tokio::time::timeout(patience, try_send(request)).await else { return Told::Nothing };
    if answer.body_end != BodyEnd::Complete {
        return Told::Nothing;
    }
    match answer.problem() {
        slug if slug.is_empty() => Told::Reply {
            status: answer.status,
            body: answer.text(),
            replayed: answer.field("idempotent-replayed") == "true",
        },
        slug => Told::Problem { status: answer.status, slug },
    }
}

/// A proxy that is dead refuses connections: that is no answer.
async fn try_send(request: Request) -> std::io::Result<vestibule_testkit::Answer> {
    request.try_connect_and_send().await
}
