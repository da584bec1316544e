//! Several proxies, one store, and as many clients as it takes.

use std::time::Duration;
use tokio::time::Instant;
use vestibule_testkit::{Answer, Origin, Proxy, Setup};

/// Proxies that share limits.
pub struct Fleet {
    pub origin: Origin,
    pub proxies: Vec<Proxy>,
}

/// An answer and when it was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    pub took: Duration,
    pub status: u16,
    /// The field `ratelimit`.
    pub limit: String,
}

/// What all files of a fleet begin with.
pub fn store(url: &str) -> String {
    format!("[store]\nurl = \"{url}\"\nsecret = \"test\"\n")
}

/// A limit for everybody together, as the tables of `[rate_limit]` say in `table` and those of its policy in `policy`.
pub fn one_policy(table: &str, policy: &str) -> String {
    format!(
        "[rate_limit]\n{table}\n[rate_limit.tiers]\nanonymous = [\"p\"]\n[rate_limit.policies.p]\nkey = \"global\"\n{policy}\n"
    )
}

impl Fleet {
    /// `count` proxies with this file, which all know of each other.
    pub async fn start(count: usize, toml: &str) -> Self {
        let origin = Origin::returning(200, "ok");
        let setups = (0..count).map(|_| Setup::new(crate::bin()).upstream(origin.url()).toml(toml)).collect();
        Self::of(origin, setups).await
    }

    /// These proxies, which all know of each other.
    pub async fn of(origin: Origin, setups: Vec<Setup>) -> Self {
        let mut proxies = Vec::new();
        for setup in setups {
            proxies.push(setup.start().await);
        }
        let fleet = Self { origin, proxies };
        for proxy in &fleet.proxies {
            let all = fleet.proxies.len() as f64;
            proxy
                .wait_metrics("the proxy to know of the others", |scrape| {
                    scrape.has("vestibule_rate_limit_peers", &[])
                        && scrape.value("vestibule_rate_limit_peers", &[]) == all
                })
                .await;
        }
        fleet
    }

    /// Asks each proxy so many times a second, evenly, on connections that stay open.
    pub async fn load(&self, rates: &[f64], lasts: Duration) -> Vec<Asked> {
        const CONNECTIONS: u32 = 3;
        let start = Instant::now();
        let clients = self.proxies.iter().zip(rates).flat_map(|(proxy, rate)| {
            let pause = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
            (0..CONNECTIONS).map(move |n| client(proxy, start + pause * n / CONNECTIONS, pause, start + lasts))
        });
        futures::future::join_all(clients).await.into_iter().flatten().collect()
    }
}

async fn client(proxy: &Proxy, mut at: Instant, pause: Duration, end: Instant) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut connection = proxy.connect().await;
    while at < end {
        tokio::time::sleep_until(at).await;
        let sent = Instant::now();
        let answer = proxy.get("/").on(&mut connection).await;
        asked.push(Asked::of(&answer, sent));
        // Who was late asks at once, and does not catch up.
        at = (at + pause).max(Instant::now());
    }
    asked
}

impl Asked {
    pub fn of(answer: &Answer, at: Instant) -> Self {
        let limit = answer.fields.all("ratelimit").collect::<Vec<_>>().join(", ");
        Self { at, took: at.elapsed(), status: answer.status, limit }
    }

    pub fn is_admitted(&self) -> bool {
        self.status == 200
    }
}

/// Units admitted, and the time from the first question to the last answer.
pub fn admitted(asked: &[Asked]) -> (u64, Duration) {
    let first = asked.iter().map(|asked| asked.at).min().expect("somebody asked");
    let last = asked.iter().map(|asked| asked.at + asked.took).max().expect("somebody asked");
    (asked.iter().filter(|asked| asked.is_admitted()).count() as u64, last - first)
}

/// Units that proxies borrowed and that were refilled before anybody used them.
pub async fn expired(fleet: &Fleet) -> u64 {
    let mut units = 0;
    for proxy in &fleet.proxies {
        let expired = [("outcome", "expired")];
        units += proxy.metrics().await.value("vestibule_rate_limit_lease_units_total", &expired) as u64;
    }
    units
}

/// Those that a proxy decided on with its own share, since the store did not answer it in time.
pub fn alone(asked: &[Asked]) -> usize {
    asked.iter().filter(|asked| asked.limit.contains("vestibule-fallback")).count()
}

/// Units that one bucket, full at the first question, would have admitted of these very questions. Each was decided on at
/// some moment between its question and its answer: at whichever of the two lets fewer pass. So a machine that stands still
/// for a while, and asks nothing in it, is not expected to have used what the limit allowed it.
pub fn ideal(asked: &[Asked], burst: u64, a_second: f64) -> u64 {
    let admitted_at = |moment: fn(&Asked) -> Instant| {
        let mut moments: Vec<Instant> = asked.iter().map(moment).collect();
        moments.sort_unstable();
        let (mut units, mut last, mut admitted) = (burst as f64, moments[0], 0);

        for now in moments {
            units = (units + (now - last).as_secs_f64() * a_second).min(burst as f64);
            last = now;
            if units >= 1.0 {
                units -= 1.0;
                admitted += 1;
            }
        }
        admitted
    };
    admitted_at(|asked| asked.at).min(admitted_at(|asked| asked.at + asked.took))
}

/// Most units that a bucket admits in a time: `burst + floor(time / emission)`.
pub fn most(burst: u64, a_second: f64, time: Duration) -> u64 {
    burst + (time.as_secs_f64() * a_second) as u64
}

/// Sends `count` GETs on a connection of their own and gives how many were admitted; none may be anything but 200 or 429.
pub async fn burst(proxy: &Proxy, count: usize) -> u64 {
    let mut connection = proxy.connect().await;
    let mut admitted = 0;
    for _ in 0..count {
        let answer = proxy.get("/").on(&mut connection).await;
        assert!(matches!(answer.status, 200 | 429), "{}", answer.status);
        admitted += u64::from(answer.status == 200);
    }
    admitted
}

/// Runs `work` again and again until what is returned is dropped.
pub fn meanwhile<F: Future<Output = ()> + Send + 'static>(work: impl Fn() -> F + Send + Sync + 'static) -> Meanwhile {
    Meanwhile(tokio::spawn(async move {
        loop {
            work().await;
        }
    }))
}

pub struct Meanwhile(tokio::task::JoinHandle<()>);

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.0.abort();
    }
}
