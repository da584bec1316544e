//! `vestibule audit verify`

use super::VerifyArgs;
use super::segments::{self, Segment, named};
use super::verdict::Verdict;
use super::witnesses::{Anchor, Witnesses};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;
use vestibule_chain::VerifyingKey;
use vestibule_chain::verify::{Report, Terms, Verifier};

/// How often a log that is being written is looked at before what is seen is believed.
const LOOKS: usize = 4;
/// How often a segment may be gone before it could be opened: each time, the writer was faster than the reader.
const CHASES: usize = 100;

/// Says the verdict: on stdout when the log is intact or JSON was asked for, else on stderr.
pub(super) fn verify(args: &VerifyArgs) -> Result<ExitCode, String> {
    let keys = args.keys.iter().map(|path| key(path)).collect::<Result<Vec<_>, _>>()?;
    let anchor = args.anchor.as_deref().map(Anchor::read).transpose()?;
    if let Some(anchor) = &anchor
        && let Err(fault) = anchor.check(&keys)
    {
        return say(args, &Verdict::of_anchor(fault, anchor));
    }
    let (report, segments, witnesses) = settled(args, &keys, anchor.as_ref())?;
    if segments.is_empty() && report.finding.is_none() {
        return Err(format!("no segment in `{}`", segments::shown(&[], 0, &args.paths).display()));
    }
    say(args, &Verdict::of_log(report, &segments, &args.paths, &witnesses))
}

fn say(args: &VerifyArgs, verdict: &Verdict) -> Result<ExitCode, String> {
    let said = match (args.json, verdict.is_intact()) {
        (true, _) => writeln!(io::stdout(), "{}", verdict.to_json()),
        (false, true) => write!(io::stdout(), "{verdict}"),
        (false, false) => write!(io::stderr(), "{verdict}"),
    };
    said.map_err(|error| error.to_string())?;
    Ok(if verdict.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn key(path: &Path) -> Result<VerifyingKey, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    VerifyingKey::from_pem(&pem).map_err(|error| format!("`{}` is no key: {error}", path.display()))
}

type Look = (Report, Vec<Segment>, Witnesses);

/// Looks until what is seen is not the doing of a writer at work, who cuts off what a failed write has left, and deletes
/// segments that are old: what is wrong twice in the same way is wrong.
fn settled(args: &VerifyArgs, keys: &[VerifyingKey], anchor: Option<&Anchor>) -> Result<Look, String> {
    let mut before = None;
    let (mut looks, mut chases) = (0, 0);
    loop {
        let was_live = segments::is_live(&args.paths);
        let seen = match look(args, keys, anchor, was_live) {
            Err(error) if error.kind() == ErrorKind::NotFound && was_live && chases < CHASES => {
                chases += 1;
                continue;
            }
            seen => seen.map_err(|error| error.to_string())?,
        };
        looks += 1;
        let Some(found) = &seen.0.finding else { return Ok(seen) };
        let found = Some((found.fault, found.seq, found.place.offset));
        let is_live = was_live || segments::is_live(&args.paths);
        if !is_live || found == before || looks == LOOKS {
            return Ok(seen);
        }
        before = found;
    }
}

fn look(args: &VerifyArgs, keys: &[VerifyingKey], anchor: Option<&Anchor>, is_live: bool) -> io::Result<Look> {
    let mut witnesses = Witnesses::default();
    for dir in args.paths.iter().filter(|path| path.is_dir()) {
        witnesses.add_dir(dir).map_err(|error| named(dir, &error))?;
    }
    if let Some(anchor) = anchor {
        witnesses.add_anchor(anchor);
    }
    let segments = segments::listed(&args.paths)?;
    let terms = Terms { keys: keys.to_vec(), sealed: args.sealed, is_live };
    let mut verifier = Verifier::new(terms, std::mem::take(&mut witnesses.claims));
    for (index, segment) in segments.iter().enumerate() {
        let read = segment.open().and_then(|bytes| verifier.segment(bytes, index + 1 == segments.len()));
        if !read.map_err(|error| named(&segment.path, &error))? {
            break;
        }
    }
    Ok((verifier.finish(), segments, witnesses))
}
