//! Keyed writes at several proxies, each repeated, and how often the application executed each.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};
use vestibule_testkit::{Answer, Origin, Proxy, Reply, Setup};

/// Between the first keys of two requests.
const PACE: Duration = Duration::from_millis(25);
/// When each key is sent again, after its first answer: in the middle of a change, after it, and when all is over.
const REPEATS: [Duration; 3] = [Duration::from_millis(150), Duration::from_millis(1_200), Duration::from_secs(4)];
/// How long a request is repeated that is refused.
const PATIENCE: Duration = Duration::from_secs(60);

/// Proxies before an application that counts executions by key.
pub struct Traffic {
    pub proxies: Vec<Proxy>,
    executions: Arc<Mutex<HashMap<String, Vec<Instant>>>>,
    _origin: Origin,
}

/// What came of one key.
#[derive(Debug)]
pub struct Story {
    pub key: String,
    /// When it was first sent.
    pub sent: Instant,
    /// Problems of refusals, and when.
    pub refused: Vec<(Instant, String)>,
    /// When it was first answered by the application or its record.
    pub answered: Option<Instant>,
}

/// What came of all.
#[derive(Debug)]
pub struct Seen {
    pub stories: Vec<Story>,
    pub executions: HashMap<String, Vec<Instant>>,
}

impl Traffic {
    /// `count` proxies with this file.
    pub async fn start(count: usize, toml: &str) -> Self {
        let executions: Arc<Mutex<HashMap<String, Vec<Instant>>>> = Arc::default();
        let counted = Arc::clone(&executions);
        let origin = Origin::replying(move |request| {
            let key = request.field("idempotency-key").to_owned();
            let mut counted = counted.lock();
            let times = counted.entry(key).or_default();
            times.push(Instant::now());
            Reply::new(201).body(format!("execution {}", times.len()))
        });
        let mut proxies = Vec::new();
        for _ in 0..count {
            proxies.push(Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await);
        }
        Self { proxies, executions, _origin: origin }
    }

    /// Sends a key after the other for so long, each to another proxy first, and repeats each at the others.
    pub async fn run(&self, lasts: Duration) -> Seen {
        static RUN: AtomicUsize = AtomicUsize::new(0);
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let count = usize::try_from(lasts.as_millis() / PACE.as_millis()).expect("few");
        let keys = (0..count).map(|number| async move {
            sleep_until(began + PACE * u32::try_from(number).expect("few")).await;
            self.key(format!("{run}-{number}"), number).await
        });
        let stories = futures::future::join_all(keys).await;
        let executions = self.executions.lock().clone();
        Seen { stories, executions }
    }

    async fn key(&self, key: String, number: usize) -> Story {
        let sent = Instant::now();
        let mut story = Story { key, sent, refused: Vec::new(), answered: None };
        self.until_answered(&mut story, number).await;
        for (at, pause) in REPEATS.into_iter().enumerate() {
            sleep(pause).await;
            self.until_answered(&mut story, number + at + 1).await;
        }
        story
    }

    /// Repeats until it is no refusal.
    async fn until_answered(&self, story: &mut Story, first: usize) {
        let until = Instant::now() + PATIENCE;
        for at in first.. {
            let answer = self.send(&story.key, at).await;
            if answer.status == 201 {
                story.answered.get_or_insert_with(Instant::now);
                return;
            }
            story.refused.push((Instant::now(), format!("{} {}", answer.status, answer.problem())));
            if Instant::now() > until {
                return;
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    async fn send(&self, key: &str, at: usize) -> Answer {
        let proxy = &self.proxies[at % self.proxies.len()];
        let request = proxy.post("/orders").header("authorization", "Bearer alice");
        request.header("idempotency-key", format!("\"{key}\"")).body("one").send().await
    }
}

impl Seen {
    /// When it was executed.
    pub fn executed(&self, story: &Story) -> &[Instant] {
        self.executions.get(&format!("\"{}\"", story.key)).map_or(&[], Vec::as_slice)
    }

    /// Keys that were executed more than once.
    pub fn twice(&self) -> Vec<&Story> {
        self.stories.iter().filter(|story| self.executed(story).len() > 1).collect()
    }

    /// Keys of which somebody was told that nobody knows.
    pub fn unknown(&self) -> Vec<&Story> {
        let unknown = |(_, why): &(Instant, String)| why.contains("unknown");
        self.stories.iter().filter(|story| story.refused.iter().any(unknown)).collect()
    }

    /// Keys that were never answered.
    pub fn unanswered(&self) -> Vec<&Story> {
        self.stories.iter().filter(|story| story.answered.is_none()).collect()
    }

    /// From `since` until every key that was sent later was answered at once: how long after.
    pub fn recovered_after(&self, since: Instant) -> Duration {
        let refusals = self.stories.iter().flat_map(|story| &story.refused).map(|(at, _)| *at);
        refusals.filter(|at| *at > since).max().map_or(Duration::ZERO, |last| last - since)
    }

    /// How many refusals of each kind there were.
    pub fn refusals(&self) -> std::collections::BTreeMap<&str, usize> {
        let mut kinds = std::collections::BTreeMap::new();
        for (_, why) in self.stories.iter().flat_map(|story| &story.refused) {
            *kinds.entry(why.as_str()).or_insert(0) += 1;
        }
        kinds
    }
}
