//! The host's stand-in in native tests: what a policy would see, and what it did.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::catalog::Volatility;
use crate::kv::Error;
use crate::log::Level;
use crate::question::ParameterValue;
use crate::{Node, Settings};

/// What the current thread's policy sees and does.
#[derive(Default)]
pub struct Host {
    /// Lines that it has logged.
    pub lines: Vec<(Level, String)>,
    /// Settings that it can get.
    pub settings: Settings,
    /// Counters and gauges that it has made.
    pub metrics: BTreeMap<String, f64>,
    /// Values that it has added to histograms.
    pub histograms: BTreeMap<String, Vec<u64>>,
    /// Tags of the statement.
    pub tags: BTreeMap<String, String>,
    /// Who asks.
    pub user: String,
    /// Its database.
    pub database: String,
    /// Its application.
    pub application_name: String,
    /// What is bound to the statement's parameters: `$1` first.
    pub parameters: Vec<ParameterValue>,
    /// The statement's constants.
    pub literals: Vec<String>,
    /// What it reads from and changes.
    pub relations: Vec<String>,
    /// Shared values, and when they are forgotten.
    pub kv: BTreeMap<String, (Vec<u8>, Option<Duration>)>,
    /// Most shared values; none: as many as it likes.
    pub kv_keys: Option<usize>,
    /// What the monotonic clock says. It goes on only when a test sets it.
    pub now: Duration,
    /// What the wall clock said when the monotonic one began.
    pub wall: Duration,
    /// Random numbers to come; then zeros.
    pub random: VecDeque<u64>,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// Functions of the database, by name, or by schema and name with a dot.
    pub functions: BTreeMap<String, Volatility>,
}

impl Host {
    pub(crate) fn kv_get(&self, key: &str) -> Option<Vec<u8>> {
        let (value, until) = self.kv.get(key)?;
        until.is_none_or(|until| until > self.now).then(|| value.clone())
    }

    pub(crate) fn kv_set(
        &mut self,
        key: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let until = ttl.map(|ttl| self.now.saturating_add(ttl));
        self.kv_put(key, value.to_vec(), until)
    }

    pub(crate) fn kv_increment(
        &mut self,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, Error> {
        let (held, until) = match self.kv_get(key) {
            Some(value) => {
                let text = String::from_utf8(value).map_err(|_| Error::NotANumber)?;
                let until = self.kv.get(key).and_then(|(_, until)| *until);
                (text.parse().map_err(|_| Error::NotANumber)?, until)
            }
            None => (0_i64, ttl.map(|ttl| self.now.saturating_add(ttl))),
        };
        let overflow = || Error::Other("the sum has more than 64 bits".into());
        let sum = held.checked_add(by).ok_or_else(overflow)?;
        self.kv_put(key, sum.to_string().into_bytes(), until)?;
        Ok(sum)
    }

    fn kv_put(&mut self, key: &str, value: Vec<u8>, until: Option<Duration>) -> Result<(), Error> {
        if key.is_empty() || key.len() > 256 || value.len() > 64 << 10 {
            return Err(Error::TooLarge);
        }
        let now = self.now;
        self.kv.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        let full = self.kv_keys.is_some_and(|most| self.kv.len() >= most);
        if full && !self.kv.contains_key(key) {
            return Err(Error::Quota);
        }
        self.kv.insert(key.to_owned(), (value, until));
        Ok(())
    }
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Looks at, or changes, the stand-in of the current thread.
pub fn with<T>(see: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(see)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{clock, kv, random};

    fn pass(time: Duration) {
        with(|host| host.now += time);
    }

    #[test]
    fn shared_values_are_forgotten_as_the_clock_goes_on() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(kv::increment("n", 2, second).unwrap(), 2);
        pass(Duration::from_millis(600));
        assert_eq!(kv::increment("n", 2, second).unwrap(), 4);
        pass(Duration::from_millis(600));
        assert_eq!(kv::increment("n", 2, second).unwrap(), 2);
        kv::set("text", b"x", None).unwrap();
        assert!(matches!(kv::increment("text", 1, None), Err(Error::NotANumber)));
        assert!(!kv::compare_and_swap("text", None, b"y", None).unwrap());
        assert!(kv::compare_and_swap("text", Some(b"x"), b"y", second).unwrap());
        pass(Duration::from_secs(2));
        assert_eq!(kv::get("text"), None);
        with(|host| host.kv_keys = Some(1));
        kv::set("a", b"", None).unwrap();
        assert!(matches!(kv::set("b", b"", None), Err(Error::Quota)));
        kv::delete("a");
        kv::set("b", b"", None).unwrap();
    }

    #[test]
    fn clocks_and_random_numbers_are_the_tests_own() {
        with(|host| {
            host.wall = Duration::from_secs(1_000);
            host.random = [7, 8].into();
        });
        assert_eq!((random::next(), random::next(), random::next()), (7, 8, 0));
        pass(Duration::from_secs(1));
        assert_eq!(clock::monotonic(), Duration::from_secs(1));
        assert_eq!(clock::wall(), Duration::from_secs(1_001));
    }
}
