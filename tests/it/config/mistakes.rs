//! What is said about a file that is wrong.

use super::{holding, vestibule};

/// The example of the contract, to the byte.
#[tokio::test]
async fn a_mistake_is_shown_with_its_line_and_the_nearest_name() {
    let head = "[rate_limit.policies.login]\nlimit = \"5/15min\"\n\n[[routes]]\nname = \"login\"\npath = \"/login\"\n";
    let filler = "#\n".repeat(40 - head.lines().count());
    let dir = holding(&format!("{head}{filler}rate_limit = [\"logn\"]\n"));
    let ran = vestibule(dir.path(), &["check"]).await;
    let expected = "\
error: unknown policy `logn`
  --> vestibule.toml:41:15
   |
41 | rate_limit = [\"logn\"]
   |               ^^^^^^ no [rate_limit.policies.logn]; did you mean `login`?

vestibule.toml: 1 error
";
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.as_str()), (Some(1), expected, ""));
}

#[tokio::test]
async fn all_mistakes_are_told_in_one_run_in_the_order_of_the_file() {
    let dir = holding(
        "[server]\nlistn = 1\nheader_timeout = \"0s\"\n[upstream]\nurl = \"ftp://h\"\n[waf]\n[log]\nformat = \"yaml\"\n\
         [[routes]]\nname = \"a\"\npath = \"a\"\n[[routes]]\nname = \"a\"\npath = \"/a\"\n",
    );
    let ran = vestibule(dir.path(), &["check"]).await;
    let places: Vec<&str> = ran.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("--> ")).collect();
    let expected = ["2:1", "3:18", "5:7", "6:2", "8:10", "11:8", "13:8"].map(|at| format!("vestibule.toml:{at}"));
    assert_eq!(places, expected, "{}", ran.stderr);
    assert!(ran.stderr.ends_with("\nvestibule.toml: 7 errors\n"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_plugin_that_does_not_exist_is_told_with_those_that_do() {
    let dir = holding("[rate_limits]\n");
    let ran = vestibule(dir.path(), &["check"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("did you mean"), "{}", ran.stderr);
    let dir = holding("[teapot]\n");
    let ran = vestibule(dir.path(), &["check"]).await;
    assert!(ran.stderr.starts_with("error: no plugin `teapot`\n --> vestibule.toml:1:2\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the plugins are `trace`, `metrics`,"), "{}", ran.stderr);
    for plugin in ["trace", "metrics", "rate_limit", "etag"] {
        assert!(ran.stderr.contains(&format!("`{plugin}`")), "{}", ran.stderr);
    }
}

/// SEC-19: neither a diagnostic nor the effective configuration shows a secret.
#[tokio::test]
async fn no_secret_is_shown() {
    const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let dir = holding(&format!("[server]\nadmin_token = \"{SECRET}\"\n"));
    let printed = vestibule(dir.path(), &["check", "--print"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stdout.contains("admin_token = \"***\""), "{}", printed.stdout);
    assert!(!printed.stdout.contains("hunter2") && !printed.stderr.contains("hunter2"));

    let dir = holding(&format!("server = {{ admin_token = \"{SECRET}\", listn = 1 }}\n"));
    let refused = vestibule(dir.path(), &["check"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("admin_token = \"***\""), "{}", refused.stderr);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
}

/// SEC-20, SEC-21: what would be unsafe does not load.
#[tokio::test]
async fn what_would_be_unsafe_does_not_load() {
    for (toml, told) in [
        ("[server]\nadmin = \"0.0.0.0:9901\"\n", "admin_token"),
        ("[upstream]\nurl = \"https://10.0.0.1\"\n", "needs `server_name`"),
        ("[upstream]\nurl = \"https://a.example\"\nserver_name = \"10.0.0.1\"\n", "cannot be an IP address"),
        ("[upstream]\nurl = \"http://user:hunter2@127.0.0.1:8000\"\n", "error:"),
        ("[server]\nmethods = [\"GET\", \"TRACE\"]\n", "TRACE"),
        ("[server]\nmethods = [\"CONNECT\"]\n", "CONNECT"),
        (
            "[server]\nlisten = \"127.0.0.1:8123\"\n[upstream]\nurl = \"http://127.0.0.1:8123\"\n",
            "the upstream is this proxy itself",
        ),
    ] {
        let dir = holding(toml);
        let ran = vestibule(dir.path(), &["check"]).await;
        assert_eq!(ran.code, Some(1), "{toml}");
        assert!(ran.stderr.contains(told) && !ran.stderr.contains("hunter2"), "{toml}\n{}", ran.stderr);
    }
}
