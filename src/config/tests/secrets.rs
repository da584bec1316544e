//! No secret of a file is ever shown.

use super::{invalid, invalid_with, try_load, valid};
use proptest::prelude::*;
use std::fs;

const SECRET: &str = "hunter2-hunter2";

/// SEC-19: diagnostics about a line with a secret do not quote it, whatever is wrong with the line.
#[test]
fn a_diagnostic_never_quotes_a_secret() {
    for text in [
        "[server]\nadmin_token = \"S\"\nadmin_token_file = \"/x\"",
        "[server]\nadmin_tokn = \"S\"",
        "[server]\nadmin_token = [\"S\"]",
        "[server]\nadmin_token = { a = \"S\" }",
        "[server]\nadmin_token = \"S",
        "[server]\nadmin_token = S",
        "[server]\nadmin_token = \"S\"\nadmin_token = \"S\"",
        "[server]\nadmin_token = \"\"\"\nS\n\\q\"\"\"",
        "[server]\n\"admin_token\" = \"S\\q\"",
        "server = { admin_token = \"S\", listn = 1 }",
        "server = { listn = 1, admin_token = \"S\" }",
        "server = { admin_token = \"S\", listn = ",
        "admin_token = \"S\"",
        "[servr]\nadmin_token = \"S\"",
        "servr = { admin_token = \"S\" }",
        "[auth]\nsecret = \"S\"",
        "[store]\nsecret = \"S\"\nsecret_file = \"/x\"",
        "[store]\nsecret = \"${VARIABLE}\"\nsecret_file = \"/x\"",
        "[store]\nsecret = \"${UNSET}${VARIABLE:-S}\"",
        "[store]\nsecret = \"${UNSET:-S\"",
        "[store]\nurl = \"redis://:S@h:6379\"",
        "[store]\nurl = \"redis://:S/S@h:6379\"",
        "[store]\nurl = \"redis://:${VARIABLE}@h:6379\"",
        "[store]\nurl = \"redis://:S@h:6379",
        "[upstream]\nurl = \"http://u:S@h\"",
        "[upstream]\nurl = \"http://u:${VARIABLE}@h\"",
        "[upstream]\nurl = \"${VARIABLE}\"",
        "[server]\nlisten = \"${VARIABLE}\"",
        "[server]\nlisten = [\"${VARIABLE}\"]",
        "[log]\nlevel = \"${VARIABLE}\"",
        "[[routes]]\nname = \"${VARIABLE}!\"\npath = \"${VARIABLE}\"",
    ] {
        let text = text.replace('S', SECRET).replace(&format!("UN{SECRET}ET"), "UNSET");
        let told = invalid_with(&text, &[("VARIABLE", SECRET)]);
        assert!(!told.contains("hunter2"), "{text}\n{told}");
    }
}

#[test]
fn the_masked_line_is_still_underlined_in_place() {
    let expected = "\
error: unknown key `listn`
 --> v.toml:1:45
  |
1 | server = { admin_token = \"***\", listn = ***, watch = true }
  |                                 ^^^^^ [server] has no `listn`; did you mean `listen`?

";
    assert_eq!(invalid("server = { admin_token = \"hunter2-hunter2\", listn = 1, watch = true }"), expected);
}

/// SEC-19: the effective configuration shows no secret, and is a valid file.
#[test]
fn the_effective_configuration_shows_no_secret() {
    let text = format!("[server]\nadmin_token = \"{SECRET}\"\n[store]\nsecret = \"${{VARIABLE}}\"\n");
    let generation = try_load(&text, &[("VARIABLE", SECRET)]).map_err(|d| d.to_string()).expect("valid");
    assert!(!generation.effective.contains("hunter2"), "{}", generation.effective);
    assert!(generation.effective.contains("admin_token = \"***\"\n"));
    assert!(generation.effective.contains("secret = \"***\"\n"));
    valid(&generation.effective);
    assert_eq!(generation.settings.server.admin_token.expect("token").0, SECRET);
}

#[test]
fn a_secret_file_is_read_without_its_line_end() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("token");
    let text = format!("[server]\nadmin_token_file = \"{}\"", path.display());
    for (written, read) in
        [("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc"), ("abc\n\n", "abc\n"), (" abc ", " abc ")]
    {
        fs::write(&path, written).expect("written");
        assert_eq!(valid(&text).settings.server.admin_token.expect("token").0, read);
    }
    for (written, why) in
        [(String::new(), "is empty"), ("\n".to_owned(), "is empty"), ("x".repeat((64 << 10) + 1), "at most 64KiB")]
    {
        fs::write(&path, written).expect("written");
        assert!(invalid(&text).contains(why), "{}", invalid(&text));
    }
    fs::remove_file(&path).expect("removed");
    assert!(invalid(&text).contains("No such file"));
    fs::create_dir(&path).expect("created");
    assert!(invalid(&text).contains("this is no file"));
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_everybody_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("token");
    fs::write(&path, "abc").expect("written");
    let text = format!("[server]\nadmin_token_file = \"{}\"", path.display());
    for (mode, warnings) in [(0o644, 1), (0o640, 0), (0o600, 0)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
        let found = valid(&text).warnings;
        assert_eq!(found.len(), warnings, "{mode:o}");
        assert!(
            found.iter().all(|warning| warning.line == Some(2) && warning.message.starts_with("everybody can read"))
        );
    }
}

#[test]
fn the_hash_knows_secrets_and_nothing_else_does() {
    let hash = |text: &str| valid(text).hash;
    assert_eq!(hash(""), hash("[server]\n# a comment\n"));
    assert_eq!(hash("").len(), 12);
    assert_ne!(hash(""), hash("[server]\nvia = \"x\""));
    assert_ne!(hash("[server]\nadmin_token = \"a\""), hash("[server]\nadmin_token = \"b\""));
}

/// Pieces of files, right and wrong.
const PIECES: [&str; 31] = [
    "[server]",
    "[store]",
    "[[routes]]",
    "server = {",
    "}",
    "]",
    "[",
    "=",
    ",",
    "\n",
    "\n",
    " ",
    "\"",
    "'",
    "${",
    "5",
    "true",
    "listen = ",
    "listn = 1",
    "level = \"inf\"",
    "via = \"a b\"",
    "url = \"http://u:hunter2@h\"",
    "name = \"é\"",
    "admin_token = \"hunter2\"",
    "secret = 'hunter2'",
    "admin_token = \"hunter2",
    "admin_tokn = hunter2",
    "secret_file = \"/x\"",
    "admin_token = [\"hunter2\", 5]",
    "trusted_proxies = [\"${A}\"]",
    "\\q",
];

proptest! {
    /// SEC-19: whatever the file looks like, nothing panics and no secret is shown.
    #[test]
    fn no_file_makes_a_diagnostic_tell(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12)) {
        if let Err(diagnostics) = try_load(&pieces.concat(), &[("A", "hunter2")]) {
            prop_assert!(!diagnostics.to_string().contains("hunter2"), "{}", diagnostics);
        }
    }

    #[test]
    fn no_file_makes_loading_panic(text in "[\\[\\]a-z=\"'{}$.,_\\\\#\n é0-9]{0,60}") {
        let _ = try_load(&text, &[]);
    }
}
