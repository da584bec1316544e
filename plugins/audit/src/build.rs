//! From the table to what runs by it.

use crate::config::{Config, Route};
use crate::deliver::Wanted;
use crate::deliver::spec::{SinkSpec, names};
use crate::deliver::target::{Means, Target};
use crate::log::Terms;
use crate::log::dir::exposed;
use crate::metrics::Metrics;
use crate::redact::Redactor;
use crate::shared::{Plan, Shared};
use crate::template::{PathTemplate, Template};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use vestibule_chain::SigningKey;
use vestibule_plugin::units::{Size, Span};
use vestibule_plugin::{BuildErrors, Deps, KeyPath, RouteEntry, Routes, files};
use vestibule_store::{OnDemand, Streams};

/// Largest token or key file.
const MOST: Size = Size(64 << 10);
/// Range of `timeout`: below it a healthy disk is too slow, above it clients have left.
const TIMEOUT: (Span, Span) = (Span(Duration::from_millis(10)), Span(Duration::from_secs(60)));
/// Range of `checkpoint`.
const CHECKPOINT: (Span, Span) = (Span(Duration::from_secs(1)), Span(Duration::from_secs(3600)));
/// Range of `rotate_bytes`: below it a segment is little more than its head, above it recovery reads for minutes.
const ROTATE: (Size, Size) = (Size(64 << 10), Size(16 << 30));
/// Least `keep`.
const KEEP: Span = Span(Duration::from_secs(1));

/// Builds what exchanges share, or says everything that is wrong.
pub(crate) fn build(
    config: &Config,
    routes: &Routes<Route>,
    streams: Option<OnDemand<dyn Streams>>,
    deps: &Deps,
) -> Result<Shared, BuildErrors> {
    let mut errors = BuildErrors::default();
    ranges(config, &mut errors);
    directory(config, &mut errors);
    let redactor = redactor(config, &mut errors);
    let token = token(config, &mut errors);
    let sign_key = sign_key(config, &mut errors);
    let wanted = sinks(config, token.as_deref(), streams, deps, &mut errors);
    let plans = routes.table(|entry| entry.and_then(|entry| plan(entry, &mut errors)));
    errors.or(|| Shared {
        dir: PathBuf::from(&config.dir),
        on_error: config.on_error,
        timeout: config.timeout.0,
        capture_body: config.capture_body,
        terms: Terms {
            checkpoint: config.checkpoint.0,
            rotate_bytes: config.rotate_bytes.0,
            keep: config.keep.0,
            max_bytes: config.max_bytes.0,
            sign_key,
        }
        .into(),
        sinks: wanted.iter().map(|wanted| wanted.spec.clone()).collect(),
        wanted: parking_lot::Mutex::new(wanted),
        identities: crate::identity::Identities::new(&deps.secret, config.subject),
        redactor,
        plans,
        route_names: deps.route_names.iter().map(|name| Arc::from(name.as_str())).collect(),
        clock: Arc::clone(&deps.clock),
        metrics: Metrics::new(&deps.meter),
        files: named(config).map(PathBuf::from).collect(),
        trail: OnceLock::new(),
    })
}

/// What is valid and probably not meant.
pub(crate) fn warnings(config: &Config) -> BuildErrors {
    let mut warnings = BuildErrors::default();
    if let Some((message, label)) = files::readable_by_all(&config.sink_token_file) {
        warnings.error(KeyPath::table(["sink_token_file"]), message, label);
    }
    let has_token = !(config.sink_token.is_empty() && config.sink_token_file.is_empty());
    for (at, sink) in config.sinks.iter().enumerate() {
        let is_near = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|near| sink.starts_with(near));
        if has_token && sink.starts_with("http://") && !is_near {
            let label = "the token and every event can be read on the way; use https://";
            warnings.error(at_sink(at), "a sink in clear text beyond this machine", label);
        }
    }
    warnings
}

/// Files that the table names.
fn named(config: &Config) -> impl Iterator<Item = &String> {
    [&config.sink_token_file, &config.sign_key_file].into_iter().filter(|path| !path.is_empty())
}

fn at_sink(at: usize) -> KeyPath {
    KeyPath::Table(vec!["sinks".to_owned(), at.to_string()])
}

fn ranges(config: &Config, errors: &mut BuildErrors) {
    for (key, value, (least, most)) in
        [("timeout", config.timeout, TIMEOUT), ("checkpoint", config.checkpoint, CHECKPOINT)]
    {
        if value < least || value > most {
            errors.error(KeyPath::table([key]), format!("`{key}` is {value}"), format!("expected {least} to {most}"));
        }
    }
    let (least, most) = ROTATE;
    if config.rotate_bytes < least || config.rotate_bytes > most {
        let message = format!("`rotate_bytes` is {}", config.rotate_bytes);
        errors.error(KeyPath::table(["rotate_bytes"]), message, format!("expected {least} to {most}"));
    } else if config.max_bytes.0 < 2 * config.rotate_bytes.0 {
        let message = format!("`max_bytes` is {}", config.max_bytes);
        let label = format!("expected at least {}: two segments of `rotate_bytes`", Size(2 * config.rotate_bytes.0));
        errors.error_about(KeyPath::table(["max_bytes"]), vec![KeyPath::table(["rotate_bytes"])], message, label);
    }
    if config.keep < KEEP {
        errors.error(
            KeyPath::table(["keep"]),
            format!("`keep` is {}", config.keep),
            format!("expected at least {KEEP}"),
        );
    }
}

fn directory(config: &Config, errors: &mut BuildErrors) {
    if config.dir.is_empty() {
        errors.error(KeyPath::table(["dir"]), "`dir` is empty", "expected a directory");
    } else if let Some(why) = exposed(Path::new(&config.dir)) {
        errors.error(KeyPath::table(["dir"]), format!("`{}` is not private", config.dir), why);
    }
}

fn redactor(config: &Config, errors: &mut BuildErrors) -> Redactor {
    for (at, entry) in config.redact.iter().enumerate() {
        if !entry.chars().any(char::is_alphanumeric) {
            let at = KeyPath::Table(vec!["redact".to_owned(), at.to_string()]);
            errors.error(at, format!("`{entry}` hides nothing"), "expected a name with letters or digits");
        }
    }
    Redactor::new(config.redact.iter().map(String::as_str))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    let bytes = files::read(path, MOST)?;
    if bytes.is_empty() { Err("this file is empty".to_owned()) } else { Ok(bytes) }
}

fn token(config: &Config, errors: &mut BuildErrors) -> Option<String> {
    match (config.sink_token.is_empty(), config.sink_token_file.is_empty()) {
        (true, true) => None,
        (false, true) => Some(config.sink_token.clone()),
        (false, false) => {
            let label = "keep one of them; `sink_token_file` is the safer one";
            errors.error(KeyPath::table(["sink_token"]), "both `sink_token` and `sink_token_file` are set", label);
            None
        }
        (true, false) => {
            let path = &config.sink_token_file;
            let text = read(path).and_then(|bytes| files::text(files::without_line_end(&bytes).to_vec()));
            text.map_err(|why| errors.error(KeyPath::table(["sink_token_file"]), cannot_use(path), why)).ok()
        }
    }
}

fn cannot_use(path: &str) -> String {
    format!("`{path}` cannot be used")
}

fn sign_key(config: &Config, errors: &mut BuildErrors) -> Option<SigningKey> {
    let path = &config.sign_key_file;
    if path.is_empty() {
        return None;
    }
    // Whoever reads it can rewrite the log so that nobody sees it.
    if let Some((message, label)) = files::readable_by_all(path) {
        errors.error(KeyPath::table(["sign_key_file"]), message, label);
    }
    let key = read(path).and_then(|pem| SigningKey::from_pem(&pem).map_err(|bad| bad.to_string()));
    key.map_err(|why| errors.error(KeyPath::table(["sign_key_file"]), cannot_use(path), why)).ok()
}

fn sinks(
    config: &Config,
    token: Option<&str>,
    streams: Option<OnDemand<dyn Streams>>,
    deps: &Deps,
    errors: &mut BuildErrors,
) -> Vec<Wanted> {
    let mut specs: Vec<SinkSpec> = Vec::new();
    for (at, text) in config.sinks.iter().enumerate() {
        // An address may hold a secret, so it is not repeated.
        match SinkSpec::parse(text) {
            Ok(spec) if specs.contains(&spec) => {
                errors.error(at_sink(at), "the same sink twice", "every sink gets every event once");
            }
            Ok(spec) => specs.push(spec),
            Err(label) => errors.error(at_sink(at), "this is no sink", label),
        }
    }
    let streams = specs.contains(&SinkSpec::Store).then_some(streams).flatten().map(|streams| streams.get());
    let source = format!("{}-{}", deps.store.namespace, std::process::id());
    let means = Means { token, streams: streams.as_ref(), source: &source, telemetry: &deps.telemetry };
    let make = |(spec, name): (&SinkSpec, String)| {
        let target = Target::new(spec, &means);
        let target = target.map_err(|label| {
            let at = config.sinks.iter().position(|text| SinkSpec::parse(text).as_ref() == Ok(spec)).unwrap_or(0);
            errors.error(at_sink(at), "this sink cannot be used", label);
        });
        Some(Wanted { name, spec: spec.clone(), token: token.map(str::to_owned), target: target.ok()? })
    };
    specs.iter().zip(names(&specs)).filter_map(make).collect()
}

fn plan(entry: &RouteEntry<Route>, errors: &mut BuildErrors) -> Option<Plan> {
    let key = entry.key.as_ref()?;
    let path = PathTemplate::new(&entry.path);
    let mut template = |name: &str, text: &str, default: Template| match text {
        "" => Some(default),
        text => Template::parse(text, &path)
            .map_err(|label| {
                errors.error(KeyPath::route(entry.id, [name]), format!("`{text}` cannot be filled"), label);
            })
            .ok(),
    };
    let action = template("action", &key.action, Template::action_of(&entry.name));
    let resource = template("resource", &key.resource, Template::resource_of(&entry.name));
    Some(Plan { action: action?, resource: resource?, path })
}
