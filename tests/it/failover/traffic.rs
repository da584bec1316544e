//! Keyed writes at several proxies, each repeated, and how often the application executed each; and questions under a limit
//! that all proxies share.

use crate::limits::fleet::{Asked, admitted, most};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep, sleep_until};
use vestibule_testkit::{Answer, Origin, Proxy, Reply, Setup};

/// Between the first keys of two requests.
const PACE: Duration = Duration::from_millis(25);
/// When each key is sent again, after its first answer: in the middle of a change, after it, and when all is over.
const REPEATS: [Duration; 3] = [Duration::from_millis(150), Duration::from_millis(1_200), Duration::from_secs(4)];
/// How long a request is repeated that is refused.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest time from the moment a sentinel names another master, or a node takes over, until all is as before.
pub const RECOVERY: Duration = Duration::from_millis(1_500);

/// Units at once, and a second, of the limit that all share.
const LIMIT: u64 = 20;
/// Between two questions at each proxy: all together ask for more than the limit allows.
const ASK_EVERY: Duration = Duration::from_millis(40);

/// Proxies before an application that counts executions by key.
pub struct Traffic {
    proxies: Vec<RwLock<Proxy>>,
    toml: String,
    executions: Arc<Mutex<HashMap<String, Vec<Instant>>>>,
    origin: Origin,
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
    /// What was asked under the limit.
    pub asked: Vec<Asked>,
}

impl Traffic {
    /// `count` proxies with this file, which says nothing of limits.
    pub async fn start(count: usize, toml: &str) -> Self {
        let toml = format!(
            "{toml}[rate_limit]\nconsistency = \"strict\"\nlease = \"1s\"\nstore_timeout = \"900ms\"\n\
             [rate_limit.policies.shared]\nkey = \"global\"\nlimit = \"{LIMIT}/s\"\nburst = {LIMIT}\n\
             [rate_limit.tiers]\nanonymous = []\n\
             [[routes]]\nname = \"limited\"\npath = \"/limited\"\nrate_limit = [\"shared\"]\n"
        );
        let executions: Arc<Mutex<HashMap<String, Vec<Instant>>>> = Arc::default();
        let counted = Arc::clone(&executions);
        let origin = Origin::replying(move |request| {
            if request.method == "GET" {
                return Reply::new(200);
            }
            let key = request.field("idempotency-key").to_owned();
            let mut counted = counted.lock();
            let times = counted.entry(key).or_default();
            times.push(Instant::now());
            Reply::new(201).body(format!("execution {}", times.len()))
        });
        let mut proxies = Vec::new();
        for _ in 0..count {
            proxies.push(RwLock::new(Setup::new(crate::bin()).upstream(origin.url()).toml(&toml).start().await));
        }
        Self { proxies, toml, executions, origin }
    }

    /// One of the proxies.
    pub async fn proxy(&self, at: usize) -> tokio::sync::RwLockReadGuard<'_, Proxy> {
        self.proxies[at % self.proxies.len()].read().await
    }

    /// Ends a proxy in order, once it has answered what was asked of it, and starts another one in its place.
    pub async fn restart(&self, at: usize) {
        let mut proxy = self.proxies[at].write().await;
        proxy.sigterm();
        proxy.wait_exit().await;
        *proxy = Setup::new(crate::bin()).upstream(self.origin.url()).toml(&self.toml).start().await;
    }

    /// Has every proxy read a changed file.
    pub async fn reload(&self, change: impl Fn(&str) -> String) {
        for at in 0..self.proxies.len() {
            let proxy = self.proxy(at).await;
            proxy.rewrite(&change(&self.toml));
            let reloaded = proxy.reload().await;
            assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        }
    }

    /// Sends a key after the other for so long, each to another proxy first, and repeats each at the others; and asks all
    /// proxies under the limit meanwhile.
    pub async fn run(&self, lasts: Duration) -> Seen {
        static RUN: AtomicUsize = AtomicUsize::new(0);
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let count = usize::try_from(lasts.as_millis() / PACE.as_millis()).expect("few");
        let keys = (0..count).map(|number| async move {
            sleep_until(began + PACE * u32::try_from(number).expect("few")).await;
            self.key(format!("{run}-{number}"), number).await
        });
        let questions = (0..self.proxies.len()).map(|at| self.questions(at, began + lasts));
        let stories = futures::future::join_all(keys);
        let (stories, asked) = tokio::join!(stories, futures::future::join_all(questions));
        let executions = self.executions.lock().clone();
        Seen { stories, executions, asked: asked.into_iter().flatten().collect() }
    }

    /// Asks a proxy under the limit, evenly.
    async fn questions(&self, at: usize, end: Instant) -> Vec<Asked> {
        let (mut asked, mut next) = (Vec::new(), Instant::now());
        while next < end {
            sleep_until(next).await;
            let proxy = self.proxy(at).await;
            let sent = Instant::now();
            asked.push(Asked::of(&proxy.get("/limited").await, sent));
            // Who was late does not catch up.
            next = (next + ASK_EVERY).max(Instant::now());
        }
        asked
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

    /// Sends a keyed request to a proxy.
    pub async fn send(&self, key: &str, at: usize) -> Answer {
        let proxy = self.proxy(at).await;
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

    /// Whether what was executed twice was all sent around this moment, when a master that acknowledges alone changes.
    pub fn twice_around(&self, change: Instant) -> bool {
        self.twice().iter().all(|story| story.sent + RECOVERY > change && story.sent < change + RECOVERY)
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

    /// Units admitted under the limit, and the most that it and one burst besides allow: what a master that is gone had
    /// charged, nobody may know.
    pub fn charged(&self) -> (u64, u64) {
        let (units, time) = admitted(&self.asked);
        (units, most(LIMIT, LIMIT as f64, time) + LIMIT)
    }

    /// Tells what was seen of a change at `since`, and holds what is true of every change: nothing stays without an answer,
    /// nobody is told that nobody knows what became of a request, the limit is kept, and questions under it are answered,
    /// before long by the store.
    pub fn hold(&self, what: &str, since: Instant) {
        let at = |when: &Instant| match when.checked_duration_since(since) {
            Some(after) => format!("{} ms", after.as_millis()),
            None => format!("-{} ms", (since - *when).as_millis()),
        };
        for story in self.twice() {
            let executed: Vec<_> = self.executed(story).iter().map(at).collect();
            println!("{} was sent at {} and executed at {executed:?}", story.key, at(&story.sent));
        }
        let (units, most) = self.charged();
        println!(
            "{what}: {} keys, {} executed twice, {} told unknown, {} unanswered, refused {:?}, last refusal {:?} after, \
             {units} units of {most}",
            self.stories.len(),
            self.twice().len(),
            self.unknown().len(),
            self.unanswered().len(),
            self.refusals(),
            self.recovered_after(since),
        );

        assert_eq!((self.unknown().len(), self.unanswered().len()), (0, 0), "unknown, unanswered");
        assert!(units <= most, "{units} of {most}");
        let other: Vec<_> = self.asked.iter().filter(|asked| !matches!(asked.status, 200 | 429)).collect();
        assert!(other.is_empty(), "{other:?}");
        let alone = |asked: &&Asked| asked.limit.contains("vestibule-fallback");
        let late: Vec<_> = self.asked.iter().filter(alone).filter(|asked| asked.at > since + RECOVERY).collect();
        assert!(late.is_empty(), "decided alone: {late:?}");
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
