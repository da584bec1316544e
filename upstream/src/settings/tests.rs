use super::*;

fn with(variable: &'static str, value: &str) -> Result<Settings, SettingError> {
    Settings::from_variables(|name| (name == variable).then(|| value.into()))
}

#[test]
fn nothing_set_means_the_defaults() {
    let settings = Settings::from_variables(|_| None).expect("defaults are valid");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(settings.internal_listen.to_string(), "127.0.0.1:8001");
    assert_eq!(settings.database.0, PathBuf::from("./vestibule-upstream.db"));
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.idempotency_ttl.get(), 86_400);
    assert!(settings.ingest_token.is_none() && settings.admin_token.is_none());
}

#[test]
fn a_value_that_cannot_be_used_names_its_variable() {
    for (variable, value) in [
        ("LISTEN", ""),
        ("LISTEN", "8000"),
        ("INTERNAL_LISTEN", "localhost:1"),
        ("DATABASE_URL", "mysql://x"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite://:memory:"),
        ("DATABASE_URL", "sqlite://a.db?mode=ro"),
        ("DATABASE_URL", "postgres://u:p@h/d"),
        ("LOG_FORMAT", "JSON"),
        ("IDEMPOTENCY_TTL", "24"),
        ("IDEMPOTENCY_TTL", "0s"),
        ("IDEMPOTENCY_TTL", "-1s"),
        ("IDEMPOTENCY_TTL", "+1s"),
        ("IDEMPOTENCY_TTL", "366d"),
        ("IDEMPOTENCY_TTL", "9999999999d"),
        ("IDEMPOTENCY_TTL", "1ä"),
        ("IDEMPOTENCY_TTL", ""),
        ("AUDIT_INGEST_TOKEN_FILE", ""),
        ("ADMIN_TOKEN_FILE", "/nowhere/token"),
    ] {
        let error = with(variable, value).expect_err(value);
        assert_eq!(error.variable, variable, "{value}");
    }
}

#[test]
fn the_refusal_of_postgresql_repeats_no_password() {
    let error = with("DATABASE_URL", "postgres://u:hunter2@h/d").expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("DATABASE_URL") && text.contains("PostgreSQL") && !text.contains("hunter2"), "{text}");
}

#[test]
fn durations_are_read_in_four_units() {
    for (text, seconds) in [("90s", 90), ("10m", 600), ("24h", 86_400), ("7d", 604_800), ("365d", 31_536_000)] {
        assert_eq!(with("IDEMPOTENCY_TTL", text).map(|s| s.idempotency_ttl.get()), Ok(seconds), "{text}");
    }
}
