//! Mistakes and what is said about them.

use super::{error, errors, invalid, invalid_with};

#[test]
fn probe() {
    for text in [
        "[server]\nlistn = 5\n", "[server]\nlisten = 5\n", "[log]\nformat = \"jsn\"\n", "[auth]\nissuer = \"x\"\n", "[servr]\n", "listen = \"x\"\n", "foo = 1\n",
        "[server]\nheader_timeout = \"10\"\nmax_header_bytes = \"1MB\"\nipv6_prefix = 129\nworkers = -1\n",
        "[server]\nlisten = []\nmethods = []\n", "[server]\nlisten = [\"x\", 5]\n",
        "[server\n", "[server]\nlisten = \"a\nworkers = \n", "[server]\nwatch = true\nwatch = false\n",
        "[[routes]]\nname = \"A b\"\n", "[[routes]]\npath = \"x\"\nupstream = { idle_connections = 5, read_timeout = 5 }\nfoo = 1\n",
        "routes = 5", "[routes]\nname = \"x\"", "server = 5",
        "[upstream]\nurl = \"https://10.0.0.1\"", "[upstream]\nurl = \"http://127.0.0.1:8080\"",
        "[server]\ntls = { cert_file = \"x\" }\n", "[server]\nadmin_token_file = \"/nonexistent\"\nadmin = \"0.0.0.0:9\"",
        "[etag]\nmax_body = \"0\"\n[[routes]]\nname=\"a\"\npath=\"/a\"\netag = { stength = \"weak\" }\n[[routes]]\nname=\"b\"\npath=\"/b\"\netag = 5",
        "[[routes]]\nname=\"a\"\npath=\"/a\"\nrate_limit = [\"login\"]\n",
        "[rate_limit]\n[rate_limit.policies.login]\nlimit = \"5/15min\"\n[[routes]]\nname=\"a\"\npath=\"/a\"\nrate_limit = [\"logn\"]\n",
        "[server]\nlisten = \"${NOPE}\"\nvia = \"${\"",
    ] {
        println!("=== {text}\n{}", invalid(text));
    }
}
