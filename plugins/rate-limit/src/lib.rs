//! Limits how many requests per second each user, application or tenant may send.
//!
//! Settings:
//! - `key`: who has a limit of its own: `user` (the default), `application`, or `tag:NAME`, the value of that tag in the
//!   statement's comment (`/* tenant='7' */`). Statements without the tag share one limit.
//! - `per-second`: requests per second that each may send in the long run. Needed.
//! - `burst`: requests that each may send at once; by default as many as in a second.
//! - `limits.NAME`: another `per-second` for that user, application or value; its burst grows in proportion.
//! - `mode`: `enforce` (the default): what is too much gets SQLSTATE 53400 with a message that tells the limit; or
//!   `warn`: it is counted and logged only.
//!
//! A request is what clients send outside of transactions: a simple query, a statement of the extended protocol, the
//! BEGIN of a transaction. A statement that is prepared first, and executed later, is one more. What is within a transaction is not counted, and so never refused half-way.
//!
//! Requests are counted in windows of `burst / per-second` seconds. The window before counts by the part of it that is
//! not yet a window ago, so that no moment lets twice as much pass. The counts are shared by all workers, and by all
//! proxies when the configuration has a `[kv]` section. Refused requests are not counted: whoever sends too much still
//! gets its share. When there is no room for more counts (`limits.kv_keys`), requests pass.
//!
//! Counters: `allowed`, `refused`, `warned`, `uncounted`. Needs `grants = ["kv", "clock", "metrics"]`. It has to stand
//! before policies that decide where statements go; since each request is counted, each is asked about.
//! Tags and application names are whatever clients say.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_sdk::{
    Configure, Decision, Route, Settings, Statement, Value, Verdict, clock, export, kv, log,
    metrics, question,
};

/// Names that are longer are told apart by a hash: a key of the shared values has 256 bytes.
const MAX_NAME: usize = 200;
/// The prefix of settings for one name.
const LIMITS: &str = "limits.";

/// The policy with its settings.
#[derive(Debug, Default)]
pub struct RateLimit {
    key: Key,
    limit: Limit,
    /// Other limits, by name.
    limits: BTreeMap<String, Limit>,
    warn: bool,
}

/// Who has a limit of its own.
#[derive(Debug, Default, PartialEq, Eq)]
enum Key {
    #[default]
    User,
    Application,
    Tag(String),
}

/// How much somebody may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Limit {
    per_second: u64,
    burst: u64,
}

impl Configure for RateLimit {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        const KNOWN: [&str; 4] = ["burst", "key", "mode", "per-second"];
        let (own, general) = settings.0.iter().cloned().partition(|(n, _)| n.starts_with(LIMITS));
        let (own, general): (Vec<(String, Value)>, _) = (own, Settings(general));
        general.only(&KNOWN).map_err(|error| format!("{error}, {LIMITS}NAME"))?;
        let per_second = positive(&general, "per-second")?.ok_or("per-second is needed")?;
        let burst = positive(&general, "burst")?.unwrap_or(per_second);
        let mut limits = BTreeMap::new();
        let own = Settings(own);
        for (name, _) in &own.0 {
            let other = positive(&own, name)?.unwrap_or(per_second);
            let burst = (u128::from(burst) * u128::from(other)).div_ceil(per_second.into());
            let burst = u64::try_from(burst).unwrap_or(u64::MAX);
            let name = name.strip_prefix(LIMITS).unwrap_or(name);
            limits.insert(name.to_owned(), Limit { per_second: other, burst });
        }
        let key = match general.text("key")? {
            None => Key::User,
            Some(text) => Key::named(text)?,
        };
        let warn = match general.text("mode")? {
            None | Some("enforce") => false,
            Some("warn") => true,
            Some(other) => return Err(format!("mode must be enforce or warn, not {other}")),
        };
        *self = RateLimit { key, limit: Limit { per_second, burst }, limits, warn };
        Ok(())
    }
}

/// A whole number from 1 up to a million million, so that no sum has too many bits.
fn positive(settings: &Settings, name: &str) -> Result<Option<u64>, String> {
    const MOST: u64 = 1_000_000_000_000;
    match settings.number(name)? {
        Some(number) if !(1..=MOST).contains(&number) => {
            Err(format!("{name} must be from 1 to {MOST}"))
        }
        number => Ok(number),
    }
}

impl Route for RateLimit {
    fn route(&mut self, _: &Statement<'_>) -> Verdict {
        let name = self.key.of_question();
        let limit = self.limits.get(&name).unwrap_or(&self.limit);
        let decision = match limit.admits(&name, self.warn) {
            Ok(true) => {
                metrics::count("allowed", 1);
                Decision::NoOpinion
            }
            Ok(false) => self.too_much(&name, limit),
            Err(error) => {
                metrics::count("uncounted", 1);
                log::warn(&format!("requests cannot be counted: {error:?}"));
                Decision::NoOpinion
            }
        };
        decision.always_ask()
    }
}

impl RateLimit {
    fn too_much(&self, name: &str, limit: &Limit) -> Decision {
        let Limit { per_second, burst } = limit;
        let who = self.key.in_words(name);
        let message =
            format!("rate-limit: {who} may send {per_second} requests per second, {burst} at once");
        if self.warn {
            metrics::count("warned", 1);
            log::warn(&message);
            return Decision::NoOpinion;
        }
        metrics::count("refused", 1);
        Decision::refuse("53400", &message)
    }
}

impl Key {
    fn named(text: &str) -> Result<Key, String> {
        match text {
            "user" => Ok(Key::User),
            "application" => Ok(Key::Application),
            _ => match text.strip_prefix("tag:") {
                Some(name) if !name.is_empty() => Ok(Key::Tag(name.to_owned())),
                _ => Err(format!("key must be user, application or tag:NAME, not {text}")),
            },
        }
    }

    /// Whose request the present question is about.
    fn of_question(&self) -> String {
        match self {
            Key::User => question::user(),
            Key::Application => question::application_name(),
            Key::Tag(tag) => question::tag(tag).unwrap_or_default(),
        }
    }

    fn in_words(&self, name: &str) -> String {
        match self {
            Key::User => format!("user \"{name}\""),
            Key::Application => format!("application \"{name}\""),
            Key::Tag(tag) => format!("{tag} \"{name}\""),
        }
    }
}

impl Limit {
    /// Counts a request, if it is within the limit or `anyway`. Whether it is.
    fn admits(self, name: &str, anyway: bool) -> Result<bool, kv::Error> {
        let window = self.window_ms();
        let now = u64::try_from(clock::wall().as_millis()).unwrap_or(u64::MAX);
        let (number, into) = (now / window, now % window);
        // The count of a window is looked at until the next one ends.
        let ttl = Some(Duration::from_millis(window.saturating_mul(2)));
        let key = |number: u64| format!("{}/{window}/{number}", short(name));
        let before = match number.checked_sub(1).and_then(|before| kv::get(&key(before))) {
            Some(digits) => String::from_utf8_lossy(&digits).parse().unwrap_or(0_u64),
            None => 0,
        };
        let carried = u128::from(before) * u128::from(window - into) / u128::from(window);
        let sum = kv::increment(&key(number), 1, ttl)?;
        let within = carried + u128::from(sum.max(0).unsigned_abs()) <= self.burst.into();
        if !within && !anyway {
            kv::increment(&key(number), -1, ttl)?;
        }
        Ok(within)
    }

    /// How long the burst takes at the limit's pace.
    fn window_ms(self) -> u64 {
        (self.burst.saturating_mul(1_000) / self.per_second.max(1)).max(1)
    }
}

/// The name, or a hash of one that is too long for a key.
fn short(name: &str) -> String {
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    // FNV-1a.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("#{hash:016x}")
}

export!(RateLimit: configure, route);

#[cfg(test)]
mod tests;
