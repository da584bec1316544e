//! From the tables of the file to what runs, or everything that is wrong with them.

mod files;
pub(crate) mod tables;

use crate::algorithm::Algorithm;
use crate::api_keys::ApiKeys;
use crate::claims::Rules;
use crate::config::{Config, Route};
use crate::door::Door;
use crate::jwk::{self, KeySet, Skipped};
use crate::key::Material;
use crate::metrics::Metrics;
use crate::remote::Terms;
use crate::shared::{Shared, Source};
use crate::verify::Verifier;
use files::{read, shown_errors};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use vestibule_plugin::files::without_line_end;
use vestibule_plugin::{BuildErrors, Deps, KeyPath, Routes};

/// Builds a configuration.
pub(crate) fn build(config: Config, routes: &Routes<Route>, deps: &Deps) -> Result<Shared, BuildErrors> {
    let mut errors = BuildErrors::default();
    let algorithms = tables::algorithms(&config, &mut errors);
    tables::check_times(&config, &mut errors);
    let told = tables::told(&config, &mut errors);
    let api_key_field = tables::api_key_field(&config, &mut errors);
    let limit = tables::failure_limit(&config, &mut errors);
    let source = source(&config, &algorithms, &mut errors);
    let api_keys = api_keys(&config, &mut errors);
    let doors: Vec<Door> = routes.table(|entry| tables::door(&config, entry.and_then(|entry| entry.key.as_ref())));
    tables::check_needs(&config, routes, &mut errors);
    let files = files::named(&config).map(PathBuf::from).collect();
    errors.or(|| {
        let verifier = Verifier {
            algorithms,
            rules: Rules {
                issuer: Some(config.issuer.clone()).filter(|issuer| !issuer.is_empty()),
                audience: config.audience.clone(),
                leeway: config.leeway.0,
                max_lifetime: Some(config.max_lifetime.0).filter(|most| !most.is_zero()),
            },
            told,
        };
        Shared {
            clock: Arc::clone(&deps.clock),
            metrics: Arc::new(Metrics::new(&deps.meter)),
            verifier,
            source,
            api_keys,
            api_key_field,
            doors,
            files,
            limit,
            learned: OnceLock::new(),
            config,
        }
    })
}

/// Where keys come from; wrong sources are named.
fn source(config: &Config, algorithms: &[Algorithm], errors: &mut BuildErrors) -> Source {
    let sources = [
        ("jwks_url", &config.jwks_url),
        ("jwks_file", &config.jwks_file),
        ("public_key_file", &config.public_key_file),
        ("secret_file", &config.secret_file),
    ];
    let mut written = sources.into_iter().filter(|(_, value)| !value.is_empty());
    let Some((key, value)) = written.next() else { return Source::None };
    for (other, _) in written {
        errors.error(
            KeyPath::table([other]),
            format!("`{other}` stands beside `{key}`"),
            "keys come from one place; remove one of them",
        );
    }
    let symmetric = algorithms.contains(&Algorithm::Hs256);
    if symmetric && key != "secret_file" {
        errors.error(
            KeyPath::table(["algorithms"]),
            "HS256 without `secret_file`",
            "it is verified with a shared secret",
        );
    } else if !symmetric && key == "secret_file" {
        let label = "expected algorithms = [\"HS256\"]; a secret verifies nothing else";
        errors.error(KeyPath::table(["secret_file"]), "`secret_file` without HS256", label);
    }
    let at = || KeyPath::table([key]);
    let fixed = |read: Result<KeySet, String>, errors: &mut BuildErrors| match read {
        Ok(set) => Source::Fixed(Arc::new(set)),
        Err(why) => {
            errors.error(at(), format!("cannot use `{value}`"), why);
            Source::None
        }
    };
    match key {
        "jwks_url" => remote(config, errors),
        "jwks_file" => fixed(read(value).and_then(|text| Ok(jwk::read_set(&text)?.set)), errors),
        "public_key_file" => fixed(read(value).and_then(|text| jwk::read_pem(&text)).map(KeySet::of), errors),
        _ => fixed(read(value).and_then(|text| secret(&text)).map(KeySet::of), errors),
    }
}

fn secret(text: &[u8]) -> Result<Material, String> {
    Material::secret(without_line_end(text)).map_err(str::to_owned)
}

fn remote(config: &Config, errors: &mut BuildErrors) -> Source {
    if let Err(why) = tables::check_url(&config.jwks_url) {
        errors.error(KeyPath::table(["jwks_url"]), "`jwks_url` cannot be fetched", why);
    }
    let mut authorities = None;
    if !config.jwks_ca_file.is_empty() {
        match read(&config.jwks_ca_file).and_then(|pem| vestibule_outbound::authorities(&pem)) {
            Ok(own) => authorities = Some(own),
            Err(why) => {
                let path = &config.jwks_ca_file;
                errors.error(KeyPath::table(["jwks_ca_file"]), format!("cannot use `{path}`"), why);
            }
        }
    }
    Source::Remote(Terms {
        url: config.jwks_url.clone(),
        refresh: config.jwks_refresh.0,
        cooldown: config.jwks_cooldown.0,
        timeout: config.jwks_timeout.0,
        max_stale: config.jwks_max_stale.0,
        authorities,
    })
}

fn api_keys(config: &Config, errors: &mut BuildErrors) -> Option<ApiKeys> {
    let path = Some(&config.api_keys_file).filter(|path| !path.is_empty())?;
    let read = files::read_text(path).map_err(|why| vec![why]).and_then(|text| ApiKeys::read(&text));
    match read {
        Ok(keys) => Some(keys),
        Err(wrong) => {
            for why in shown_errors(wrong) {
                errors.error(KeyPath::table(["api_keys_file"]), format!("cannot use `{path}`"), why);
            }
            None
        }
    }
}

/// What is valid but probably not meant.
pub(crate) fn warnings(config: &Config) -> BuildErrors {
    let mut warnings = BuildErrors::default();
    let verifies = tables::has_source(config);
    if verifies && config.issuer.is_empty() {
        warnings.error(
            KeyPath::table(["issuer"]),
            "`issuer` is empty",
            "`iss` is not checked: a token of anybody with these keys is good",
        );
    }
    if verifies && config.audience.is_empty() {
        warnings.error(
            KeyPath::table(["audience"]),
            "`audience` is empty",
            "`aud` is not checked: a token made for another application is good",
        );
    }
    if config.jwks_url.starts_with("http://") && !tables::is_loopback(&config.jwks_url) {
        warnings.error(
            KeyPath::table(["jwks_url"]),
            "`jwks_url` is fetched without TLS",
            "whoever sits in between chooses the keys; expected https://",
        );
    }
    files::warn(config, &mut warnings);
    for why in shown_errors(left_out(&config.jwks_file)) {
        let message = format!("`{}` is not used as a whole", config.jwks_file);
        warnings.error(KeyPath::table(["jwks_file"]), message, why);
    }
    warnings
}

/// The keys of a set in a file that are not used; a file that cannot be used at all is an error elsewhere.
fn left_out(path: &str) -> Vec<String> {
    if path.is_empty() {
        return Vec::new();
    }
    let skipped = read(path).and_then(|text| jwk::read_set(&text)).map(|set| set.skipped).unwrap_or_default();
    let told = skipped.into_iter().map(|Skipped { key_id, why, is_private }| {
        let secret = if is_private { ", and is no secret any more where others read this file" } else { "" };
        format!("the key `{key_id}` is left out: {why}{secret}")
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edge removes a client's `x_api_key` as the twin of `x-api-key`, so that no key in it would ever be good.
    #[test]
    fn an_api_key_field_that_never_arrives_is_refused() {
        let field = |name: &str| {
            let (config, mut errors) =
                (Config { api_key_header: name.into(), ..Config::default() }, BuildErrors::default());
            tables::api_key_field(&config, &mut errors);
            errors.into_errors().into_iter().map(|error| error.message).collect::<Vec<_>>()
        };
        assert_eq!(field("x_api_key"), ["`x_api_key` cannot hold an API key"]);
        assert!(field("x-api-key").is_empty());
    }

    /// An Ed25519 key of RFC 8037 appendix A, with and without its private half, and one of a kind that is not in use.
    #[test]
    fn keys_of_a_file_that_are_not_used_are_warned_of() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let public = "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"";
        let private = "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"";
        let set = format!(
            "{{\"keys\":[{{\"kid\":\"a\",{public}}},{{\"kid\":\"b\",{public},{private}}},{{\"kid\":\"c\",\"kty\":\"EC\"}}]}}"
        );
        std::fs::write(file.path(), set).expect("it is written");
        let jwks_file = file.path().display().to_string();
        let config = Config { jwks_file, issuer: "i".into(), audience: vec!["a".into()], ..Config::default() };
        let labels: Vec<String> = warnings(&config).into_errors().into_iter().map(|warning| warning.label).collect();
        let private =
            "the key `b` is left out: it holds private members, and is no secret any more where others read this file";
        assert_eq!(labels, [private, "the key `c` is left out: its `kty` or `crv` is not in use"]);
    }
}
