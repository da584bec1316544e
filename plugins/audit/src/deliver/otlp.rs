//! OTLP logs over HTTP, in JSON: each event is the body of a log record (opentelemetry-proto, logs/v1).

use super::reader::Item;
use super::target::{Refusal, verdict};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use vestibule_chain::parse_time;
use vestibule_outbound::{Receiver, authorities};
use vestibule_plugin::units::Size;
use vestibule_plugin::{OtlpProtocol, Telemetry, files};

/// Behind the endpoint.
const PATH: &str = "/v1/logs";
/// INFO, in the numbers of the log data model.
const SEVERITY: u8 = 9;
/// Largest file that `[trace] otlp` names.
const MOST: Size = Size(64 << 10);
/// Bytes of an answer that are read: it says in a few words how many records were refused.
const MOST_ANSWER: usize = 16 << 10;

/// A collector.
pub(crate) struct Collector {
    receiver: Receiver,
    service: String,
    within: Duration,
}

impl Collector {
    /// That of `[trace] otlp`; what is wrong there, in a sentence.
    pub(super) fn new(telemetry: &Telemetry) -> Result<Self, String> {
        let otlp = &telemetry.otlp;
        if otlp.endpoint.is_empty() {
            return Err("it needs a collector: set [trace] otlp.endpoint".to_owned());
        }
        if otlp.protocol == OtlpProtocol::Grpc {
            return Err("events go over HTTP: set [trace] otlp.protocol = \"http\"".to_owned());
        }
        let endpoint = otlp.endpoint.trim_end_matches('/');
        let url = if endpoint.ends_with(PATH) { endpoint.to_owned() } else { format!("{endpoint}{PATH}") };
        let mut receiver = Receiver::new(&url, None).map_err(|why| format!("[trace] otlp.endpoint: {why}"))?;
        for (name, value) in &otlp.headers {
            receiver.add_field(name, value).map_err(|why| format!("[trace] otlp.headers: {why}"))?;
        }
        let read = |path: &str| files::read(path, MOST).map_err(|why| format!("`{path}`: {why}"));
        if !otlp.headers_file.is_empty() {
            let text = files::text(read(&otlp.headers_file)?)?;
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let (name, value) =
                    line.split_once(':').ok_or("[trace] otlp.headers_file: expected lines `name: value`")?;
                receiver.add_field(name.trim(), value.trim())?;
            }
        }
        if !otlp.ca_file.is_empty() {
            receiver.trust(&authorities(&read(&otlp.ca_file)?)?)?;
        }
        let service = if telemetry.service_name.is_empty() { "vestibule" } else { &telemetry.service_name };
        Ok(Self { receiver, service: service.to_owned(), within: otlp.timeout.0 })
    }

    /// Sends these; they have arrived when all of them were accepted.
    pub(super) async fn send(&self, items: &[Item]) -> Result<(), Refusal> {
        let body = Bytes::from(request(&self.service, items).to_string());
        let asked = self.receiver.ask("application/json", body, self.within, MOST_ANSWER).await;
        let (answer, said) = asked.map_err(|why| Refusal::Later(None, why))?;
        verdict(answer.status, answer.retry_after)?;
        if rejected(&said) > 0 { Err(Refusal::Never(answer.status)) } else { Ok(()) }
    }
}

/// How many records an answer says were refused (`partial_success`); a 64-bit number is a string in JSON.
fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let count = &answer["partialSuccess"]["rejectedLogRecords"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}

fn request(service: &str, items: &[Item]) -> Value {
    let text = |value: &str| json!({ "stringValue": value });
    let record = |item: &Item| {
        let event: Value = serde_json::from_slice(&item.event).unwrap_or_default();
        let nanos = event["time"].as_str().and_then(parse_time).unwrap_or(0).saturating_mul(1_000_000).to_string();
        let mut attributes = Vec::new();
        for (key, value) in [
            ("cloudevents.event_id", &event["id"]),
            ("cloudevents.event_source", &event["source"]),
            ("cloudevents.event_subject", &event["subject"]),
        ] {
            attributes.push(json!({ "key": key, "value": text(value.as_str().unwrap_or_default()) }));
        }
        let mut record = json!({
            "timeUnixNano": nanos,
            "observedTimeUnixNano": nanos,
            "severityNumber": SEVERITY,
            "severityText": "INFO",
            "eventName": event["type"],
            "body": text(&String::from_utf8_lossy(&item.event)),
            "attributes": attributes,
        });
        if let Value::String(trace_id) = &event["data"]["trace_id"] {
            record["traceId"] = trace_id.as_str().into();
        }
        record
    };
    let records: Vec<Value> = items.iter().map(record).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": [{ "key": "service.name", "value": text(service) }] },
        "scopeLogs": [{ "scope": { "name": "vestibule.audit" }, "logRecords": records }],
    }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_plugin::Otlp;

    #[test]
    fn an_event_is_the_body_of_a_record() {
        let event = r#"{"data":{"trace_id":"00ff"},"id":"i1","source":"s","subject":"r","time":"1970-01-01T00:00:01.500Z","type":"t"}"#;
        let sent = request("shop", &[Item { event: Bytes::from_static(event.as_bytes()) }]);
        let record = &sent["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert_eq!((&record["timeUnixNano"], &record["traceId"]), (&json!("1500000000"), &json!("00ff")));
        assert_eq!((&record["eventName"], &record["body"]["stringValue"]), (&json!("t"), &json!(event)));
        assert_eq!(record["attributes"][0]["value"]["stringValue"], "i1");
        assert_eq!(sent["resourceLogs"][0]["resource"]["attributes"][0]["value"]["stringValue"], "shop");
    }

    #[test]
    fn a_partial_success_is_no_success() {
        assert_eq!(rejected(b""), 0);
        assert_eq!(rejected(b"{\"partialSuccess\":{}}"), 0);
        assert_eq!(rejected(b"{\"partialSuccess\":{\"rejectedLogRecords\":\"3\"}}"), 3);
        assert_eq!(rejected(b"{\"partialSuccess\":{\"rejectedLogRecords\":3}}"), 3);
    }

    #[test]
    fn what_is_missing_is_said() {
        let with = |otlp: Otlp| Collector::new(&Telemetry { otlp, service_name: String::new() }).err();
        assert!(with(Otlp::default()).is_some_and(|why| why.contains("otlp.endpoint")));
        let grpc = Otlp { endpoint: "http://h:4317".into(), protocol: OtlpProtocol::Grpc, ..Otlp::default() };
        assert!(with(grpc).is_some_and(|why| why.contains("otlp.protocol")));
        assert_eq!(with(Otlp { endpoint: "http://h:4318/".into(), ..Otlp::default() }), None);
    }
}
