//! What others make of who is calling: tiers and buckets, and whose key a key is.

use super::*;
use serde_json::json;

/// RL-09 and RL-10: a verified claim chooses the tier and the subject the bucket; an unverified one neither.
#[tokio::test]
async fn a_verified_subject_has_a_bucket_and_a_tier_of_its_own() {
    let limits = "[rate_limit]\ndefault_tier = \"free\"\n\
                  [rate_limit.policies.gold]\nlimit = \"100/min\"\n[rate_limit.policies.free]\nlimit = \"10/min\"\n\
                  [rate_limit.tiers]\ngold = [\"gold\"]\nfree = [\"free\"]\n\
                  [[routes]]\nname = \"open\"\npath = \"/open\"\nauth = \"optional\"\n\
                  [[routes]]\nname = \"off\"\npath = \"/off\"\nauth = \"off\"\n";
    let (stage, pen) = Stage::with(limits).await;
    let ask = async |changed| stage.bearing(&pen.sign(&claims(&changed))).await;
    let gold = ask(json!({"tier": "gold"})).await;
    assert!(gold.field("ratelimit").starts_with("\"gold\";r=99;"), "{:?}", gold.fields);
    let other = ask(json!({"tier": "gold", "sub": "bob"})).await;
    assert!(other.field("ratelimit").starts_with("\"gold\";r=99;"), "{:?}", other.fields);
    let plain = async |changed| ask(changed).await.field("ratelimit").to_owned();
    assert!(plain(json!({"sub": "carol"})).await.starts_with("\"free\";r=9"));
    assert!(plain(json!({"sub": "carol", "tier": "nonsense"})).await.starts_with("\"free\";r=8"));
    assert!(plain(json!({"sub": "carol", "tier": ["gold"]})).await.starts_with("\"free\";r=7"));
    let anonymous = stage.proxy.get("/open").await;
    assert!(anonymous.field("ratelimit").starts_with("\"anonymous\""), "{:?}", anonymous.fields);
    let unlooked = stage.proxy.get("/off").header("authorization", format!("Bearer {}", pen.token())).await;
    assert!(unlooked.field("ratelimit").starts_with("\"anonymous\""), "{:?}", unlooked.fields);
    stage.proxy.wait_access(7).await;
    let line = stage.proxy.access().into_iter().next().expect("a line");
    assert_eq!((line["tier"].as_str(), line["auth"].as_str()), (Some("gold"), Some("token")));
    assert!(line["subject"].as_str().is_some_and(|hidden| hidden.len() == 16 && hidden != "alice"), "{line}");
}

/// ID-15: a refreshed token of the same subject is the same principal, another subject is not.
#[tokio::test]
async fn a_key_belongs_to_a_verified_subject() {
    let (stage, pen) = Stage::with("[idempotency]\nprincipal = [\"subject\"]\n").await;
    let order = |changed| {
        let token = pen.sign(&claims(&changed));
        let request = stage.proxy.post("/").header("authorization", format!("Bearer {token}"));
        request.header("idempotency-key", "\"k\"").body("one")
    };
    assert_eq!(order(json!({"jti": "1"})).await.status, 200);
    let again = order(json!({"jti": "2"})).await;
    assert_eq!((again.status, again.field("idempotent-replayed"), stage.origin.hits()), (200, "true", 1));
    assert_eq!(order(json!({"sub": "bob"})).await.status, 200);
    assert_eq!(stage.origin.hits(), 2);
    let forgotten = stage.proxy.admin("DELETE", "/idempotency/subject:https:%2F%2Fid.example%7Calice/k").await;
    assert_eq!(forgotten.status, 204, "{}", forgotten.text());
    assert_eq!(order(json!({})).await.status, 200);
    assert_eq!(stage.origin.hits(), 3);
}

/// ID-40: a request that is refused claims no key.
#[tokio::test]
async fn a_refused_caller_claims_no_key() {
    let (stage, pen) = Stage::with("[idempotency]\nprincipal = [\"address\"]\n").await;
    let order = |token: String| {
        let request = stage.proxy.post("/").header("authorization", format!("Bearer {token}"));
        request.header("idempotency-key", "\"k\"").body("one")
    };
    assert_eq!(order(Pen::es256("one").token()).await.status, 401);
    let first = order(pen.token()).await;
    assert_eq!((first.status, first.fields.has("idempotent-replayed"), stage.origin.hits()), (200, false, 1));
}
