//! `[rate_limit] headers`, and company from the upstream.

use super::{TEN, gets, proxy, retry_after};
use vestibule_testkit::{Answer, Origin, Reply};

const GITHUB: [&str; 5] = ["limit", "remaining", "used", "reset", "resource"];

fn number(answer: &Answer, name: &str) -> u64 {
    let value = answer.field(&format!("x-ratelimit-{name}"));
    value.parse().unwrap_or_else(|_| panic!("x-ratelimit-{name}: {value:?}"))
}

fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}

/// RL-19: GitHub's set; Retry-After stays a number of seconds.
#[tokio::test]
async fn github_tells_an_absolute_reset() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, &format!("[rate_limit]\nheaders = \"github\"\n{TEN}")).await;
    let began = now_s();
    let answers = gets(&proxy, "/", 11).await;
    for (n, answer) in answers[..9].iter().enumerate() {
        let remaining = 9 - n as u64;
        assert_eq!((number(answer, "limit"), number(answer, "remaining")), (10, remaining));
        assert_eq!(number(answer, "used"), 10 - remaining);
        assert_eq!(answer.field("x-ratelimit-resource"), "p");
        let reset = number(answer, "reset") - remaining * 6;
        assert!((began.saturating_sub(1)..=now_s() + 1).contains(&reset), "{reset} is not about now");
        assert!(!answer.fields.has("ratelimit") && !answer.fields.has("ratelimit-policy"));
    }
    let refused = &answers[10];
    assert_eq!((refused.status, number(refused, "used"), number(refused, "remaining")), (429, 10, 0));
    assert!((5..=6).contains(&retry_after(refused)));
}

#[tokio::test]
async fn both_are_both_and_off_is_none() {
    let origin = Origin::returning(200, "ok");
    let with = |headers: &str| format!("[rate_limit]\nheaders = \"{headers}\"\n{TEN}");
    let both = proxy(&origin, &with("both")).await;
    let off = proxy(&origin, &with("off")).await;
    let (all, none) = (gets(&both, "/", 11).await, gets(&off, "/", 11).await);
    for (all, none) in all.iter().zip(&none) {
        assert!(all.fields.has("ratelimit") && all.fields.has("ratelimit-policy"));
        assert!(!none.fields.has("ratelimit") && !none.fields.has("ratelimit-policy"));
        for name in GITHUB {
            let name = format!("x-ratelimit-{name}");
            assert!(all.fields.has(&name) && !none.fields.has(&name), "{name}");
        }
    }
    assert_eq!((all[10].status, none[10].status), (429, 429));
    assert!((5..=6).contains(&retry_after(&all[10])) && (5..=6).contains(&retry_after(&none[10])));
}

/// RL-18: what the upstream said about its own limits stays, first; scripts of other origins may read ours.
#[tokio::test]
async fn the_upstreams_own_fields_stay() {
    let origin = Origin::replying(|_| {
        Reply::ok("ok")
            .field("ratelimit", "\"up\";r=1;t=1")
            .field("access-control-allow-origin", "*")
            .field("access-control-expose-headers", "x-total")
    });
    let proxy = proxy(&origin, TEN).await;
    let answer = proxy.get("/").await;
    let joined = answer.fields.all("ratelimit").collect::<Vec<_>>().join(", ");
    assert_eq!(joined, "\"up\";r=1;t=1, \"p\";r=9;t=54");
    for name in ["x-total", "ratelimit", "ratelimit-policy"] {
        assert!(answer.fields.lists("access-control-expose-headers", name), "{name}: {:?}", answer.fields);
    }
}
