//! Sends statements again that failed through no fault of their own, with care: few times, for a short while, after a
//! pause that grows and is never quite the same, and only as long as there are few of them.
//!
//! Settings, all optional:
//! - `attempts`: how often a statement is sent at most, the first time included; by default 3.
//! - `within-ms`: nothing is sent again later than this after the first time; by default 5,000.
//! - `too-many-connections-ms`: the same for servers that have no connection left (53300): more attempts would keep them
//!   so. By default 1,000.
//! - `delay-ms`: the pause before the second attempt, doubled for each further one; by default 50. Half of it is by
//!   chance.
//! - `budget-percent`: of every hundred statements that succeed, so many may be sent again; by default 10.
//! - `budget-least`: so many more per second, for proxies with little traffic; by default 5.
//!
//! Only what surely has had no effect is sent again: what reached no server, was refused before it had an effect, ran on
//! a standby, or only reads. About anything else, a lost transaction say, it has no opinion, and so the next policy or
//! the host's own rule decides. It gives up where another attempt would not help: disk full, out of memory, and
//! what the client itself cancelled.
//!
//! The budget is counted per worker; it holds a reserve of at most ten seconds' worth of `budget-least`, and what the
//! traffic of the last moments earned, so that a server's failure does not become a storm of retries.
//! Counters: `again`, `gave_up`, `budget_empty`. Needs `grants = ["random", "metrics"]`.

use howdah_sdk::{
    Configure, Failure, Observation, Observe, Retry, RetryDecision, Safety, Settings, Statement,
    Target, Tick, export, metrics, random,
};

/// The budget is filled by what traffic earns up to so many retries: a burst of failures is answered, no storm.
const MOST_EARNED: f64 = 100.0;
/// Seconds of `budget-least` that are held in reserve.
const RESERVE_SECONDS: f64 = 10.0;
/// Longest pause, in milliseconds.
const MAX_DELAY_MS: u64 = 2_000;
/// How often the reserve is filled, in milliseconds.
const TICK_MS: u32 = 1_000;

/// The policy with its settings.
#[derive(Debug)]
pub struct CarefulRetry {
    attempts: u64,
    within_ms: u64,
    too_many_connections_ms: u64,
    delay_ms: u64,
    percent: f64,
    least: f64,
    /// Retries that may be made: earned by traffic, and in reserve.
    earned: f64,
    reserve: f64,
}

impl Default for CarefulRetry {
    fn default() -> Self {
        let least = 5.0;
        CarefulRetry {
            attempts: 3,
            within_ms: 5_000,
            too_many_connections_ms: 1_000,
            delay_ms: 50,
            percent: 10.0,
            least,
            earned: 0.0,
            reserve: least,
        }
    }
}

impl Configure for CarefulRetry {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        settings.only(&[
            "attempts",
            "budget-least",
            "budget-percent",
            "delay-ms",
            "too-many-connections-ms",
            "within-ms",
        ])?;
        let default = CarefulRetry::default();
        // Milliseconds up to an hour, and shares up to all: more is a mistake.
        let up_to = |name: &str, most: u64, usual: u64| match settings.number(name)? {
            Some(number) if number > most => Err(format!("{name} must be at most {most}")),
            number => Ok(number.unwrap_or(usual)),
        };
        let attempts = up_to("attempts", 100, default.attempts)?;
        if attempts == 0 {
            return Err("attempts must be at least 1".into());
        }
        let least = up_to("budget-least", 10_000, 5)? as f64;
        *self = CarefulRetry {
            attempts,
            within_ms: up_to("within-ms", 3_600_000, default.within_ms)?,
            too_many_connections_ms: up_to(
                "too-many-connections-ms",
                3_600_000,
                default.too_many_connections_ms,
            )?,
            delay_ms: up_to("delay-ms", MAX_DELAY_MS, default.delay_ms)?,
            percent: up_to("budget-percent", 100, 10)? as f64,
            least,
            // A living instance keeps what it has earned.
            earned: self.earned,
            reserve: least,
        };
        Ok(())
    }
}

impl Retry for CarefulRetry {
    fn failed(&mut self, failure: &Failure, _: &Statement<'_>) -> RetryDecision {
        if !failure.safety.allows_again() {
            return RetryDecision::NoOpinion;
        }
        if !self.helps(failure) {
            metrics::count("gave_up", 1);
            return RetryDecision::GiveUp;
        }
        if !self.spend() {
            metrics::count("budget_empty", 1);
            return RetryDecision::GiveUp;
        }
        metrics::count("again", 1);
        RetryDecision::again(target(failure), self.pause(failure))
    }
}

impl CarefulRetry {
    /// Whether another attempt may be of use.
    fn helps(&self, failure: &Failure) -> bool {
        let within = match failure.sqlstate.as_deref() {
            // Disk full, out of memory, canceled by the client or its statement_timeout.
            Some("53100" | "53200" | "57014") => return false,
            Some("53300") => self.too_many_connections_ms.min(self.within_ms),
            _ => self.within_ms,
        };
        u64::from(failure.attempt) < self.attempts && failure.elapsed_ms < within
    }

    /// Takes a retry from the budget, if it has one.
    fn spend(&mut self) -> bool {
        for budget in [&mut self.earned, &mut self.reserve] {
            if *budget >= 1.0 {
                *budget -= 1.0;
                return true;
            }
        }
        false
    }

    /// How long to wait, in milliseconds: half of it for sure, and up to half by chance.
    fn pause(&self, failure: &Failure) -> u32 {
        if at_once(failure) {
            return 0;
        }
        let doublings = failure.attempt.saturating_sub(1).min(16);
        let most = (self.delay_ms << doublings).min(MAX_DELAY_MS);
        let sure = most / 2;
        let pause = sure + random::next() % (most - sure + 1);
        u32::try_from(pause).unwrap_or(u32::MAX)
    }
}

/// What another server, or the same one, can surely do now: waiting would be of no use.
fn at_once(failure: &Failure) -> bool {
    let stale_plan = failure.sqlstate.as_deref() == Some("0A000");
    failure.attempt == 1 && (failure.safety == Safety::OnStandby || stale_plan)
}

/// Where to: what a standby cannot do, the primary can; what is busy or gone is best left alone.
fn target(failure: &Failure) -> Target {
    match (failure.safety, failure.sqlstate.as_deref()) {
        (_, Some("0A000")) => Target::Same,
        (_, Some("25006")) | (Safety::OnStandby, _) => Target::Primary,
        _ => Target::Another,
    }
}

impl Observe for CarefulRetry {
    fn statements(&mut self, batch: &[Observation]) {
        let well = batch.iter().filter(|seen| seen.sqlstate.is_none()).count();
        self.earned = (self.earned + well as f64 * self.percent / 100.0).min(MOST_EARNED);
    }
}

impl Tick for CarefulRetry {
    fn tick(&mut self) -> u32 {
        self.reserve = (self.reserve + self.least).min(self.least * RESERVE_SECONDS);
        TICK_MS
    }
}

export!(CarefulRetry: configure, retry, observe, tick);

#[cfg(test)]
mod tests;
