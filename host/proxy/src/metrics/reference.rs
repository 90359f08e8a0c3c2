use std::fmt::Write;

use prometheus_client::metrics::MetricType;

use super::catalogue::{ALL, Label, Metric};

const INTRODUCTION: &str = "# Metrics

<!-- Made by `howdah metrics-reference > docs/metrics.md` from host/proxy/src/metrics/catalogue.rs. -->

With `[http] listen = \"127.0.0.1:9187\"` they are to be had by HTTP at `/metrics`, as \
[OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/). `/livez` answers as long as the process works; \
`/readyz` says 503 when the proxy shuts down or no node answers. A dashboard for Grafana and rules for alerts are in \
`examples/monitoring`.

Labels are names of the configuration and words of this page, never anything that clients send, so there are never more \
series than nodes and words allow. Buckets of histograms of seconds end at 64 µs and then at twice the last bound, the last \
one at 67 s. Counting costs a statement two looks at the clock and some additions in memory that belongs to its worker.

| metric | type | labels | meaning |
|---|---|---|---|
";

/// All metrics as Markdown: the contents of `docs/metrics.md`.
pub(crate) fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for metric in ALL {
        let labels: Vec<_> =
            metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let (labels, kind, about) = (labels.join(", "), metric.kind.as_str(), metric.about.trim());
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{}` | {kind} | {labels} | {about} |", metric.sample());
    }
    page += "\n## Labels\n";
    let mut told: Vec<&Label> = Vec::new();
    for label in ALL.iter().flat_map(|metric| metric.labels) {
        if !told.iter().any(|one| std::ptr::eq(*one, *label)) {
            told.push(label);
            describe(&mut page, label);
        }
    }
    page
}

fn describe(page: &mut String, label: &Label) {
    let with = |metric: &&&Metric| metric.labels.iter().any(|one| std::ptr::eq(*one, label));
    let of: Vec<_> =
        ALL.iter().filter(with).map(|metric| format!("`{}`", metric.sample())).collect();
    let _ = writeln!(page, "\n`{}` of {}: {}.", label.name, of.join(", "), label.about);
    if !label.words.is_empty() {
        page.push('\n');
    }
    for (word, meaning) in label.words {
        let _ = writeln!(page, "- `{word}`: {}", meaning.trim());
    }
}

impl Metric {
    /// What its samples are called, but for the parts of a histogram.
    fn sample(&self) -> String {
        let total = if let MetricType::Counter = self.kind { "_total" } else { "" };
        format!("{}{total}", self.name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let document = std::fs::read_to_string(path).unwrap();
        assert!(
            document == reference(),
            "docs/metrics.md is out of date: howdah metrics-reference > docs/metrics.md"
        );
    }

    #[test]
    fn metrics_have_names_of_their_own_and_say_what_they_mean() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            assert!(metric.about.ends_with('.') && !metric.about.contains(['|', '\n', '"', '\\']));
            assert!(!metric.name.ends_with("_total"), "{}", metric.name);
        }
    }
}
