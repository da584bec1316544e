//! Equal reports become one entry, and few records.

use super::*;
use std::path::PathBuf;
use std::time::Duration;
use vestibule_testkit::within_for;

/// More than a window.
const WINDOW: Duration = Duration::from_secs(75);

fn records(stage: &Stage) -> Vec<Value> {
    let path: PathBuf = stage.proxy.dir().join("records.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("whole lines of JSON")).collect()
}

async fn wait_records(stage: &Stage, count: usize) -> Vec<Value> {
    within_for(WINDOW, &format!("{count} records"), async {
        loop {
            let found = records(stage);
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// CSP-15: here real time is the point.
#[tokio::test]
async fn a_thousand_equal_reports_are_two_records() {
    let stage = Stage::collecting("sinks = [\"file:records.jsonl\"]\n").await;
    for _ in 0..10 {
        stage.takes(&Value::Array(vec![image("/a"); 100])).await;
    }
    let first = wait_records(&stage, 1).await;
    assert_eq!(first[0]["count"], json!(1));
    assert_eq!(counts(&stage.listed("").await), [1000]);
    let both = wait_records(&stage, 2).await;
    let told: Vec<&Value> = both.iter().map(|record| &record["count"]).collect();
    assert_eq!(told, [&json!(1), &json!(999)]);
    assert_eq!(stage.counted("accepted").await, 1000);
    assert_eq!(both[1]["allow"], json!("img-src https://cdn.example.net"));
}

/// CSP-16
#[tokio::test]
async fn sampling_thins_deliveries_and_not_the_numbers() {
    let mut stage = Stage::collecting("sample = 0\nsinks = [\"file:records.jsonl\"]\n").await;
    let batch: Vec<Value> = (0..10).flat_map(|key| vec![image(&lettered(key)); 10]).collect();
    for _ in 0..10 {
        stage.takes(&json!(batch)).await;
    }
    assert_eq!((stage.counted("accepted").await, stage.counted("sampled_out").await), (10, 990));
    let listed = stage.listed("").await;
    assert_eq!(counts(&listed).iter().sum::<u64>(), 1000);
    assert_eq!(listed["totals"]["sampled_out"], json!(990));
    // The end closes the window: nothing more is told.
    stage.proxy.sigterm();
    stage.proxy.wait_exit().await;
    let told = records(&stage);
    assert!(told.len() == 10 && told.iter().all(|record| record["count"] == json!(1)), "{told:?}");
}

#[tokio::test]
async fn the_end_of_the_process_closes_the_window_and_delivers_it() {
    let mut stage = Stage::collecting("sinks = [\"file:records.jsonl\", \"log\"]\n").await;
    stage.takes(&Value::Array(vec![image("/a"); 50])).await;
    stage.proxy.sigterm();
    assert!(stage.proxy.wait_exit().await.success());
    let told: Vec<u64> = records(&stage).iter().filter_map(|record| record["count"].as_u64()).collect();
    assert_eq!(told, [1, 49]);
    let logged: Vec<Value> = stage.proxy.logs().into_iter().filter(|line| line["target"] == "vestibule::csp").collect();
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert_eq!((&logged[1]["count"], &logged[1]["directive"]), (&json!(49), &json!("img-src")));
}

/// CSP-20
#[tokio::test]
async fn twelve_thousand_keys_are_ten_thousand_and_the_rest_by_directive() {
    let stage = Stage::collecting("sinks = []\n").await;
    let reports: Vec<Value> = (0..12_000).map(|number| image(&lettered(number))).collect();
    for batch in reports.chunks(100) {
        stage.takes(&json!(batch)).await;
    }
    let listed = stage.listed("?limit=1").await;
    assert_eq!((&listed["keys"], &listed["keys_max"]), (&json!(10_000), &json!(10_000)));
    let overflow = &listed["violations"][0];
    assert_eq!((&overflow["overflow"], &overflow["count"]), (&json!(true), &json!(2000)));
    assert!(overflow["blocked"].is_null() && overflow["document"].is_null() && overflow["allow"].is_null());
    assert_eq!(listed["totals"]["accepted"], json!(12_000));
}

#[tokio::test]
async fn a_reload_forgets_nothing_but_what_it_switches_off() {
    let stage = Stage::collecting("sinks = []\n").await;
    stage.takes(&image("/a")).await;
    let toml = "[csp]\nreports = true\nrate = \"1000000/min\"\nsinks = [\"file:records.jsonl\"]\n";
    stage.proxy.rewrite(toml);
    assert_eq!(stage.proxy.reload().await.status, 200);
    stage.takes(&json!([image("/a"), image("/b")])).await;
    let listed = stage.listed("").await;
    assert_eq!((counts(&listed), &listed["totals"]["accepted"]), (vec![2, 1], &json!(3)));
    let first = wait_records(&stage, 1).await;
    assert_eq!(first[0]["document"], json!("https://app.example.com/b"), "the other one was seen before");
    stage.proxy.rewrite(&toml.replace("true", "false"));
    assert_eq!(stage.proxy.reload().await.status, 200);
    assert_eq!(stage.send(&image("/a")).await.status, 200, "the path is nothing special any more");
    assert_eq!(counts(&stage.listed("").await), [2, 1], "what was learned can still be read");
    stage.proxy.rewrite("[etag]\n");
    assert_eq!(stage.proxy.reload().await.status, 200);
    assert_eq!(stage.proxy.admin("GET", "/csp").await.status, 404);
}
