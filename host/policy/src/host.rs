//! What the host offers to guests.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use howdah_decision::{Node, Parameter};
use howdah_sql::{Catalog, Volatility};
use wasmtime::StoreLimits;

use crate::bindings::howdah::policy::{
    catalog, clock, kv as wit_kv, log, metrics, nodes, question, random, settings, types,
};
use crate::chain::{Question, Who};
use crate::convert;
use crate::engine::nanoseconds;
use crate::kv::{self, Quota, Spaces, Store};
use crate::loaded::{AsksBack, Loaded};
use crate::metrics::Metrics;
use crate::spec::{PolicySpec, SettingValue};
use crate::supplied::{Supply, Tape};

/// Longest log line that a guest may write, in bytes.
const MAX_LINE: usize = 1024;
/// Last words of a guest that are kept, in bytes.
const MAX_LAST_WORDS: usize = 512;
/// Room for a statement's text that an instance keeps for the next one, in bytes.
const KEPT_TEXT: usize = 16 << 10;
/// What recordings call a look at a parameter.
pub const PARAMETER: &str = "question.parameter";

/// What a question was answered from, besides its arguments: it limits how the answer may be remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looked {
    /// What the digest leaves out of the text.
    pub(crate) text: bool,
    /// Something that may be another one at the next question.
    pub(crate) passing: bool,
    /// The nodes.
    pub(crate) nodes: bool,
    /// The catalog of the session's database.
    pub(crate) catalog: bool,
}

impl Looked {
    /// What was looked at here or there.
    pub(crate) fn add(&mut self, other: Looked) {
        self.text |= other.text;
        self.passing |= other.passing;
        self.nodes |= other.nodes;
        self.catalog |= other.catalog;
    }
}

/// The question that is being asked, as far as a guest may ask back.
#[derive(Default)]
pub(crate) struct Asked {
    /// Empty for a component that does not ask for anything in it.
    text: Vec<u8>,
    who: Arc<Who>,
    parameters: Option<Vec<Parameter>>,
    catalog: Option<Arc<dyn Catalog + Send + Sync>>,
}

impl Asked {
    /// Takes the place of the question before.
    pub(crate) fn becomes(&mut self, q: &Question<'_>, may: AsksBack) {
        self.text.clear();
        self.text.shrink_to(KEPT_TEXT);
        if may.text {
            self.text.extend_from_slice(q.sql.as_bytes());
        }
        self.who = Arc::clone(q.who);
        self.parameters = may.parameters.then(|| q.background.parameters()).flatten();
        self.catalog = may.catalog.then(|| q.background.catalog()).flatten();
    }
}

/// What the instances of all policies share.
pub(crate) struct World {
    pub(crate) topology: ArcSwap<Topology>,
    pub(crate) topology_epoch: AtomicU64,
    pub(crate) spaces: Spaces,
    /// Where the monotonic clock begins.
    began: Instant,
}

/// Nodes as policies are to know them.
pub(crate) struct Topology {
    pub(crate) epoch: u64,
    pub(crate) nodes: Arc<[Node]>,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            topology: ArcSwap::from_pointee(Topology { epoch: 0, nodes: Arc::new([]) }),
            topology_epoch: AtomicU64::new(0),
            spaces: Spaces::default(),
            began: Instant::now(),
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// The same numbers each time.
    fn fixed() -> Random {
        Random(0x9e37_79b9_7f4a_7c15)
    }

    /// Others each time: the standard library's hasher keys are random.
    fn fresh() -> Random {
        Random(RandomState::new().hash_one(0_u8))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The state behind one instance.
pub(crate) struct State {
    pub(crate) limits: StoreLimits,
    spec: Arc<PolicySpec>,
    metrics: Arc<Metrics>,
    world: Arc<World>,
    kv: Arc<dyn Store>,
    /// What `wasi:random` gives.
    inert: Random,
    random: Random,
    lines: u32,
    lines_since: Instant,
    /// By when the call has to end.
    pub(crate) deadline: Instant,
    pub(crate) asked: Option<Asked>,
    pub(crate) looked: Looked,
    /// What the guest has written to standard output or error during this call.
    pub(crate) last_words: String,
    /// What becomes of what the guest is told during this call.
    pub(crate) tape: Tape,
}

impl State {
    pub(crate) fn new(loaded: &Loaded, limits: StoreLimits) -> State {
        State {
            limits,
            spec: Arc::clone(&loaded.spec),
            metrics: Arc::clone(&loaded.metrics),
            world: Arc::clone(&loaded.world),
            kv: Arc::clone(&loaded.kv),
            inert: Random::fixed(),
            random: Random::fresh(),
            lines: 0,
            lines_since: Instant::now(),
            deadline: Instant::now(),
            asked: None,
            looked: Looked::default(),
            last_words: String::new(),
            tape: Tape::Off,
        }
    }

    /// What the guest is told: what a recording has, or else what is so now.
    fn told<T: Supply>(
        &mut self,
        asked: impl Fn() -> String,
        now: impl FnOnce(&mut State) -> T,
    ) -> T {
        if let Some(given) = self.tape.given(&asked) {
            return given;
        }
        let told = now(self);
        self.tape.note(asked, &told);
        told
    }

    /// The instance goes on with other settings.
    pub(crate) fn now_has(&mut self, spec: &Arc<PolicySpec>) {
        self.spec = Arc::clone(spec);
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

    /// A number that is the same in every instance: for `wasi:random`.
    pub(crate) fn inert_random(&mut self) -> u64 {
        self.inert.next()
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
        self.metrics.count(name, by);
    }

    fn gauge(&mut self, name: String, value: f64) {
        self.metrics.gauge(name, value);
    }

    fn observe(&mut self, name: String, value: u64) {
        self.metrics.observe(name, value);
    }
}

impl question::Host for State {
    fn tag(&mut self, key: String) -> Option<String> {
        self.looked.text = true;
        let asked = self.asked.as_ref()?;
        howdah_sql::tag(&asked.text, &key).map(|value| value.into_owned())
    }

    fn user(&mut self) -> String {
        self.looked.passing = true;
        self.asked.as_ref().map(|asked| asked.who.user.clone()).unwrap_or_default()
    }

    fn database(&mut self) -> String {
        self.looked.passing = true;
        self.asked.as_ref().map(|asked| asked.who.database.clone()).unwrap_or_default()
    }

    fn application_name(&mut self) -> String {
        self.looked.passing = true;
        self.asked.as_ref().map(|asked| asked.who.application_name.clone()).unwrap_or_default()
    }

    fn parameter(&mut self, number: u16) -> Option<question::ParameterValue> {
        self.looked.passing = true;
        let bound = |state: &mut State| {
            let all = state.asked.as_ref()?.parameters.as_ref()?;
            all.get(usize::from(number).checked_sub(1)?).cloned()
        };
        let found: Option<Parameter> = self.told(|| format!("{PARAMETER} {number}"), bound);
        Some(match found? {
            Parameter::Null => question::ParameterValue::Null,
            Parameter::Text(text) => question::ParameterValue::Text(text),
            Parameter::Binary(bytes) => question::ParameterValue::Binary(bytes),
        })
    }

    fn literal(&mut self, index: u32) -> Option<String> {
        self.looked.text = true;
        let asked = self.asked.as_ref()?;
        howdah_sql::literal(&asked.text, index as usize).map(|value| value.into_owned())
    }

    fn relations(&mut self) -> Vec<String> {
        self.asked.as_ref().map(|asked| howdah_sql::relations(&asked.text)).unwrap_or_default()
    }
}

impl From<kv::Error> for wit_kv::Error {
    fn from(error: kv::Error) -> wit_kv::Error {
        match error {
            kv::Error::Quota => wit_kv::Error::Quota,
            kv::Error::TooLarge => wit_kv::Error::TooLarge,
            kv::Error::NotANumber => wit_kv::Error::NotANumber,
            kv::Error::Overflow => wit_kv::Error::Other("the sum has more than 64 bits".into()),
        }
    }
}

impl State {
    /// The shared values, and how many of them there may be.
    fn kv(&self) -> (&dyn Store, Quota) {
        (&*self.kv, Quota::from(&self.spec.limits))
    }
}

impl wit_kv::Host for State {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        self.looked.passing = true;
        self.told(|| format!("kv.get {key}"), |state| state.kv().0.get(&key).map(Vec::from))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<(), wit_kv::Error> {
        self.looked.passing = true;
        let set = |state: &mut State| {
            let (kv, quota) = state.kv();
            kv.set(&key, &value, ttl_ms, quota)
        };
        Ok(self.told(|| format!("kv.set {key}"), set)?)
    }

    fn delete(&mut self, key: String) {
        self.looked.passing = true;
        self.told(|| format!("kv.delete {key}"), |state| state.kv().0.delete(&key));
    }

    fn compare_and_swap(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<bool, wit_kv::Error> {
        self.looked.passing = true;
        let swap = |state: &mut State| {
            let (kv, quota) = state.kv();
            kv.compare_and_swap(&key, expected.as_deref(), &value, ttl_ms, quota)
        };
        Ok(self.told(|| format!("kv.compare-and-swap {key}"), swap)?)
    }

    fn increment(
        &mut self,
        key: String,
        by: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, wit_kv::Error> {
        self.looked.passing = true;
        let add = |state: &mut State| {
            let (kv, quota) = state.kv();
            kv.increment(&key, by, ttl_ms, quota)
        };
        Ok(self.told(|| format!("kv.increment {key} by {by}"), add)?)
    }
}

impl clock::Host for State {
    fn monotonic_ns(&mut self) -> u64 {
        self.looked.passing = true;
        let now = |state: &mut State| match state.tape.wall_ms() {
            Some(ms) => ms.saturating_mul(1_000_000),
            None => nanoseconds(state.world.began.elapsed()),
        };
        self.told(|| "clock.monotonic-ns".to_owned(), now)
    }

    fn wall_ms(&mut self) -> u64 {
        self.looked.passing = true;
        let now = |state: &mut State| state.tape.wall_ms().unwrap_or_else(wall_ms);
        self.told(|| "clock.wall-ms".to_owned(), now)
    }
}

/// Milliseconds since 1970, by the machine's clock.
pub fn wall_ms() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl random::Host for State {
    fn next(&mut self) -> u64 {
        self.looked.passing = true;
        let next = |state: &mut State| match state.tape {
            Tape::Giving(_) => state.inert.next(),
            Tape::Off | Tape::Noting(_) => state.random.next(),
        };
        self.told(|| "random.next".to_owned(), next)
    }
}

impl nodes::Host for State {
    fn all(&mut self) -> Vec<types::Node> {
        self.looked.nodes = true;
        self.world.topology.load().nodes.iter().map(convert::node).collect()
    }
}

impl catalog::Host for State {
    fn function(&mut self, schema: Option<String>, name: String) -> catalog::Volatility {
        self.looked.catalog = true;
        let asked = || match &schema {
            Some(schema) => format!("catalog.function {schema}.{name}"),
            None => format!("catalog.function {name}"),
        };
        let known = |state: &mut State| {
            let catalog = state.asked.as_ref().and_then(|asked| asked.catalog.as_ref());
            let function = catalog.map(|catalog| catalog.function(schema.as_deref(), &name));
            function.unwrap_or(Volatility::Unknown)
        };
        match self.told(asked, known) {
            Volatility::Immutable => catalog::Volatility::Immutable,
            Volatility::Stable => catalog::Volatility::Stable,
            Volatility::Volatile => catalog::Volatility::Volatile,
            Volatility::Unknown => catalog::Volatility::Unknown,
        }
    }
}
