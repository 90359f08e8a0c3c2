//! Cases for hooks that give no verdict: the policy must not fail, and may have to leave shared values behind.

use std::collections::BTreeMap;

use howdah_decision::{Observation, Source};
use howdah_policy::{PolicySpec, Told};
use howdah_sql::{Catalog, ScanOptions};
use serde::Deserialize;

use super::Unlike;
use super::written::times;
use crate::policies::trial::Trial;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenTold {
    name: Option<String>,
    hook: WrittenHook,
    times: Option<u32>,
    seen: Option<WrittenObservation>,
    #[serde(default)]
    expect: WrittenExpected,
    #[serde(default)]
    kv: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenHook {
    Observe,
    Tick,
    Topology,
    State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenExpected {
    #[default]
    Success,
    Failure,
}

/// What has become of a statement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenObservation {
    sql: String,
    #[serde(default)]
    class: u32,
    node: Option<String>,
    #[serde(default)]
    latency_us: u64,
    #[serde(default)]
    waited_us: u64,
    #[serde(default)]
    rows: u64,
    #[serde(default)]
    bytes: u64,
    sqlstate: Option<String>,
}

/// What a policy is told, and what must come of it.
#[derive(Debug)]
pub(super) struct Telling {
    hook: WrittenHook,
    times: u32,
    seen: Option<WrittenObservation>,
    sqlstate: Option<[u8; 5]>,
    fails: bool,
    /// What is in the shared values afterwards.
    values: BTreeMap<String, String>,
}

impl WrittenTold {
    /// What the case is called.
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.hook.name().to_owned())
    }
}

impl WrittenHook {
    fn name(self) -> &'static str {
        self.told(&[]).hook()
    }

    fn told(self, seen: &[Observation]) -> Told<'_> {
        match self {
            WrittenHook::Observe => Told::Observe(seen),
            WrittenHook::Tick => Told::Tick,
            WrittenHook::Topology => Told::Topology,
            WrittenHook::State => Told::State,
        }
    }
}

/// The case as meant.
pub(super) fn telling(written: WrittenTold) -> Result<Telling, String> {
    let WrittenTold { hook, times: often, seen, expect, kv, .. } = written;
    if seen.is_some() != (hook == WrittenHook::Observe) {
        return Err("seen = { sql = … } goes with hook = \"observe\", and with no other".into());
    }
    let sqlstate = seen.as_ref().and_then(|seen| seen.sqlstate.as_deref());
    let sqlstate = sqlstate.map(super::written::sqlstate).transpose()?;
    let fails = expect == WrittenExpected::Failure;
    Ok(Telling { hook, times: times(often)?, seen, sqlstate, fails, values: kv })
}

impl Telling {
    /// What it is told, in a line.
    pub(super) fn asked(&self) -> String {
        match &self.seen {
            Some(seen) => format!("{} {}", self.hook.name(), seen.sql),
            None => self.hook.name().to_owned(),
        }
    }

    /// Tells the policy. What is not as expected.
    pub(super) fn tell(
        &self,
        trial: &Trial,
        spec: &PolicySpec,
        catalog: &dyn Catalog,
    ) -> Vec<Unlike> {
        let seen: Vec<Observation> =
            self.seen.iter().map(|seen| self.observation(seen, catalog)).collect();
        let tell = |_| trial.worker().tell_now(&self.hook.told(&seen));
        let outcome = (0..self.times).try_for_each(tell);
        let in_words = |fails: bool| if fails { "a failure of the policy" } else { "success" };
        let got = match &outcome {
            Ok(()) => in_words(false).to_owned(),
            Err(why) => format!("the policy failed: {why}"),
        };
        let expected = in_words(self.fails).to_owned();
        let unlike = (outcome.is_err() != self.fails).then_some(Unlike { expected, got });
        let values = trial.registry().values(spec.space(), &spec.limits);
        let differs = |(key, expected): (&String, &String)| {
            let value = values.get(key);
            let value = value.as_deref().map(String::from_utf8_lossy);
            let shown = |value: Option<&str>| match value {
                Some(value) => format!("{key} = {value}"),
                None => format!("no {key}"),
            };
            (value.as_deref() != Some(expected))
                .then(|| Unlike { expected: shown(Some(expected)), got: shown(value.as_deref()) })
        };
        unlike.into_iter().chain(self.values.iter().filter_map(differs)).collect()
    }

    fn observation(&self, seen: &WrittenObservation, catalog: &dyn Catalog) -> Observation {
        let statement = howdah_sql::scan(seen.sql.as_bytes(), ScanOptions::default(), catalog);
        Observation {
            session: 1,
            class: seen.class,
            kind: statement.kind,
            digest: statement.digest,
            node: seen.node.as_deref().map(Into::into),
            source: Source::Policy,
            latency_us: seen.latency_us,
            waited_us: seen.waited_us,
            rows: seen.rows,
            bytes: seen.bytes,
            sqlstate: self.sqlstate,
        }
    }
}
