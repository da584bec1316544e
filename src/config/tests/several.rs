//! More than one mistake: each is told, and nothing that only follows from another.

use super::errors;

/// All that is said about a file, without places.
fn told(text: &str) -> Vec<String> {
    let only_message = |line: String| {
        let message = line.split_once(' ').map_or("", |(_, rest)| rest);
        message.split_once("; ").map_or(message, |(message, _)| message).to_owned()
    };
    errors(text).into_iter().map(only_message).collect()
}

#[test]
fn a_slip_in_a_plugins_table_hides_nothing_else_of_that_plugin() {
    let text = "\
[rate_limit]
headers = \"iets\"
capacity = 0
[rate_limit.policies.login]
limit = \"5/15min\"
cost = 6
[[routes]]
name = \"a\"
path = \"/a\"
rate_limit = [\"logn\"]
";
    let expected = [
        "unknown value `iets` for `headers`",
        "a capacity of 0 is out of bounds",
        "a request costs 6 under policy `login`",
        "unknown policy `logn`",
    ];
    assert_eq!(told(text), expected);
}

/// What stands in for a refused key is a default, and nobody meant that.
#[test]
fn nothing_is_blamed_on_a_key_that_was_refused() {
    let route =
        "[[routes]]\nname = \"a\"\npath = \"/a\"\nrate_limit = { policies = [\"login\"], tiers = false, cost = 70 }\n";
    for (policy, expected) in [
        ("[rate_limit.policies.login]\nlimit = \"many\"\ncost = 90\n", "`many` is no rate"),
        ("[rate_limit.policies.login]\nlimt = \"100/min\"\n", "unknown key `limt`"),
        ("[rate_limit.policies]\nlogin = 5\n", "wrong type for `login`"),
        ("[rate_limit]\npolicies = 5\n", "wrong type for `policies`"),
        ("[rate_limit.polices.login]\n", "unknown key `polices`"),
        ("[rate_limt.policies.login]\n", "unknown table `rate_limt`"),
        ("[rate_limit.policies.login]\nlimit = \"${NOPE}\"\n", "the environment variable `NOPE` is not set"),
    ] {
        assert_eq!(told(&format!("{policy}{route}")), [expected], "{policy}");
    }
    for (text, expected) in [
        ("[upstream]\nulr = \"https://a\"\nserver_name = \"b\"\n", "unknown key `ulr`"),
        ("[server]\nlisten = 8081\n[upstream]\nurl = \"http://127.0.0.1:8080\"\n", "wrong type for `listen`"),
        ("[server]\nlisten = \"0.0.0.0:8000\"\n[upstream]\nurl = \"127.0.0.1:9\"\n", "`url` is no url of an upstream"),
        (
            "[server]\nmethods = [\"GET\", \"post\"]\n[[routes]]\nname = \"a\"\npath = \"/\"\nmethods = [\"POST\"]\n",
            "unknown method `post`",
        ),
        ("[[routes]]\nnme = \"a\"\npath = \"/\"\n", "unknown key `nme`"),
        (
            "[rate_limit]\n[rate_limit.tiers]\ngold = 5\n[rate_limit.policies.a]\nlimit = \"1/s\"\n",
            "wrong type for `gold`",
        ),
    ] {
        assert_eq!(told(text), [expected], "{text}");
    }
}

#[test]
fn one_policy_tells_all_that_is_wrong_with_it() {
    let text = "[rate_limit.policies.a]\nlimit = \"0/s\"\nkey = \"nobody\"\nalgorithm = \"sliding_log\"\nburst = 5\n";
    let expected = [
        "policy `a` would refuse everything",
        "unknown key `nobody` of policy `a`",
        "policy `a` is a sliding log with a burst",
    ];
    assert_eq!(told(text), expected);
}

#[test]
fn an_element_that_is_refused_does_not_hide_its_siblings() {
    let expected = ["unknown method `get`", "wrong type for `methods`"];
    assert_eq!(told("[server]\nmethods = [\"GET\", \"get\", 5]\n"), expected);
    let route = "[rate_limit]\n[[routes]]\nname = \"a\"\npath = \"/a\"\nrate_limit = [5, \"logn\"]\n";
    assert_eq!(told(route), ["wrong type for `rate_limit`", "unknown policy `logn`"]);
    let places: Vec<_> = errors(route).iter().map(|e| e.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(places, ["5:15", "5:18"]);
}

#[test]
fn a_route_with_its_own_upstream_says_nothing_about_the_files() {
    let route = "[[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = { read_timeout = \"5s\" }\n";
    for (base, expected) in [
        ("[upstream]\nconnect_timeout = 5\n", "wrong type for `connect_timeout`"),
        ("[upstream]\nread_timeout = \"5\"\n", "`5` is no duration"),
        ("[upstream]\nconect_timeout = \"5s\"\n", "unknown key `conect_timeout`"),
        ("[upstream]\nurl = \"https://10.0.0.1\"\nserver_nme = \"a\"\n", "unknown key `server_nme`"),
    ] {
        assert_eq!(told(&format!("{base}{route}")), [expected], "{base}");
    }
}

#[test]
fn a_syntax_error_hides_only_the_table_it_stands_in() {
    let text = "\
[server]
listen = \"0.0.0.0:80
[log]
level = \"inf\"
[[routes]]
name = \"a\"
path = /a
[routes.upstream]
conect_timeout = 5
[[routes]]
name = \"b\"
pth = \"/b\"
[rate_limit.policies.a]
limit = \"60\"
";
    let expected =
        ["invalid TOML", "unknown value `inf` for `level`", "invalid TOML", "unknown key `pth`", "`60` is no rate"];
    assert_eq!(told(text), expected);
}

#[test]
fn where_sound_and_broken_cannot_be_told_apart_only_the_syntax_is_judged() {
    for text in [
        "[server]\nmethods = [\"GET\",\n[log]\nlevel = \"inf\"\n",
        "[server]\nvia = \"\"\"\n[log]\nlevel = \"inf\"\n",
        "[server\nlisten = 5\n",
        "listen = \"a\n",
    ] {
        assert!(told(text).iter().all(|message| message == "invalid TOML"), "{text}: {:#?}", told(text));
    }
}
