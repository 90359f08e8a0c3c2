//! What the host offers to guests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::StoreLimits;

use crate::bindings::howdah::policy::{log, metrics, question, settings, types};
use crate::chain::Who;
use crate::spec::{PolicySpec, SettingValue};

/// Longest log line that a guest may write, in bytes.
const MAX_LINE: usize = 1024;
/// Last words of a guest that are kept, in bytes.
const MAX_LAST_WORDS: usize = 512;
/// Most metrics of one policy, and their longest name.
const MAX_METRICS: usize = 64;
const MAX_METRIC_NAME: usize = 64;

/// Metrics of one policy, of all its instances together.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    values: Mutex<BTreeMap<String, f64>>,
    dropped: AtomicU64,
}

impl Metrics {
    fn change(&self, name: String, change: impl FnOnce(&mut f64)) {
        let sound = !name.is_empty()
            && name.len() <= MAX_METRIC_NAME
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let mut values = self.values.lock();
        if !sound || (values.len() >= MAX_METRICS && !values.contains_key(&name)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        change(values.entry(name).or_default());
    }

    pub(crate) fn snapshot(&self) -> Vec<(String, f64)> {
        self.values.lock().iter().map(|(n, v)| (n.clone(), *v)).collect()
    }
}

/// What a question was answered from, besides its arguments: it limits how the answer may be remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looked {
    pub(crate) tag: bool,
    pub(crate) who: bool,
    /// Another version answered, because this one failed.
    pub(crate) stand_in: bool,
}

/// The state behind one instance.
pub(crate) struct State {
    pub(crate) limits: StoreLimits,
    spec: Arc<PolicySpec>,
    metrics: Arc<Metrics>,
    random: u64,
    lines: u32,
    lines_since: Instant,
    /// The text and asker of the question that is being asked.
    pub(crate) asked: Option<(Box<[u8]>, Arc<Who>)>,
    pub(crate) looked: Looked,
    /// What the guest has written to standard output or error during this call.
    pub(crate) last_words: String,
}

impl State {
    pub(crate) fn new(
        spec: &Arc<PolicySpec>,
        metrics: &Arc<Metrics>,
        limits: StoreLimits,
    ) -> State {
        State {
            limits,
            spec: Arc::clone(spec),
            metrics: Arc::clone(metrics),
            random: 0x9e37_79b9_7f4a_7c15,
            lines: 0,
            lines_since: Instant::now(),
            asked: None,
            looked: Looked::default(),
            last_words: String::new(),
        }
    }

    /// The guest has written something to standard output or error.
    pub(crate) fn written(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let room = MAX_LAST_WORDS.saturating_sub(self.last_words.len());
        self.last_words.push_str(&text[..text.floor_char_boundary(room)]);
        let text = text.trim();
        if !text.is_empty() && self.may_log() {
            let policy = self.spec.name.as_str();
            tracing::debug!(policy, "{}", &text[..text.floor_char_boundary(MAX_LINE)]);
        }
    }

    /// SplitMix64.
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Whether one more line may be logged.
    fn may_log(&mut self) -> bool {
        if self.lines_since.elapsed() >= Duration::from_secs(1) {
            let dropped = self.lines.saturating_sub(self.spec.limits.log_lines_per_second);
            if dropped > 0 {
                tracing::warn!(policy = %self.spec.name, dropped, "log lines of a policy were dropped");
            }
            self.lines = 0;
            self.lines_since = Instant::now();
        }
        self.lines = self.lines.saturating_add(1);
        self.lines <= self.spec.limits.log_lines_per_second
    }
}

impl types::Host for State {}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        if !self.may_log() {
            return;
        }
        let end = message.floor_char_boundary(MAX_LINE);
        let message = &message[..end];
        let policy = self.spec.name.as_str();
        match level {
            log::Level::Trace => tracing::trace!(policy, "{message}"),
            log::Level::Debug => tracing::debug!(policy, "{message}"),
            log::Level::Info => tracing::info!(policy, "{message}"),
            log::Level::Warn => tracing::warn!(policy, "{message}"),
            log::Level::Error => tracing::error!(policy, "{message}"),
        }
    }
}

pub(crate) fn to_guest(value: &SettingValue) -> types::Value {
    match value {
        SettingValue::Boolean(b) => types::Value::Boolean(*b),
        SettingValue::Integer(i) => types::Value::Integer(*i),
        SettingValue::Number(n) => types::Value::Number(*n),
        SettingValue::Text(t) => types::Value::Text(t.clone()),
        SettingValue::Texts(t) => types::Value::Texts(t.clone()),
    }
}

impl settings::Host for State {
    fn get(&mut self, name: String) -> Option<types::Value> {
        self.spec.settings.get(&name).map(to_guest)
    }
}

impl metrics::Host for State {
    fn count(&mut self, name: String, by: u64) {
        self.metrics.change(name, |value| *value += by as f64);
    }

    fn gauge(&mut self, name: String, value: f64) {
        self.metrics.change(name, |place| *place = value);
    }
}

impl question::Host for State {
    fn tag(&mut self, key: String) -> Option<String> {
        self.looked.tag = true;
        let (text, _) = self.asked.as_ref()?;
        howdah_sql::tag(text, &key).map(|value| value.into_owned())
    }

    fn user(&mut self) -> String {
        self.looked.who = true;
        self.asked.as_ref().map(|(_, who)| who.user.clone()).unwrap_or_default()
    }

    fn database(&mut self) -> String {
        self.looked.who = true;
        self.asked.as_ref().map(|(_, who)| who.database.clone()).unwrap_or_default()
    }

    fn application_name(&mut self) -> String {
        self.looked.who = true;
        self.asked.as_ref().map(|(_, who)| who.application_name.clone()).unwrap_or_default()
    }
}
