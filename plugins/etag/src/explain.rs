//! What would become of a request, in a line.

use crate::conditional::Precondition;
use crate::config::{Policy, Strength};
use crate::list::{NoneMatch, Ours};
use http::{Method, header};
use vestibule_plugin::RequestHead;
use vestibule_plugin::units::Size;

/// Says it.
pub(crate) fn line(policy: &Policy, request: &RequestHead<'_>) -> String {
    let fields = request.fields.map();
    if !matches!(*request.method, Method::GET | Method::HEAD) {
        return format!("{} passes", request.method);
    }
    if fields.contains_key(header::UPGRADE) {
        return "an upgrade passes".to_owned();
    }
    let strength = match policy.strength {
        Strength::Weak => "weak",
        Strength::Strong => "strong",
    };
    let sent = match Precondition::of(fields) {
        Precondition::None => "nothing to compare",
        Precondition::ModifiedSince(_) => "compares the date, which the application sees",
        Precondition::NoneMatch(NoneMatch::Any) => "compares with any tag",
        Precondition::NoneMatch(NoneMatch::Malformed) => "if-none-match is malformed and passes",
        Precondition::NoneMatch(NoneMatch::Tags(tags)) => match tags.ours() {
            Ours::None => "no tag of if-none-match is ours, the application sees all",
            Ours::Some => "some tags of if-none-match are ours, the application sees the others",
            Ours::All => "all tags of if-none-match are ours, the application sees none",
        },
    };
    format!("would mint a {strength} tag for a body <= {}  {sent}", Size(policy.max_body as u64))
}
