//! Which format a scraper asked for (RFC 9110 section 12.5.1).

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

impl Format {
    /// Value of `content-type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Type, subtype and version.
    const fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain", "0.0.4"),
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        }
    }
}

/// The format to answer `Accept` with. OpenMetrics must be asked for by name or weigh more; a scraper that accepts
/// neither gets text.
pub fn negotiate(accept: Option<&str>) -> Format {
    let accept = accept.unwrap_or("*/*");
    let (text, open) = (weigh(accept, Format::Text), weigh(accept, Format::OpenMetrics));
    let asked = open.quality > text.quality || (open.quality == text.quality && open.named);
    if open.quality > 0 && asked { Format::OpenMetrics } else { Format::Text }
}

/// How much a scraper wants a format.
#[derive(Clone, Copy, Default)]
struct Weight {
    /// Thousandths.
    quality: u16,
    named: bool,
}

/// Of the ranges that match, the most specific one counts; of equal ones the one that weighs most.
fn weigh(accept: &str, format: Format) -> Weight {
    let (_, quality, named) = accept
        .split(',')
        .filter_map(|range| matched(range, format))
        .max_by_key(|(specific, quality, _)| (*specific, *quality))
        .unwrap_or_default();
    Weight { quality, named }
}

/// How specific a media range is, its weight, and whether it names the format; `None` when it does not match or is
/// malformed.
fn matched(range: &str, format: Format) -> Option<(u8, u16, bool)> {
    let mut parameters = range.split(';').map(str::trim);
    let (kind, subtype) = parameters.next()?.split_once('/')?;
    let (own_kind, own_subtype, own_version) = format.parts();
    let mut specific = match (kind, subtype) {
        ("*", "*") => 0,
        (kind, "*") if kind.eq_ignore_ascii_case(own_kind) => 1,
        (kind, subtype) if kind.eq_ignore_ascii_case(own_kind) && subtype.eq_ignore_ascii_case(own_subtype) => 2,
        _ => return None,
    };
    let named = specific == 2;
    let mut quality = 1000;
    for parameter in parameters {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => quality = thousandths(value.trim())?,
            "version" if value.trim().trim_matches('"') != own_version => return None,
            "version" => specific = 3,
            _ => {}
        }
    }
    Some((specific, quality, named))
}

/// A weight of RFC 9110 section 12.4.2: `0`, `0.5`, `1.000`.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_must_be_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text", Format::OpenMetrics),
            ("text/plain;q=0.4, application/*", Format::OpenMetrics),
            ("*/*", Format::Text),
            ("", Format::Text),
            ("nonsense", Format::Text),
            ("image/png", Format::Text),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.3", Format::Text),
            ("application/openmetrics-text;q=0, */*", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=2", Format::Text),
            ("application/openmetrics-text;q=0.1234", Format::Text),
            ("application/openmetrics-text;q=0.3, */*;q=0.9", Format::Text),
        ] {
            assert_eq!(negotiate(Some(accept)), expected, "{accept}");
        }
        assert_eq!(negotiate(None), Format::Text);
    }
}
