//! The effective configuration and the schema.

use super::valid;
use crate::config::schema;
use serde_json::Value;

const RICH: &str = "\
[server]
listen = [\"127.0.0.1:0\", \"[::1]:0\"]
tls = { cert_file = \"\", key_file = \"\" }
max_body_bytes = 0
[etag]
strength = \"strong\"
[rate_limit]
headers = \"both\"
[rate_limit.policies.login]
limit = \"5/15min\"
key = [\"address\", \"global\"]
[rate_limit.tiers]
internal = \"unlimited\"
[[routes]]
name = \"a\"
path = \"/a/{id}\"
upstream = { read_timeout = \"1s\" }
rate_limit = { policies = [\"login\"], cost = 2 }
methods = [\"POST\"]
etag = false
";

#[test]
fn the_effective_configuration_is_complete_and_parses_again() {
    for text in ["", RICH] {
        let once = valid(text);
        let again = valid(&once.effective);
        assert_eq!(again.effective, once.effective);
        assert_eq!(again.hash, once.hash);
        let settings = |generation: &crate::config::Generation| {
            // A key that is not configured is drawn anew.
            format!("{:?}", generation.settings).split("secret: [").next().map(str::to_owned)
        };
        assert_eq!(settings(&again), settings(&once));
    }
}

#[test]
fn every_default_is_filled_in() {
    let effective: toml::Table = valid("[auth]\nmode = \"off\"\n[etag]\n[idempotency]\n[rate_limit]\n[audit]\n[csp]\n")
        .effective
        .parse()
        .expect("TOML");
    let schema = schema();
    for (table, keys) in schema["properties"].as_object().expect("tables").iter().filter(|(name, _)| *name != "routes")
    {
        let definition = keys["$ref"].as_str().expect("reference").trim_start_matches('#');
        let keys = schema.pointer(definition).expect("definition")["properties"].as_object().expect("keys");
        for (key, about) in
            keys.iter().filter(|(_, about)| about.get("default").is_some_and(|default| !default.is_null()))
        {
            let shown = effective.get(table).and_then(|table| table.get(key));
            assert!(shown.is_some(), "[{table}] {key} {about}");
        }
    }
}

/// What is shown is what runs, also where the file says nothing.
#[test]
fn what_is_implied_is_shown() {
    let text = "[rate_limit]\non_store_error = \"open\"\n[rate_limit.policies.log]\nlimit = \"5/min\"\nalgorithm = \"sliding_log\"\n";
    let shown: toml::Table = valid(text).effective.parse().expect("TOML");
    let limits = &shown["rate_limit"];
    assert_eq!(limits["default_tier"].as_str(), Some("anonymous"));
    assert_eq!(limits["tiers"]["anonymous"].as_array().map(Vec::len), Some(1));
    let policy = |name: &str, key: &str| limits["policies"][name].get(key).map(ToString::to_string);
    assert_eq!(policy("anonymous", "limit").as_deref(), Some("\"60/min\""));
    assert_eq!(policy("anonymous", "burst").as_deref(), Some("60"));
    assert_eq!(policy("anonymous", "consistency").as_deref(), Some("\"leased\""));
    assert_eq!(policy("log", "consistency").as_deref(), Some("\"strict\""));
    assert_eq!(policy("log", "on_store_error").as_deref(), Some("\"open\""));
    assert_eq!(policy("log", "burst"), None, "a sliding log has none");
}

#[test]
fn what_is_off_is_not_in_the_effective_configuration() {
    let effective = valid("").effective;
    assert!(effective.contains("[trace]\n") && effective.contains("[metrics]\n"));
    assert!(!effective.contains("[etag]") && !effective.contains("[rate_limit]") && !effective.contains("[[routes]]"));
}

#[test]
fn the_schema_describes_every_key() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let names: Vec<&String> = schema["properties"].as_object().expect("tables").keys().collect();
    for table in ["server", "upstream", "store", "log", "trace", "metrics", "rate_limit", "etag", "routes"] {
        assert!(names.iter().any(|name| *name == table), "{table}");
    }
    undescribed(&schema, "");
    let entry = &schema["properties"]["routes"]["items"];
    assert_eq!(entry["required"], serde_json::json!(["name", "path"]));
    assert!(entry["properties"]["upstream"]["properties"].get("idle_connections").is_none());
    let text = schema.to_string();
    assert!(
        text.contains(r#""format":"vestibule-duration","#) && text.contains(r#""pattern":"^[0-9]+(ms|s|m|h|d)$|"#),
        "{text}"
    );
}

/// Every property has a description of its own, or refers to something that has one.
fn undescribed(schema: &Value, path: &str) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|_| schema["type"] == "object")
    {
        for (name, property) in properties {
            let described = ["description", "$ref", "items", "title"].iter().any(|key| property.get(key).is_some());
            assert!(described, "{path}/{name} has no description: {property}");
        }
    }
    match schema {
        Value::Object(object) => object.iter().for_each(|(key, inner)| undescribed(inner, &format!("{path}/{key}"))),
        Value::Array(items) => items.iter().for_each(|inner| undescribed(inner, path)),
        _ => {}
    }
}
