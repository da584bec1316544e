//! One scrape, taken apart.

/// A sample line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its name, e.g. `http_server_request_duration_seconds_count`.
    pub name: String,
    /// Its labels, unescaped, as written.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// Whether it has all of these labels.
    pub fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.iter().any(|(n, v)| n == name && v == value))
    }
}

/// The samples of one scrape, in either text format.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// As it came.
    pub text: String,
    /// In order.
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Takes a text apart; panics with the line that is neither a comment nor a sample.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let sample = |line: &str| sample(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
        Self { text: text.to_owned(), samples: lines.map(sample).collect() }
    }

    /// The sum of the samples with this name and, among others, these labels; 0 when there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether there is a sample with this name and, among others, these labels.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.matching(name, labels).next().is_some()
    }

    /// The samples with this name and, among others, these labels.
    pub fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.name == name && sample.has(labels))
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    // A timestamp or an exemplar may follow.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// `name="value",…}` and what follows.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &quoted[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_some_of_their_labels_and_summed() {
        let scrape = Scrape::parse(
            "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\",y=\"a\"} 2\na_total{x=\"1\",y=\"b,}\\\"\\n\"} 3\n\
             up 1\nh_bucket{le=\"+Inf\"} 4 # {trace_id=\"ab\"} 0.5 1.0\n# EOF\n",
        );
        assert_eq!(scrape.value("a_total", &[("x", "1")]), 5.0);
        assert_eq!(scrape.value("a_total", &[("y", "b,}\"\n")]), 3.0);
        assert_eq!(scrape.value("up", &[]), 1.0);
        assert_eq!(scrape.value("h_bucket", &[("le", "+Inf")]), 4.0);
        assert!(!scrape.has("a_total", &[("x", "2")]));
        assert_eq!(scrape.value("missing", &[]), 0.0);
    }
}
