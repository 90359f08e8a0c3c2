use std::fmt;

use howdah_policy::Histogram;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::catalogue::Metric;
use crate::figures::{BUCKETS, Distribution, bound};

/// A metric's figures, one for each set of labels.
pub(super) struct Family {
    metric: &'static Metric,
    rows: Vec<(Vec<String>, Value)>,
}

/// A figure.
pub(super) enum Value {
    Number(f64),
    /// The sum of all, and how many there are up to each bound and beyond the one before.
    Histogram(f64, Vec<(f64, u64)>),
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(number as f64)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Number(f64::from(u8::from(truth)))
    }
}

impl From<&Distribution> for Value {
    fn from(counted: &Distribution) -> Value {
        let seconds = |us: u64| us as f64 / 1e6;
        let bound = |bucket| if bucket < BUCKETS { seconds(bound(bucket)) } else { f64::MAX };
        let buckets = counted.buckets.iter().enumerate();
        let buckets = buckets.map(|(bucket, count)| (bound(bucket), *count));
        Value::Histogram(seconds(counted.sum), buckets.collect())
    }
}

impl From<&Histogram> for Value {
    fn from(counted: &Histogram) -> Value {
        let bound = |n| if n < Histogram::BUCKETS { (1_u64 << n) as f64 } else { f64::MAX };
        let buckets = counted.buckets.iter().enumerate();
        let buckets = buckets.map(|(bucket, count)| (bound(bucket), *count));
        Value::Histogram(counted.sum as f64, buckets.collect())
    }
}

impl Family {
    pub(super) fn of(metric: &'static Metric) -> Family {
        Family { metric, rows: Vec::new() }
    }

    /// A metric without labels.
    pub(super) fn alone(metric: &'static Metric, value: impl Into<Value>) -> Family {
        Family { metric, rows: vec![(Vec::new(), value.into())] }
    }

    /// One figure, with the values of the metric's labels in their order.
    pub(super) fn add(&mut self, labels: &[&str], value: impl Into<Value>) {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        self.rows.push((labels.iter().map(|label| (*label).to_owned()).collect(), value.into()));
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Metric { name, about, kind, labels } = self.metric;
        let mut family = encoder.encode_descriptor(name, about.trim(), None, *kind)?;
        for (values, value) in &self.rows {
            let names = labels.iter().map(|label| label.name);
            let labels: Vec<(&str, &str)> = names.zip(values.iter().map(String::as_str)).collect();
            match labels.as_slice() {
                [] => write(&mut family, *kind, value)?,
                labels => write(&mut family.encode_family(&labels)?, *kind, value)?,
            }
        }
        Ok(())
    }
}

fn write(encoder: &mut MetricEncoder<'_>, kind: MetricType, value: &Value) -> fmt::Result {
    match (kind, value) {
        (MetricType::Counter, Value::Number(number)) => {
            encoder.encode_counter::<NoLabelSet, _, u64>(number, None)
        }
        (_, Value::Number(number)) => encoder.encode_gauge(number),
        (_, Value::Histogram(sum, buckets)) => {
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}
