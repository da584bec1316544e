//! Where records go, checked.

use crate::config::Config;
use crate::sinks::{Endpoint, Sink, Token, folder_of, foresee_file};
use std::path::{Path, PathBuf};
use url::Url;
use vestibule_plugin::units::Size;
use vestibule_plugin::{BuildErrors, KeyPath, files};
use vestibule_store::{OnDemand, Streams};

/// Largest file with a token.
const MAX_TOKEN: Size = Size(64 << 10);

/// The sinks of a configuration, without those that are wrong.
pub(crate) fn sinks(
    config: &Config,
    token: Option<&Token>,
    streams: Option<&OnDemand<dyn Streams>>,
    errors: &mut BuildErrors,
) -> Vec<Sink> {
    let mut sinks: Vec<Sink> = Vec::new();
    for (nth, text) in config.sinks.iter().enumerate() {
        let at = || KeyPath::table(["sinks", &nth.to_string()]);
        match sink(text, token, streams).and_then(|sink| ready(sink, config)) {
            Ok(sink) if sinks.contains(&sink) => {
                errors.error(at(), "this sink stands here twice", "every record would be delivered twice; remove one");
            }
            Ok(sink) => sinks.push(sink),
            Err((message, label)) => errors.error(at(), message, label),
        }
    }
    sinks
}

fn sink(text: &str, token: Option<&Token>, streams: Option<&OnDemand<dyn Streams>>) -> Result<Sink, (String, String)> {
    match text {
        "log" => return Ok(Sink::Log),
        "store" => {
            let label = "set [store] url to the Redis that all proxies share; a store in memory nobody else can read";
            let none = || ("the sink `store` needs a Redis".to_owned(), label.to_owned());
            return streams.map(|streams| Sink::Store(streams.get())).ok_or_else(none);
        }
        _ => {}
    }
    if let Some(path) = text.strip_prefix("file:") {
        return file(path).map(Sink::File).map_err(|why| cannot_write(Path::new(path), why));
    }
    if !text.starts_with("http://") && !text.starts_with("https://") {
        let label = "expected \"log\", \"file:PATH\", \"http(s)://…\" or \"store\"";
        return Err(("this is no sink".to_owned(), label.to_owned()));
    }
    Endpoint::new(text, token).map(Sink::Http).map_err(|why| ("this sink cannot be used".to_owned(), why))
}

/// Told here, with the place of the sink, as `check` never comes to what is done before serving.
fn ready(sink: Sink, config: &Config) -> Result<Sink, (String, String)> {
    match &sink {
        Sink::File(path) if config.reports => {
            foresee_file(path).map_err(|error| cannot_write(path, error.to_string()))?;
        }
        _ => {}
    }
    Ok(sink)
}

fn cannot_write(path: &Path, why: String) -> (String, String) {
    (format!("cannot write to `{}`", path.display()), why)
}

fn file(path: &str) -> Result<PathBuf, String> {
    let file = Path::new(path);
    if file.file_name().is_none() || file.is_dir() {
        return Err("expected the name of a file".to_owned());
    }
    if folder_of(file).is_dir() { Ok(file.to_owned()) } else { Err("there is no such folder".to_owned()) }
}

/// The token for http(s) sinks.
pub(crate) fn read_token(config: &Config, errors: &mut BuildErrors) -> Option<Token> {
    let (literal, path) = (&config.sink_token, &config.sink_token_file);
    let (key, token) = match (literal.is_empty(), path.is_empty()) {
        (true, true) => return None,
        (false, true) => ("sink_token", Ok(literal.clone())),
        (true, false) => ("sink_token_file", read(path)),
        (false, false) => {
            let label = "keep one of them; `sink_token_file` is the safer one";
            errors.error(KeyPath::table(["sink_token"]), "both `sink_token` and `sink_token_file` are set", label);
            return None;
        }
    };
    let token = token.and_then(|token| match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Token(token)),
        false => Err("expected ASCII without spaces".to_owned()),
    });
    token.map_err(|why| errors.error(KeyPath::table([key]), format!("`{key}` is no token"), why)).ok()
}

fn read(path: &str) -> Result<String, String> {
    let bytes = files::read(path, MAX_TOKEN)?;
    match files::without_line_end(&bytes) {
        [] => Err("this file is empty".to_owned()),
        token => files::text(token.to_vec()),
    }
}

/// A token that nobody gets, or everybody.
pub(super) fn warn(config: &Config, warnings: &mut BuildErrors) {
    let key = match (config.sink_token.is_empty(), config.sink_token_file.is_empty()) {
        (true, true) => return,
        (false, _) => "sink_token",
        (true, false) => "sink_token_file",
    };
    let urls: Vec<(usize, Url)> =
        config.sinks.iter().enumerate().filter_map(|(nth, text)| Some((nth, Url::parse(text).ok()?))).collect();
    if !urls.iter().any(|(_, url)| matches!(url.scheme(), "http" | "https")) {
        warnings.error(KeyPath::table([key]), "nobody gets this token", "it is for sinks that are http(s) addresses");
    }
    for (nth, url) in urls {
        let near =
            url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
        if url.scheme() == "http" && !near {
            let label = "everybody on the way can read it; use https";
            warnings.error(KeyPath::table(["sinks", &nth.to_string()]), "the token is sent in the clear", label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_could_not_be_written_is_told_in_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        // Root may write anywhere, but no file system takes such a name.
        let path = folder.path().join("x".repeat(300)).display().to_string();
        let told = |reports| {
            let config = Config { reports, sinks: vec!["log".to_owned(), format!("file:{path}")], ..Config::default() };
            let mut errors = BuildErrors::default();
            sinks(&config, None, None, &mut errors);
            errors.into_errors()
        };
        let [error] = &*told(true) else { panic!("{:?}", told(true)) };
        assert_eq!(error.at, KeyPath::table(["sinks", "1"]));
        assert_eq!(error.message, format!("cannot write to `{path}`"));
        assert_eq!(told(false), [], "nothing is written while no reports are collected");
    }
}
