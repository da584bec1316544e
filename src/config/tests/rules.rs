//! What the host demands of values that are well-formed each for itself.

use super::{error, errors, try_load, valid};
use crate::config::Started;
use crate::config::settings::{ForwardingField, PathCase, Protocol, Target};
use std::fs;
use std::time::Duration;

fn said(text: &str, expected: &str) {
    assert_eq!(error(text), expected, "in {text}");
}

#[test]
fn an_empty_file_is_the_defaults() {
    let generation = valid("");
    let server = &generation.settings.server;
    assert_eq!(server.listen, ["0.0.0.0:8080".parse().expect("address")]);
    assert_eq!(server.admin, Some("127.0.0.1:9901".parse().expect("address")));
    assert!(server.workers >= 1 && server.tls.is_none() && server.admin_token.is_none());
    assert_eq!((server.max_header_bytes, server.max_body_bytes), (64 << 10, Some(10 << 20)));
    assert_eq!((server.header_timeout, server.idle_timeout), (Duration::from_secs(10), Duration::from_secs(75)));
    assert_eq!(server.methods.len(), 7);
    let target = Target::Tcp { host: "127.0.0.1".into(), port: 8000, protocol: Protocol::Http };
    assert_eq!(generation.settings.upstream.target, target);
    let on: Vec<&str> = generation.plugins.iter().map(|plugin| plugin.name).collect();
    assert_eq!(on, ["trace", "metrics"]);
    assert_eq!(&*generation.route_names, ["unmatched"]);
    assert!(generation.warnings.is_empty());
}

#[test]
fn what_is_written_arrives_in_the_settings() {
    let text = "\
[server]
listen = [\"127.0.0.1:0\", \"[::1]:0\"]
admin = \"off\"
trusted_proxies = [\"10.0.0.0/8\", \"192.0.2.1\", \"2001:db8::/32\"]
forwarding_field = \"forwarded\"
path_case = \"insensitive\"
max_body_bytes = 0
methods = [\"GET\", \"PURGE\"]
[[routes]]
name = \"slow\"
path = \"/slow/{id}\"
methods = [\"PURGE\"]
upgrade = true
upstream = { read_timeout = \"5m\" }
[[routes]]
name = \"other\"
path = \"/other\"
upstream = { url = \"h2c://[::1]:50051\" }
";
    let settings = valid(text).settings;
    assert_eq!(settings.server.listen.len(), 2);
    assert_eq!(settings.server.admin, None);
    assert_eq!(settings.server.trusted_proxies[1].to_string(), "192.0.2.1/32");
    assert_eq!(settings.server.forwarding_field, ForwardingField::Forwarded);
    assert_eq!(settings.server.path_case, PathCase::Insensitive);
    assert_eq!(settings.server.max_body_bytes, None);
    let own = settings.routes[0].upstream.as_ref().expect("its own");
    assert_eq!((own.read_timeout, &own.target), (Duration::from_secs(300), &settings.upstream.target));
    let own = settings.routes[1].upstream.as_ref().expect("its own");
    assert_eq!(own.target, Target::Tcp { host: "::1".into(), port: 50051, protocol: Protocol::H2c });
}

#[test]
fn addresses_are_addresses_and_each_is_bound_once() {
    let expected = "expected an IP address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"";
    said("[server]\nlisten = \":8080\"", &format!("2:10 `:8080` is no address; {expected}"));
    said("[server]\nadmin = \"on\"", &format!("2:9 `on` is no address; {expected}, or \"off\""));
    said(
        "[server]\nlisten = [\"127.0.0.1:80\", \"0.0.0.0:80\"]",
        "2:27 `0.0.0.0:80` cannot be listened on twice; `127.0.0.1:80` is listened on already",
    );
    said(
        "[server]\nlisten = \"0.0.0.0:9901\"",
        "1:1 the admin listener cannot be on `127.0.0.1:9901`; `listen` has `0.0.0.0:9901`",
    );
}

/// SEC-20: an admin listener on the network needs a token.
#[test]
fn admin_on_the_network_needs_a_token() {
    said(
        "[server]\nadmin = \"0.0.0.0:9901\"",
        "2:9 the admin listener on 0.0.0.0:9901 needs a token; set `admin_token_file`, or use a loopback address",
    );
    valid("[server]\nadmin = \"0.0.0.0:9901\"\nadmin_token = \"t\"");
    valid("[server]\nadmin = \"[::1]:9901\"");
}

#[test]
fn methods_are_tokens_and_never_trace_or_connect() {
    said(
        "[server]\nmethods = [\"GET\", \"TRACE\"]",
        "2:19 `TRACE` cannot be a method here; TRACE and CONNECT are never served",
    );
    said(
        "[server]\nmethods = [\"CONNECT\"]",
        "2:12 `CONNECT` cannot be a method here; TRACE and CONNECT are never served",
    );
    said("[server]\nmethods = [\"G T\"]", "2:12 `G T` is no method; expected a token such as \"GET\"");
    said("[server]\nmethods = [\"GET\", \"GET\"]", "2:19 `GET` stands here twice; remove it");
    said(
        "[server]\nmethods = [\"get\"]",
        "2:12 unknown method `get`; methods are case-sensitive (RFC 9110 section 9.1); did you mean `GET`?",
    );
    said(
        "[[routes]]\nname = \"a\"\npath = \"/\"\nmethods = [\"PURGE\"]",
        "4:12 `PURGE` is not served; add it to [server] methods",
    );
    said(
        "[[routes]]\nname = \"a\"\npath = \"/\"\nmethods = [\"TRACE\"]",
        "4:12 `TRACE` cannot be a method here; TRACE and CONNECT are never served",
    );
}

#[test]
fn trusted_proxies_are_networks() {
    said(
        "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"10.0.0.0/33\"]",
        "2:34 `10.0.0.0/33` is no network; expected an address or a CIDR such as \"10.0.0.0/8\"",
    );
}

/// SEC-21: an https upstream by address without a name is refused.
#[test]
fn https_needs_a_name_to_verify() {
    said(
        "[upstream]\nurl = \"https://[::1]\"",
        "2:7 an https upstream given as an IP address needs `server_name`; set `server_name` to the DNS name in its certificate",
    );
    said(
        "[upstream]\nurl = \"https://h\"\nserver_name = \"10.0.0.1\"",
        "3:15 `server_name` cannot be an IP address; set `server_name` to the DNS name in its certificate",
    );
    said(
        "[upstream]\nurl = \"https://h\"\nserver_name = \"a b\"",
        "3:15 `a b` cannot be verified; expected a DNS name, the one in the certificate",
    );
    let upstream = valid("[upstream]\nurl = \"https://app.example\"").settings.upstream;
    assert_eq!(upstream.server_name, "app.example");
    let upstream = valid("[upstream]\nurl = \"https://10.0.0.1\"\nserver_name = \"app\"").settings.upstream;
    assert_eq!(upstream.server_name, "app");
}

#[test]
fn the_name_of_one_host_is_not_asked_of_another() {
    let text = "\
[upstream]
url = \"https://10.0.0.1\"
server_name = \"a.example\"
[[routes]]
name = \"b\"
path = \"/b\"
upstream = { url = \"https://b.example\" }
[[routes]]
name = \"c\"
path = \"/c\"
upstream = { read_timeout = \"1s\" }
";
    let routes = valid(text).settings.routes;
    let names = routes.iter().map(|route| route.upstream.as_ref().map(|own| own.server_name.as_str()));
    assert_eq!(names.collect::<Vec<_>>(), [Some("b.example"), Some("a.example")]);
}

#[test]
fn an_upstream_is_never_this_proxy() {
    said(
        "[upstream]\nurl = \"http://localhost:8080\"",
        "2:7 the upstream is this proxy itself; [server] listen is `0.0.0.0:8080`; name the application's address",
    );
    said(
        "[[routes]]\nname = \"a\"\npath = \"/\"\nupstream = { url = \"http://127.0.0.1:9901\" }",
        "4:20 the upstream is this proxy itself; [server] admin is `127.0.0.1:9901`; name the application's address",
    );
    valid("[server]\nlisten = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://127.0.0.1:8080\"");
}

#[test]
fn upstream_urls_are_plain() {
    said(
        "[upstream]\nurl = \"http://h/base\"",
        "2:7 an upstream url has no path, query or fragment; paths are passed on as they come; remove what follows the host and port",
    );
    said(
        "[upstream]\nurl = \"htp://h\"",
        "2:7 unknown scheme of an upstream url; expected http, https, h2c or unix; did you mean `http`?",
    );
}

#[test]
fn a_store_is_memory_or_a_redis_with_a_secret() {
    const EXPECTED: &str = "expected \"memory:\", redis://, rediss://, redis+cluster:// or redis+sentinel://";
    for (url, why) in [
        ("disk:", "`disk:` is no store: there is no scheme such as redis://"),
        ("http://h", "`http://h` is no store: the scheme http is not redis or rediss"),
        ("redis://u:pw@h:0", "`redis://***@h:0` is no store: the port of h is not a number from 1 to 65535"),
    ] {
        said(&format!("[store]\nurl = \"{url}\"\nsecret = \"s\""), &format!("2:7 {why}; {EXPECTED}"));
    }
    said(
        "[store]\nurl = \"redis://h\"",
        "2:7 a Redis without `secret_file`; expected a secret: every proxy of the fleet has to find the same names",
    );
    let lost = error("[store]\nurl = \"redis://h\"\nsecret_file = \"/nowhere/secret\"");
    assert!(lost.starts_with("3:15 cannot use `/nowhere/secret`; "), "{lost}");
    said(
        "[store]\nca_file = \"ca.pem\"",
        "2:11 `ca_file` is never used; only a Redis over TLS has a certificate; remove it, or write `rediss://`",
    );
    said(
        "[store]\nnamespace = \"a:b\"",
        "2:13 `a:b` cannot stand in front of names; expected 1 to 64 of A-Z a-z 0-9 . _ -",
    );
    said("[store]\ntimeout = \"1ms\"", "2:11 `timeout` cannot be 1ms; expected 10ms to 10s");
}

#[test]
fn names_of_routes_are_unique_and_fit_a_label() {
    let routes = |a: &str, b: &str| {
        format!("[[routes]]\nname = \"{a}\"\npath = \"/a\"\n[[routes]]\nname = \"{b}\"\npath = \"/b\"\n")
    };
    said(&routes("a", "a"), "5:8 there are two routes named `a`; names of routes are unique");
    said(&routes("a", "A"), "5:8 `A` is no name of a route; expected 1 to 64 of a-z, 0-9, `_` and `-`");
    said(&routes("unmatched", "b"), "2:8 a route cannot be named `unmatched`; that is a request that matches no entry");
    assert_eq!(&*valid(&routes("b-1", "a_2")).route_names, ["unmatched", "b-1", "a_2"]);
}

#[test]
fn two_entries_never_match_the_same_requests() {
    let routes = |head: &str, a: &str, b: &str| {
        format!("{head}[[routes]]\nname = \"a\"\npath = \"{a}\"\n[[routes]]\nname = \"b\"\npath = \"{b}\"\n")
    };
    let twice = "both are for any method; name different `methods`, or remove one";
    said(&routes("", "/x", "/x"), &format!("6:8 `/x` has the path of route `a`; {twice}"));
    said(&routes("", "/{id}", "/{name}"), &format!("6:8 `/{{name}}` has the path of route `a`; {twice}"));
    said(
        &routes("[server]\npath_case = \"insensitive\"\n", "/x", "/X"),
        "8:8 `/X` has the path of route `a`; both are for any method; paths are folded",
    );
    valid(&routes("", "/x", "/X"));
    valid(&routes("", "/x", "/x\"\nmethods = [\"GET\"]\n#\""));
    said(
        &routes("", "/x\"\nmethods = [\"GET\", \"PUT\"]\n#\"", "/x\"\nmethods = [\"PUT\"]\n#\""),
        "8:8 `/x` has the path of route `a`; both are for PUT",
    );
}

#[test]
fn specific_and_general_paths_live_together() {
    let paths = ["/", "/{*rest}", "/api/{*rest}", "/api/users/{id}", "/api/users/me", "/api/users/{id}/posts", "/api/"];
    let entries: String = paths
        .iter()
        .enumerate()
        .map(|(index, path)| format!("[[routes]]\nname = \"r{index}\"\npath = \"{path}\"\n"))
        .collect();
    assert_eq!(valid(&entries).settings.routes.len(), paths.len());
}

#[test]
fn paths_that_never_match_are_refused() {
    said(
        "[[routes]]\nname = \"a\"\npath = \"/a%20b\"",
        "3:8 `/a%20b` is no path of a route; `%` cannot stand in a path; a path that needs it is matched by `{name}` or `{*name}`",
    );
    said(
        "[[routes]]\nname = \"a\"\npath = \"/{*rest}/x\"",
        "3:8 `/{*rest}/x` is no path of a route; `{*name}` is the end of a path",
    );
}

#[test]
fn a_key_for_a_plugin_that_is_off_is_an_error() {
    let route = "[[routes]]\nname = \"a\"\npath = \"/\"\n";
    said(&format!("{route}etag = true"), "4:8 `etag` is off; it is on when the file has a table [etag]");
    valid(&format!("{route}etag = false"));
    valid(&format!("{route}etag = true\n[etag]"));
}

#[test]
fn the_command_line_overrides_the_file() {
    use crate::config::{HostDeps, load};
    let (_file, source) = super::source("[server]\nlisten = \"bad\"\n[upstream]\nurl = \"bad\"\n", &[]);
    let source = source.with_upstream(Some("http://127.0.0.1:3000".into())).with_listen(Some("127.0.0.1:0".into()));
    let settings = load(&source, &HostDeps::throwaway()).map_err(|d| d.to_string()).expect("valid").settings;
    assert_eq!(settings.server.listen, ["127.0.0.1:0".parse().expect("address")]);
    assert_eq!(settings.upstream.url, "http://127.0.0.1:3000");
}

#[test]
fn variables_are_filled_in() {
    let text = "[server]\nlisten = \"127.0.0.1:${PORT:-0}\"\nvia = \"${NAME}-1\"\n";
    let settings = try_load(text, &[("NAME", "edge")]).map_err(|d| d.to_string()).expect("valid").settings;
    assert_eq!((settings.server.via.as_str(), settings.server.listen[0].port()), ("edge-1", 0));
}

#[test]
fn tls_is_both_files_and_they_belong_together() {
    let directory = tempfile::tempdir().expect("directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let (ours, theirs) = (issue(), issue());
    let cert = write("cert.pem", &ours.cert.pem());
    let key = write("key.pem", &ours.signing_key.serialize_pem());
    let other = write("other.pem", &theirs.signing_key.serialize_pem());
    let junk = write("junk.pem", "junk");
    let file = |cert: &str, key: &str| format!("[server]\ntls = {{ cert_file = \"{cert}\", key_file = \"{key}\" }}");

    assert!(valid(&file(&cert, &key)).settings.server.tls.is_some());
    assert!(error(&file(&cert, "")).contains("`tls` lacks `key_file`; set both or neither"));
    assert!(error(&file("", &key)).contains("`tls` lacks `cert_file`; set both or neither"));
    assert!(error(&file(&cert, &other)).contains("is not the key of"));
    assert!(error(&file(&junk, &key)).contains("holds no certificate"));
    assert!(error(&file(&cert, &junk)).contains("holds no private key"));
    assert_eq!(errors(&file("/nonexistent/a", "/nonexistent/b")).len(), 2);

    let ca = |path: &str| format!("[upstream]\nurl = \"https://h\"\nca_file = \"{path}\"");
    assert!(valid(&ca(&cert)).settings.upstream.authorities.is_some());
    assert!(error(&ca(&junk)).contains("3:11") && error(&ca(&junk)).contains("holds no certificate"));
}

#[test]
fn keys_that_need_a_restart_are_named() {
    let before = valid("[upstream]\nidle_connections = 5");
    let started = Started::new(&before);
    let changed = "[server]\nlisten = \"0.0.0.0:81\"\nadmin = \"off\"\nworkers = 999\nvia = \"x\"";
    let pending = ["server.listen", "server.admin", "server.workers", "upstream.idle_connections"];
    // Each reload that still wants them names them again, and what serves is what is shown.
    for _ in 0..2 {
        let mut after = valid(changed);
        assert_eq!(started.hold(&mut after), pending);
        assert_eq!(after.settings.server.listen, before.settings.server.listen);
        assert_eq!(after.settings.upstream, before.settings.upstream);
        assert_eq!(after.effective, before.effective.replace("via = \"vestibule\"", "via = \"x\""));
    }
    let mut back = valid("[upstream]\nidle_connections = 5");
    assert!(started.hold(&mut back).is_empty());
}
