//! A policy as an operator writes it: brought into one line, and judged when the file is loaded.

use crate::config::Mode;
use crate::directive::{Directive, Takes};
use sha2::{Digest, Sha256};

/// Most bytes of a policy: proxies and servers on the way refuse heads that grow without end.
pub(crate) const MAX_BYTES: usize = 4096;

/// Keywords that mean something only in single quotes (CSP Level 3 section 2.3.1).
const KEYWORDS: [&str; 12] = [
    "none",
    "self",
    "unsafe-inline",
    "unsafe-eval",
    "unsafe-hashes",
    "unsafe-allow-redirects",
    "unsafe-webtransport-hashes",
    "strict-dynamic",
    "report-sample",
    "wasm-unsafe-eval",
    "inline-speculation-rules",
    "trusted-types-eval",
];

/// What is wrong with a policy, or probably not meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// What.
    pub(crate) message: String,
    /// What was expected.
    pub(crate) label: String,
}

fn fault(message: impl Into<String>, label: impl Into<String>) -> Fault {
    Fault { message: message.into(), label: label.into() }
}

/// In one line: runs of spaces, tabs and line ends are one space, and nothing stands behind the last directive.
pub(crate) fn normalized(written: &str) -> String {
    let words = written.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    let mut line = String::with_capacity(written.len());
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let end = line.trim_end_matches([';', ' ']).len();
    line.truncate(end);
    line
}

/// The first 8 bytes of the SHA-256 of a policy's text: what tells policies apart in records.
pub(crate) fn digest(text: &[u8]) -> u64 {
    let hash = Sha256::digest(text);
    hash.iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}

/// The directives of a policy: their names and what stands behind them.
fn directives(policy: &str) -> impl Iterator<Item = (&str, impl Iterator<Item = &str> + Clone)> {
    policy.split(';').filter_map(|directive| {
        let mut words = directive.split(' ').filter(|word| !word.is_empty());
        words.next().map(|name| (name, words))
    })
}

/// Whether it says itself where reports go.
pub(crate) fn reports_elsewhere(policy: &str) -> bool {
    directives(policy).any(|(name, _)| ["report-uri", "report-to"].iter().any(|own| name.eq_ignore_ascii_case(own)))
}

/// As it was probably meant, so that a comma hides no other mistake: one in front of a directive was to end the one
/// before it, any other stands between sources.
fn without_commas(policy: &str) -> String {
    let mut pieces = policy.split(',');
    let mut meant = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let first = piece.split([' ', ';']).find(|word| !word.is_empty()).unwrap_or_default();
        let is_directive = Directive::of(first).is_some() || Directive::nearest(first).is_some();
        meant.push(if is_directive { ';' } else { ' ' });
        meant.push_str(piece);
    }
    meant
}

/// Everything that is wrong with a policy in one line.
pub(crate) fn errors(policy: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if policy.len() > MAX_BYTES {
        faults.push(fault("the policy is too long", format!("{} bytes; expected at most {MAX_BYTES}", policy.len())));
        return faults;
    }
    if policy.contains(',') {
        let label = "a comma would begin a second policy; directives are separated by `;`, sources by spaces";
        faults.push(fault("a policy has no comma", label));
    }
    if let Some(odd) = policy.chars().find(|c| !matches!(c, ' '..='~')) {
        let label = "expected ASCII without control characters; a host name is written in punycode";
        faults.push(fault(format!("`{}` cannot stand in a policy", odd.escape_default()), label));
    }
    let mut seen: Vec<String> = Vec::new();
    for (name, words) in directives(&without_commas(policy)) {
        let lowered = name.to_ascii_lowercase();
        if seen.contains(&lowered) {
            faults
                .push(fault(format!("`{lowered}` stands here twice"), "browsers heed the first one alone; merge them"));
            continue;
        }
        match Directive::of(name) {
            Some(directive) => judge_words(directive, words, &mut faults),
            None => {
                let label = match Directive::nearest(name) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "expected a directive such as `default-src`, behind a `;`".to_owned(),
                };
                faults.push(fault(format!("unknown directive `{}`", name.escape_default()), label));
            }
        }
        seen.push(lowered);
    }
    faults
}

fn judge_words<'a>(directive: Directive, words: impl Iterator<Item = &'a str> + Clone, faults: &mut Vec<Fault>) {
    let name = directive.as_str();
    let takes = directive.takes();
    if takes == Takes::Else {
        return;
    }
    let count = words.clone().count();
    for word in words {
        let lowered = word.to_ascii_lowercase();
        if lowered.starts_with("'nonce-") {
            let label = "a nonce that is the same in every response protects nothing; use hashes, or let the application \
                         send its own policy";
            faults.push(fault(format!("`{name}` has a literal nonce"), label));
        } else if lowered == "'none'" && count > 1 {
            let label = "browsers ignore it beside other sources; remove it, or the others";
            faults.push(fault(format!("`'none'` stands beside others in `{name}`"), label));
        } else if needs_quotes(takes, &lowered) {
            faults.push(fault(format!("`{lowered}` in `{name}` needs quotes"), format!("write `'{lowered}'`")));
        }
    }
}

/// Without quotes a keyword is the name of a host; among names of Trusted Types policies only two are keywords.
fn needs_quotes(takes: Takes, word: &str) -> bool {
    match takes {
        Takes::Names => matches!(word, "none" | "allow-duplicates" | "script"),
        _ => {
            let coded = ["nonce-", "sha256-", "sha384-", "sha512-"].iter().any(|start| word.starts_with(start));
            KEYWORDS.contains(&word) || coded
        }
    }
}

/// What is allowed in a policy, and probably not meant.
pub(crate) fn warnings(policy: &str, mode: Mode) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, mut words) in directives(policy) {
        let Some(directive) = Directive::of(name) else { continue };
        let name = directive.as_str();
        match mode {
            Mode::ReportOnly if matches!(name, "sandbox" | "upgrade-insecure-requests") => {
                let label = "browsers ignore it in a policy that only reports; it works with mode `enforce`";
                faults.push(fault(format!("`{name}` does nothing in `report_only`"), label));
            }
            Mode::Enforce if words.any(|word| word.eq_ignore_ascii_case("'unsafe-inline'")) => {
                let label = "it lets injected scripts and styles run; hashes do not";
                faults.push(fault(format!("`{name}` allows `'unsafe-inline'`"), label));
            }
            Mode::ReportOnly | Mode::Enforce | Mode::Off => {}
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn messages(policy: &str) -> Vec<String> {
        errors(&normalized(policy)).into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn white_space_and_a_last_semicolon_mean_nothing() {
        for (written, meant) in [
            ("", ""),
            (" ; ", ""),
            ("default-src 'self'", "default-src 'self'"),
            ("\n  default-src\t 'self' ;\r\n  img-src *;\n", "default-src 'self' ; img-src *"),
            ("default-src 'self'; ;", "default-src 'self'"),
        ] {
            assert_eq!(normalized(written), meant, "{written:?}");
        }
    }

    #[test]
    fn sound_policies_pass() {
        for policy in [
            "",
            "default-src 'self'; img-src 'self' data: https://*.example.net; object-src 'none'",
            "script-src 'strict-dynamic' 'sha256-AAAA' 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
            "sandbox allow-scripts; upgrade-insecure-requests; report-to self; report-uri /x",
            "require-trusted-types-for 'script'; trusted-types self 'allow-duplicates'",
            "Default-Src 'SELF'",
        ] {
            assert_eq!(messages(policy), Vec::<String>::new(), "{policy}");
        }
    }

    /// CSP-07, the judging.
    #[test]
    fn each_mistake_is_named() {
        for (policy, message) in [
            ("default-src 'self', img-src *", "a policy has no comma"),
            ("defualt-src 'self'", "unknown directive `defualt-src`"),
            ("img-src a.example; IMG-src b.example", "`img-src` stands here twice"),
            ("default-src self", "`self` in `default-src` needs quotes"),
            ("script-src sha256-AAAA", "`sha256-aaaa` in `script-src` needs quotes"),
            ("frame-ancestors none", "`none` in `frame-ancestors` needs quotes"),
            ("trusted-types none", "`none` in `trusted-types` needs quotes"),
            ("script-src 'nonce-r4nd0m'", "`script-src` has a literal nonce"),
            ("img-src 'none' data:", "`'none'` stands beside others in `img-src`"),
            ("img-src bücher.example", "`\\u{fc}` cannot stand in a policy"),
            ("img-src \u{7f}", "`\\u{7f}` cannot stand in a policy"),
            ("img-src \u{c}", "`\\u{c}` cannot stand in a policy"),
        ] {
            assert!(messages(policy).iter().any(|told| told == message), "{policy}: {:?}", messages(policy));
        }
        assert_eq!(messages(&format!("img-src {}", "a".repeat(MAX_BYTES))), ["the policy is too long"]);
    }

    #[test]
    fn a_comma_hides_no_other_mistake_and_makes_none() {
        let comma = "a policy has no comma";
        for (policy, others) in [
            ("default-src 'self', img-src *", &[][..]),
            ("default-src self, img-src *", &["`self` in `default-src` needs quotes"]),
            (
                "default-src self,img-src *, scrpt-src x",
                &["`self` in `default-src` needs quotes", "unknown directive `scrpt-src`"],
            ),
            ("img-src 'self', data:, https://a.example", &[]),
            ("img-src 'none', data:", &["`'none'` stands beside others in `img-src`"]),
            ("img-src a.example, img-src self", &["`img-src` stands here twice"]),
            ("img-src *,; ,", &[]),
        ] {
            assert_eq!(messages(policy), [&[comma], others].concat(), "{policy}");
        }
    }

    #[test]
    fn what_is_probably_not_meant_is_told() {
        let told = |policy, mode| warnings(policy, mode).len();
        let policy = "sandbox; upgrade-insecure-requests; script-src 'unsafe-inline'";
        assert_eq!(told(policy, Mode::ReportOnly), 2);
        assert_eq!(told(policy, Mode::Enforce), 1);
        assert_eq!(told(policy, Mode::Off), 0);
    }

    #[test]
    fn where_reports_go_is_seen() {
        assert!(reports_elsewhere("default-src *; Report-URI /x"));
        assert!(reports_elsewhere("report-to x"));
        assert!(!reports_elsewhere("img-src report-uri"));
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "\\PC{0,200}") {
            let line = normalized(&text);
            prop_assert_eq!(&normalized(&line), &line);
            let _ = (errors(&line), warnings(&line, Mode::Enforce));
        }

        #[test]
        fn one_that_passes_can_be_a_field(text in "[a-z' ;:*./-]{0,80}") {
            let line = normalized(&text);
            if errors(&line).is_empty() {
                prop_assert!(http::HeaderValue::from_str(&line).is_ok());
            }
        }
    }
}
