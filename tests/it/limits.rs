//! Rate limits through the whole program: who is refused when, and what everybody is told.

mod answers;
mod callers;
mod charging;
mod dialects;
pub mod fleet;
mod operator;
mod outages;
mod reload;
mod shared;
mod streams;

use vestibule_testkit::{Answer, Origin, Proxy, Raw};

/// The policy of the acceptance table: `p` = 10/min, burst 10, by address, for callers nobody knows.
const TEN: &str = "\
[rate_limit.policies.p]
limit = \"10/min\"
key = \"address\"
[rate_limit.tiers]
anonymous = [\"p\"]
";

async fn proxy(origin: &Origin, toml: &str) -> Proxy {
    Proxy::before(crate::bin(), &origin.url(), toml).await
}

/// Sends `count` GETs on one connection.
async fn gets(proxy: &Proxy, target: &str, count: usize) -> Vec<Answer> {
    let mut connection = proxy.connect().await;
    let mut answers = Vec::with_capacity(count);
    for _ in 0..count {
        answers.push(proxy.get(target).on(&mut connection).await);
    }
    answers
}

/// Sends `count` GETs on one connection and gives their statuses.
async fn statuses(proxy: &Proxy, target: &str, count: usize) -> Vec<u16> {
    gets(proxy, target, count).await.iter().map(|answer| answer.status).collect()
}

/// Units left in a bucket, as the admin listener sees it.
async fn left(proxy: &Proxy, policy: &str, key: &str) -> u64 {
    let answer = proxy.admin("GET", &format!("/rate-limit/{policy}/{key}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["remaining"].as_u64().expect("a number")
}

/// The bucket of this machine.
const HERE: &str = "addr%3D127.0.0.1";

/// A member of `RateLimit` as name, `r` and `t`.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    policy: String,
    r: u64,
    t: u64,
}

/// All members of `RateLimit`.
fn members(answer: &Answer) -> Vec<Member> {
    let parse = |member: &str| {
        let mut parts = member.trim().split(';');
        let policy = parts.next()?.trim_matches('"').to_owned();
        let r = parts.next()?.strip_prefix("r=")?.parse().ok()?;
        let t = parts.next()?.strip_prefix("t=")?.parse().ok()?;
        Some(Member { policy, r, t })
    };
    let lines = answer.fields.all("ratelimit").flat_map(|line| line.split(','));
    lines.map(|member| parse(member).unwrap_or_else(|| panic!("not a member: {member:?}"))).collect()
}

fn member(answer: &Answer) -> Member {
    let mut all = members(answer);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// `retry-after` as a number of seconds.
fn retry_after(answer: &Answer) -> u64 {
    answer.field("retry-after").parse().unwrap_or_else(|_| panic!("retry-after: {:?}", answer.field("retry-after")))
}

/// A connection after a request for an upgrade.
pub(crate) async fn upgrade(proxy: &Proxy, target: &str) -> (Raw, Answer) {
    let mut raw = proxy.connect().await;
    let request = proxy.get(target).header("connection", "Upgrade").header("upgrade", "websocket");
    let request = request.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    raw.write(request.encoded()).await;
    let answer = raw.head_of_answer().await;
    (raw, answer)
}
