//! What would become of a request, in a line.

use crate::conditional::Precondition;
use crate::config::{Concurrency, Policy, Strength};
use crate::if_match::IfMatch;
use crate::list::{Ours, TagField};
use crate::precondition::Preconditions;
use crate::write::{is_change, must_say, rests_on_ours};
use http::{Method, header};
use vestibule_plugin::RequestHead;
use vestibule_plugin::units::{Size, Span};

/// Says it.
pub(crate) fn line(policy: &Policy, request: &RequestHead<'_>) -> String {
    let fields = &*request.fields;
    if !matches!(*request.method, Method::GET | Method::HEAD) {
        return write(policy, request);
    }
    if fields.has(&header::UPGRADE) {
        return "an upgrade passes".to_owned();
    }
    let strength = match policy.strength {
        Strength::Weak => "weak",
        Strength::Strong => "strong",
    };
    let if_match = IfMatch::of(fields);
    if request.body_length != Some(0) && if_match.as_ref().is_some_and(IfMatch::is_ours_alone) {
        return "answers 412: the tags of if-match are ours, and a reply to a request with a body is not judged"
            .to_owned();
    }
    let sent = match Precondition::of(fields) {
        _ if if_match.is_some() => "judges if-match here, the application sees no precondition and no range",
        Precondition::None => "nothing to compare",
        Precondition::ModifiedSince(_) => "compares the date, which the application sees",
        Precondition::NoneMatch(TagField::Any) => "compares with any tag",
        Precondition::NoneMatch(TagField::Malformed) => "if-none-match is malformed and passes",
        Precondition::NoneMatch(TagField::Tags(tags)) => match tags.ours() {
            Ours::None => "no tag of if-none-match is ours, the application sees all",
            Ours::Some => "some tags of if-none-match are ours, the application sees the others",
            Ours::All => "all tags of if-none-match are ours, the application sees none",
        },
    };
    let coding = match policy.concurrency {
        Concurrency::Serialize => "  the application is not told what codings the client takes",
        Concurrency::Forward => "",
    };
    format!("would mint a {strength} tag for a body <= {}  {sent}{coding}", Size(policy.max_body as u64))
}

/// Of a request that is no GET or HEAD.
fn write(policy: &Policy, request: &RequestHead<'_>) -> String {
    let method = request.method;
    let preconditions = Preconditions::of(&*request.fields);
    if must_say(policy, method, &preconditions) {
        return format!("answers 428: {method} without if-match");
    }
    if policy.concurrency == Concurrency::Serialize && is_change(method) {
        let wait = Span(policy.lock_wait);
        let judged = if preconditions.is_empty() { "nothing to judge" } else { "judges its preconditions by a GET" };
        let sent = match &preconditions.matches {
            Some(TagField::Tags(tags)) if tags.ours() == Ours::All => {
                "; all tags of if-match are ours, the application sees none"
            }
            Some(TagField::Tags(tags)) if tags.ours() == Ours::Some => {
                "; some tags of if-match are ours, and with them it is kept from the application"
            }
            _ => "",
        };
        return format!("takes the lock on this URI, waits {wait} for it at most  {judged}{sent}");
    }
    if rests_on_ours(&preconditions, &*request.fields) {
        return "answers 412: the tags of if-match are ours, the application cannot judge them".to_owned();
    }
    match &preconditions.matches {
        Some(TagField::Tags(tags)) if tags.ours() == Ours::Some => {
            format!("{method} passes  some tags of if-match are ours, the application sees the others")
        }
        Some(_) => format!("{method} passes  the application judges if-match"),
        None => format!("{method} passes"),
    }
}
