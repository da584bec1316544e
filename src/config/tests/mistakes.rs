//! Mistakes in the file, and what is said about each.

use super::{error, errors, invalid, invalid_with};

/// A line of a table of cases: a file with one mistake, and what is said about it.
fn say(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(error(text), *expected, "in {text}");
    }
}

#[test]
fn a_diagnostic_has_the_shape_of_a_compilers() {
    let text = "[rate_limit]\n[rate_limit.policies.login]\nlimit = \"5/15min\"\n\n[[routes]]\nname = \"a\"\npath = \"/a\"\n\n\nrate_limit = [\"logn\"]\n";
    let expected = "\
error: unknown policy `logn`
  --> v.toml:10:15
   |
10 | rate_limit = [\"logn\"]
   |               ^^^^^^ no [rate_limit.policies.logn]; did you mean `login`?

";
    assert_eq!(invalid(text), expected);
}

#[test]
fn every_error_is_told_in_one_run_in_the_order_of_the_file() {
    let text = "\
[server]
listn = \"0.0.0.0:80\"
ipv6_prefix = 0
header_timeout = \"0s\"
via = \"${VIA}\"

[waf]
mode = \"required\"

[upstream]
url = \"https://10.0.0.1\"

[rate_limit]
headers = \"iets\"

[etag]
max_body = \"0\"

[[routes]]
name = \"a\"
path = \"/a\"
etag = { strength = \"wek\" }

[[routes]]
name = \"a\"
path = \"b\"
";
    let expected = "\
error: unknown key `listn`
 --> v.toml:2:1
  |
2 | listn = \"***\"
  | ^^^^^ [server] has no `listn`; did you mean `listen`?

error: `ipv6_prefix` cannot be 0
 --> v.toml:3:15
  |
3 | ipv6_prefix = 0
  |               ^ expected 1 to 128

error: `header_timeout` cannot be 0ms
 --> v.toml:4:18
  |
4 | header_timeout = \"0s\"
  |                  ^^^^ expected at least 10ms

error: the environment variable `VIA` is not set
 --> v.toml:5:7
  |
5 | via = \"${VIA}\"
  |       ^^^^^^^^ set it, or write `${VIA:-fallback}`

error: no plugin `waf`
 --> v.toml:7:2
  |
7 | [waf]
  |  ^^^ the plugins are `trace`, `metrics`, `audit`, `auth`, `rate_limit`, `csp`, `idempotency` and `etag`

error: an https upstream given as an IP address needs `server_name`
  --> v.toml:11:7
   |
11 | url = \"https://10.0.0.1\"
   |       ^^^^^^^^^^^^^^^^^^ set `server_name` to the DNS name in its certificate

error: unknown value `iets` for `headers`
  --> v.toml:14:11
   |
14 | headers = \"iets\"
   |           ^^^^^^ expected `ietf`, `github`, `both` or `off`; did you mean `ietf`?

error: `max_body` cannot be 0
  --> v.toml:17:12
   |
17 | max_body = \"0\"
   |            ^^^ expected 1 byte to 64MiB; to tag nothing on a route, write `etag = false` there

error: unknown value `wek` for `strength`
  --> v.toml:22:21
   |
22 | etag = { strength = \"wek\" }
   |                     ^^^^^ expected `weak` or `strong`; did you mean `weak`?

error: there are two routes named `a`
  --> v.toml:25:8
   |
25 | name = \"a\"
   |        ^^^ names of routes are unique

error: `b` is no path of a route
  --> v.toml:26:8
   |
26 | path = \"b\"
   |        ^^^ a path starts with `/`

";
    assert_eq!(invalid(text), expected);
}

#[test]
fn names_that_do_not_exist() {
    say(&[
        ("[servr]", "1:2 unknown table `servr`; no [servr]; did you mean [server]?"),
        (
            "[waf]",
            "1:2 no plugin `waf`; the plugins are `trace`, `metrics`, `audit`, `auth`, `rate_limit`, `csp`, `idempotency` and `etag`",
        ),
        ("watch = true", "1:1 unknown key `watch`; `watch` belongs below [server]"),
        ("x = 1", "1:1 unknown key `x`; every key belongs below a table such as [server]"),
        ("[log]\nlevl = 1", "2:1 unknown key `levl`; [log] has no `levl`; did you mean `level`?"),
        (
            "[log]\nfile = 1",
            "2:1 unknown key `file`; [log] has no `file`; its keys are `format`, `level`, `access` and `client`",
        ),
        (
            "[server]\ntls = { cert = \"\" }",
            "2:9 unknown key `cert`; [server.tls] has no `cert`; its keys are `cert_file` and `key_file`",
        ),
        ("[store]\nnamspace = 1", "2:1 unknown key `namspace`; [store] has no `namspace`; did you mean `namespace`?"),
        ("[etag]\nmax_bdy = 1", "2:1 unknown key `max_bdy`; [etag] has no `max_bdy`; did you mean `max_body`?"),
    ]);
}

#[test]
fn values_of_another_type() {
    say(&[
        ("[server]\nlisten = 8080", "2:10 wrong type for `listen`; expected a string or a list, found an integer"),
        ("[server]\nlisten = [\"[::1]:80\", 80]", "2:23 wrong type for `listen`; expected a string, found an integer"),
        ("[server]\nwatch = \"yes\"", "2:9 wrong type for `watch`; expected true or false, found a string"),
        ("[server]\nworkers = 1.5", "2:11 wrong type for `workers`; expected an integer, found a float"),
        ("[server]\nmethods = \"GET\"", "2:11 wrong type for `methods`; expected a list, found a string"),
        (
            "[upstream]\nread_timeout = 5",
            "2:16 wrong type for `read_timeout`; expected a duration such as \"10s\", found an integer",
        ),
        ("[log]\nformat = true", "2:10 wrong type for `format`; expected `json` or `text`, found true"),
        (
            "[log]\nlevel = 1979-05-27",
            "2:9 wrong type for `level`; expected `error`, `warn`, `info`, `debug` or `trace`, found a date or time",
        ),
        ("server = 5", "1:10 wrong type for `server`; expected a table, found an integer"),
        ("[routes]\nname = \"a\"", "1:1 wrong type for `routes`; expected a list; write [[routes]]"),
        ("routes = [5]", "1:11 wrong type for `routes`; expected a table, found an integer"),
        (
            "[etag]\n[[routes]]\nname = \"a\"\npath = \"/\"\netag = 5",
            "5:8 wrong type for `etag`; expected true or false or a table, found an integer",
        ),
    ]);
}

#[test]
fn values_that_cannot_be() {
    say(&[
        (
            "[server]\nidle_timeout = \"75\"",
            "2:16 `75` is no duration; expected a duration such as \"250ms\", \"10s\", \"15m\", \"24h\" or \"7d\"",
        ),
        (
            "[server]\nmax_header_bytes = \"64KB\"",
            "2:20 `64KB` is no size; expected a size such as \"64KiB\", \"10MiB\" or \"1GiB\"",
        ),
        ("[server]\nmax_held = \"64KiB\"", "2:12 `max_held` cannot be 64KiB; expected 1MiB to 1024GiB"),
        ("[server]\nmax_header_bytes = \"0\"", "2:20 `max_header_bytes` cannot be 0; expected 1KiB to 1MiB"),
        ("[server]\nmax_body_bytes = -1", "2:18 `max_body_bytes` cannot be -1; expected at least 0"),
        ("[server]\nmax_connections = 0", "2:19 `max_connections` cannot be 0; expected 1 to 16777216"),
        ("[server]\nworkers = -1", "2:11 `workers` cannot be -1; expected 0 to 1024"),
        ("[server]\nipv6_prefix = 129", "2:15 `ipv6_prefix` cannot be 129; expected 1 to 128"),
        ("[server]\nmethods = []", "2:11 `methods` has 0 elements; expected 1 to 64 elements"),
        ("[server]\nlisten = []", "2:10 `listen` has 0 elements; expected 1 to 64 elements"),
        (
            "[server]\nvia = \"a b\"",
            "2:7 `via` is no name; expected a name such as \"vestibule\", or \"\" to send none",
        ),
        ("[upstream]\nconnect_timeout = \"0s\"", "2:19 `connect_timeout` cannot be 0ms; expected at least 10ms"),
        ("[upstream]\nhealth_interval = \"1ms\"", "2:19 `health_interval` cannot be 1ms; expected at least 100ms"),
        (
            "[upstream]\nhealth_path = \"health\"",
            "2:15 `health_path` is no path; expected a path such as \"/health\", or \"\" to probe nothing",
        ),
        ("[store]\nmemory_max = \"1KiB\"", "2:14 `memory_max` cannot be 1KiB; expected 1MiB to 64GiB"),
        (
            "[log]\nlevel = \"inf\"",
            "2:9 unknown value `inf` for `level`; expected `error`, `warn`, `info`, `debug` or `trace`; did you mean `info`?",
        ),
        ("[server]\nmax_connections = -1", "2:19 `max_connections` cannot be -1; expected 1 to 16777216"),
        (
            "[upstream]\nhealth_path = \"/health#now\"",
            "2:15 `health_path` is no path; expected a path such as \"/health\", or \"\" to probe nothing",
        ),
        (
            "[upstream]\nserver_name = \"app.example\"",
            "2:15 `server_name` is never verified; only an https upstream has a certificate; remove it, or write `https://`",
        ),
        (
            "[trace]\nresponse_header = \"Set-Cookie\"",
            "2:19 `Set-Cookie` cannot carry the trace id; expected the name of a field that has no other meaning, such as \"x-trace-id\", or \"\" for none",
        ),
        (
            "[rate_limit.policies.a]\nlimit = \"5/0s\"",
            "2:9 policy `a` has a window that is not whole seconds; the window must be at least 1s, in whole seconds",
        ),
        (
            "[rate_limit.policies.a]\nlimit = \"5/400day\"\nalgorithm = \"sliding_log\"",
            "2:9 policy `a` has a window of over 45 days; the window of a sliding log is at most 45 days",
        ),
        (
            "[rate_limit]\n[[routes]]\nname = \"a\"\npath = \"/\"\nrate_limit = [\"anonymous\", \"anonymous\"]",
            "5:28 policy `anonymous` stands here twice; remove it",
        ),
        (
            "[store]\nmemory_max = \"1MiB\"\n[rate_limit]\ncapacity = 16385",
            "4:12 a `capacity` of 16385 is more than [store] `memory_max` has room for; 1MiB holds 16384 keys of 64 bytes; lower `capacity` or raise `memory_max`",
        ),
        (
            "[[routes]]\nname = \"a\"\npath = \"/\"\netag = 5",
            "4:8 wrong type for `etag`; expected true or false or a table, found an integer",
        ),
        ("\u{feff}x = 1", "1:1 unknown key `x`; every key belongs below a table such as [server]"),
        ("\u{feff}[log]\nlevl = 1", "2:1 unknown key `levl`; [log] has no `levl`; did you mean `level`?"),
        ("[trace]\nsample = 1.5", "2:10 `sample` cannot be 1.5; expected 0 to 1"),
        ("[metrics]\nmax_series = 5", "2:14 `max_series` cannot be 5; expected at least 1000"),
        (
            "[rate_limit.policies.a]\nlimit = \"60\"",
            "2:9 `60` is no rate; expected a rate such as \"10/s\", \"60/min\", \"5/15min\", \"1000/h\" or \"50000/day\"",
        ),
    ]);
}

#[test]
fn what_is_no_toml() {
    say(&[
        ("[server", "1:8 invalid TOML; unclosed table, expected `]`"),
        ("[server]\nwatch = true\nwatch = false", "3:1 invalid TOML; duplicate key"),
        ("[log]\naccess = yes", "2:10 invalid TOML; string values must be quoted, expected literal string"),
        ("[server]\nworkers = 99999999999999999999", "2:11 invalid TOML; integer is out of range"),
    ]);
    let all = errors("[server]\nlisten = \"a\nworkers =\n");
    assert_eq!(all.len(), 2, "{all:#?}");
}

#[test]
fn variables_that_are_not_set() {
    say(&[
        (
            "[server]\nvia = \"${NOPE}\"",
            "2:7 the environment variable `NOPE` is not set; set it, or write `${NOPE:-fallback}`",
        ),
        (
            "[server]\nvia = \"${NOPE\"",
            "2:7 this names no environment variable; expected `${NAME}` or `${NAME:-fallback}`",
        ),
        (
            "[server]\nlisten = [\"${NOPE}\"]",
            "2:11 the environment variable `NOPE` is not set; set it, or write `${NOPE:-fallback}`",
        ),
    ]);
    assert!(invalid_with("[server]\nlisten = \"${A}\"", &[("A", "nowhere")]).starts_with("error: `***` is no address"));
}

#[test]
fn a_flag_is_named_instead_of_a_line() {
    use crate::config::{Colour, HostDeps, Source, load};
    let source = Source::new(None).with_upstream(Some("ftp://u:hunter2@h".into())).with_listen(Some("80".into()));
    let diagnostics = load(&source, &HostDeps::throwaway()).err().expect("invalid");
    let expected = "\
error: `80` is no address
 --> --listen
  = expected an IP address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"

error: unknown scheme of an upstream url
 --> --upstream
  = expected http, https, h2c or unix

";
    assert_eq!(diagnostics.render(Colour::Never), expected);
}

#[test]
fn a_long_value_is_cut_in_messages() {
    let told = error(&format!("[server]\nlisten = \"{}\"", "é".repeat(5000)));
    assert!(told.starts_with(&format!("2:10 `{}…` is no address; ", "é".repeat(60))), "{told}");
}

#[test]
fn the_line_of_the_first_byte_that_is_no_text_is_named() {
    use crate::config::{HostDeps, Source, load};
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, b"[log]\nlevel = \"in\xfffo\"\n").expect("written");
    let wrong = load(&Source::new(Some(file.path().to_owned())), &HostDeps::throwaway()).err().expect("invalid");
    let one = wrong.errors().next().expect("an error");
    assert_eq!((one.line, one.column, one.label.as_str()), (Some(2), Some(12), "the next byte is not UTF-8"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    use crate::config::{HostDeps, Source, load};
    let source = Source::new(Some("/nonexistent/v.toml".into()));
    let told = load(&source, &HostDeps::throwaway()).err().expect("invalid").to_string();
    assert!(told.contains("cannot read the configuration") && told.contains("/nonexistent/v.toml"), "{told}");
}

/// RL-08: everything that is wrong with limits is told in one run, each with its line.
#[test]
fn impossible_limits_are_all_told_at_once() {
    let text = "\
[rate_limit]
default_tier = \"nowhere\"
[rate_limit.policies.ten]
limit = \"10/min\"
[rate_limit.policies.zero]
limit = \"0/min\"
[rate_limit.policies.short]
limit = \"10/250ms\"
[rate_limit.policies.fast]
limit = \"2000000/s\"
[rate_limit.policies.log]
limit = \"65/min\"
algorithm = \"sliding_log\"
[[routes]]
name = \"costly\"
path = \"/costly\"
rate_limit = { policies = [\"ten\"], cost = 11 }
";
    let lines: Vec<String> =
        errors(text).iter().map(|error| error.split(':').next().unwrap_or_default().to_owned()).collect();
    for line in ["2", "6", "8", "10", "17"] {
        assert!(lines.iter().any(|found| found == line), "line {line} of {:#?}", errors(text));
    }
    assert!(lines.iter().any(|line| line == "12" || line == "13"), "{:#?}", errors(text));
}
