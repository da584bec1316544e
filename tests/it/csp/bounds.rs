//! What one sender may bring.

use super::*;
use std::time::Instant;

fn from(stage: &Stage, client: &str, body: &Value) -> Request {
    stage.send(body).header("x-forwarded-for", client)
}

/// CSP-17
#[tokio::test]
async fn one_sender_is_limited_and_another_is_not_affected() {
    let trusted = "rate = \"300/min\"\n[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
    let stage = Stage::collecting(trusted).await;
    let mut raw = stage.proxy.connect().await;
    let began = Instant::now();
    for _ in 0..400 {
        let answer = from(&stage, "203.0.113.7", &image("/a")).on(&mut raw).await;
        assert_eq!(answer.status, 204);
    }
    let refilled = began.elapsed().as_secs() * 5 + 6;
    let counted = stage.counted("accepted").await;
    assert!((300..=300 + refilled).contains(&counted), "{counted}");
    assert_eq!(stage.counted("limited").await, 400 - counted);
    let limited = [("directive", "none"), ("disposition", "unknown"), ("outcome", "limited")];
    assert_eq!(stage.proxy.metrics().await.value(REPORTS, &limited), (400 - counted) as f64);
    assert_eq!(from(&stage, "203.0.113.8", &image("/b")).await.status, 204);
    assert_eq!(stage.counted("accepted").await, counted + 1);
}

#[tokio::test]
async fn each_element_of_a_batch_counts_and_those_that_fit_are_taken() {
    let stage = Stage::collecting("rate = \"10/h\"\n").await;
    stage.takes(&Value::Array(vec![image("/a"); 15])).await;
    assert_eq!((stage.counted("accepted").await, stage.counted("limited").await), (10, 5));
    let known = [("directive", "img-src"), ("disposition", "report"), ("outcome", "limited")];
    assert_eq!(stage.proxy.metrics().await.value(REPORTS, &known), 5.0, "what was read is named");
    stage.takes(&json!([image("/a"), image("/a")])).await;
    assert_eq!(stage.counted("limited").await, 6, "a request over the rate is not read");
}

#[tokio::test]
async fn a_body_over_the_rate_leaves_the_connection_usable() {
    let stage = Stage::collecting("rate = \"1/h\"\n").await;
    let mut raw = stage.proxy.connect().await;
    for _ in 0..3 {
        assert_eq!(stage.send(&Value::Array(vec![image("/a"); 50])).on(&mut raw).await.status, 204);
    }
    // 49 that did not fit, and two requests.
    assert_eq!((stage.counted("accepted").await, stage.counted("limited").await), (1, 51));
}
