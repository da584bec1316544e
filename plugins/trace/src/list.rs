//! Field values that are lists, spread over any number of lines (RFC 9110 section 5.6.1).

/// Without the optional white space of HTTP (space and tab) on either side.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Members of one line, without white space around them; empty ones left out.
pub(crate) fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty())
}
