//! Prometheus text 0.0.4 and OpenMetrics 1.0 from the same numbers.
//!
//! Both spell label values alike, `le="1.0"` above all: a scraper that changes format must find the same series.

use crate::exemplar::Kept;
use crate::family::{CounterFamily, Desc, GaugeFamily, HistogramFamily};
use crate::inventory::Kind;
use crate::limits::Limits;
use crate::negotiate::Format;
use crate::registry::AnyFamily;
use crate::scalar::Number;
use std::fmt::{self, Write};

/// Everything a scraper gets.
pub(crate) fn encode(families: &[AnyFamily], format: Format, limits: Limits) -> String {
    let mut page = Page { out: String::with_capacity(64 << 10), format, exemplars: limits.exemplars };
    for family in families {
        // Writing to a String cannot fail.
        let _ = match family {
            AnyFamily::Counter(family) => page.counters(family),
            AnyFamily::Gauge(family) => page.gauges(family),
            AnyFamily::Histogram(family) => page.histograms(family),
        };
    }
    if format == Format::OpenMetrics {
        page.out.push_str("# EOF\n");
    }
    page.out
}

struct Page {
    out: String,
    format: Format,
    exemplars: bool,
}

impl Page {
    fn counters(&mut self, family: &CounterFamily) -> fmt::Result {
        let rows = family.rows();
        self.head(family.desc(), Kind::Counter, rows.is_empty())?;
        for row in rows {
            let Some(value) = row.series.sample() else { continue };
            self.name(family.desc(), "", &row.values, None)?;
            self.value(value, row.series.exemplar())?;
        }
        Ok(())
    }

    fn gauges(&mut self, family: &GaugeFamily) -> fmt::Result {
        let rows = family.rows();
        self.head(family.desc(), Kind::Gauge, rows.is_empty())?;
        for row in rows {
            let Some(value) = row.series.sample() else { continue };
            self.name(family.desc(), "", &row.values, None)?;
            self.value(value, None)?;
        }
        Ok(())
    }

    fn histograms(&mut self, family: &HistogramFamily) -> fmt::Result {
        let rows = family.rows();
        let (desc, bounds) = (family.desc(), family.shape().bounds);
        self.head(desc, Kind::Histogram, rows.is_empty())?;
        for row in rows {
            let mut count = 0;
            for (bucket, cumulated) in row.series.buckets() {
                let bound = bounds.get(bucket).copied().unwrap_or(f64::INFINITY);
                self.name(desc, "_bucket", &row.values, Some(bound))?;
                self.value(Number::Count(cumulated), row.series.exemplar(bucket))?;
                count = cumulated;
            }
            self.name(desc, "_sum", &row.values, None)?;
            self.value(Number::Float(row.series.sum()), None)?;
            self.name(desc, "_count", &row.values, None)?;
            // From the same reading as the buckets, so that `+Inf` and `_count` agree.
            self.value(Number::Count(count), None)?;
        }
        Ok(())
    }

    /// What comes before the samples of a family; nothing when it has none.
    fn head(&mut self, desc: Desc, kind: Kind, empty: bool) -> fmt::Result {
        if empty {
            return Ok(());
        }
        let name = match self.format {
            Format::OpenMetrics if kind == Kind::Counter => desc.name.strip_suffix("_total").unwrap_or(desc.name),
            _ => desc.name,
        };
        write!(self.out, "# HELP {name} ")?;
        // Text 0.0.4 leaves quotes in help alone; OpenMetrics escapes them everywhere.
        escape(&mut self.out, desc.help, self.format == Format::OpenMetrics)?;
        write!(self.out, "\n# TYPE {name} {}\n", kind.as_str())
    }

    fn name(&mut self, desc: Desc, suffix: &str, values: &[String], le: Option<f64>) -> fmt::Result {
        self.out.write_str(desc.name)?;
        self.out.write_str(suffix)?;
        let mut before = '{';
        for (label, value) in desc.labels.iter().zip(values) {
            write!(self.out, "{before}{label}=\"")?;
            escape(&mut self.out, value, true)?;
            self.out.write_char('"')?;
            before = ',';
        }
        if let Some(bound) = le {
            write!(self.out, "{before}le=\"")?;
            // OpenMetrics wants `1.0` where `{}` gives `1`.
            if bound.is_finite() {
                write!(self.out, "{bound:?}")?;
            } else {
                self.out.write_str("+Inf")?;
            }
            self.out.write_char('"')?;
            before = ',';
        }
        self.out.write_str(if before == ',' { "} " } else { " " })
    }

    fn value(&mut self, value: Number, exemplar: Option<Kept>) -> fmt::Result {
        number(&mut self.out, value)?;
        if let Some(Kept { trace_id, span_id, value, at }) = exemplar.filter(|_| self.exemplars()) {
            write!(self.out, " # {{trace_id=\"{trace_id:032x}\",span_id=\"{span_id:016x}\"}} ")?;
            number(&mut self.out, Number::Float(value))?;
            write!(self.out, " {}.{:03}", at / 1_000_000_000, at / 1_000_000 % 1000)?;
        }
        self.out.write_char('\n')
    }

    fn exemplars(&self) -> bool {
        self.exemplars && self.format == Format::OpenMetrics
    }
}

fn number(out: &mut String, value: Number) -> fmt::Result {
    match value {
        Number::Count(count) => write!(out, "{count}"),
        Number::Level(level) => write!(out, "{level}"),
        Number::Float(f64::INFINITY) => out.write_str("+Inf"),
        Number::Float(f64::NEG_INFINITY) => out.write_str("-Inf"),
        Number::Float(value) => write!(out, "{value}"),
    }
}

fn escape(out: &mut String, text: &str, quotes: bool) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '"' if quotes => out.write_str("\\\"")?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}
