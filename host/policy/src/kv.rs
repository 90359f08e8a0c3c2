//! Values that all instances of a policy share: in memory, in shards, without a lock that everybody takes.
//! When several proxies share them, this is the copy that calls work on; see [`shared`].

mod shared;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::spec::Limits;
use shared::Pending;
pub use shared::{Due, News, Room, Sharing, Values, Written};

/// Longest key and value, in bytes: a policy keeps counters and small notes, no documents.
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 64 << 10;
/// Shards of a space: several times as many as worker threads that meet in it at one moment.
const SHARDS: usize = 32;
/// What an entry takes besides its key and value, in round numbers: it counts, so that many small ones are not free.
const OVERHEAD: usize = 64;
/// Longest time to live: some thirty years, so that no sum of times overflows.
const MAX_TTL: Duration = Duration::from_secs(1 << 30);

/// Why a value was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The policy's keys or bytes are used up.
    Quota,
    /// The key is empty or too long, or the value is.
    TooLarge,
    /// What is there is not a number.
    NotANumber,
    /// The sum has more than 64 bits.
    Overflow,
}

impl Error {
    const ALL: [Error; 4] = [Error::Quota, Error::TooLarge, Error::NotANumber, Error::Overflow];

    /// The word that recordings use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Error::Quota => "quota",
            Error::TooLarge => "too-large",
            Error::NotANumber => "not-a-number",
            Error::Overflow => "overflow",
        }
    }

    /// The error of this name.
    pub(crate) fn named(name: &str) -> Option<Error> {
        Error::ALL.into_iter().find(|error| error.name() == name)
    }
}

/// Where values are kept. Every call is atomic, and waits for nothing outside of this process.
pub(crate) trait Store: Send + Sync {
    fn get(&self, key: &str) -> Option<Box<[u8]>>;
    fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>, quota: Quota) -> Result<(), Error>;
    fn delete(&self, key: &str);
    /// Whether the present value was as expected, and has been replaced.
    fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl_ms: Option<u64>,
        quota: Quota,
    ) -> Result<bool, Error>;
    fn increment(
        &self,
        key: &str,
        by: i64,
        ttl_ms: Option<u64>,
        quota: Quota,
    ) -> Result<i64, Error>;
}

/// How much may be in a space, as the policy that asks is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}

impl From<&Limits> for Quota {
    fn from(limits: &Limits) -> Quota {
        Quota { keys: limits.kv_keys, bytes: limits.kv_bytes }
    }
}

/// The spaces of a process, by name. They outlive the policies that use them.
#[derive(Default)]
pub(crate) struct Spaces {
    by_name: Mutex<HashMap<String, Arc<Space>>>,
    /// Whether other proxies have copies of them.
    shared: AtomicBool,
}

impl Spaces {
    /// The space of this name, made when it is first wanted. What others put into it is kept up to the largest quota of
    /// those that want it.
    pub(crate) fn get(&self, name: &str, quota: Quota) -> Arc<dyn Store> {
        let mut spaces = self.by_name.lock();
        let space = spaces.entry(name.to_owned()).or_default();
        space.shared.fetch_or(self.shared.load(Ordering::Relaxed), Ordering::Relaxed);
        space.most_keys.fetch_max(quota.keys, Ordering::Relaxed);
        space.most_bytes.fetch_max(quota.bytes, Ordering::Relaxed);
        Arc::clone(space) as Arc<dyn Store>
    }

    /// How much is in each, by name. What has expired does not count.
    pub(crate) fn status(&self) -> Vec<SpaceStatus> {
        let status = |(name, space): (&String, &Arc<Space>)| {
            space.sweep(Instant::now());
            let (keys, bytes) = (&space.keys, &space.bytes);
            let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
            SpaceStatus { name: name.clone(), keys: read(keys), bytes: read(bytes) }
        };
        let mut all: Vec<SpaceStatus> = self.by_name.lock().iter().map(status).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Forgets the spaces that no policy of the chain or of a transaction's older chain uses.
    pub(crate) fn tidy(&self) {
        self.by_name.lock().retain(|_, space| Arc::strong_count(space) > 1);
    }
}

/// How much is in a space of shared values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceStatus {
    /// Its name: that of its policy, or what `kv_space` says.
    pub name: String,
    /// Values in it.
    pub keys: usize,
    /// What they take, as `limits.kv_bytes` counts them.
    pub bytes: usize,
}

/// A space without a name.
pub(crate) fn apart() -> Arc<dyn Store> {
    Arc::new(Space::default())
}

struct Entry {
    value: Box<[u8]>,
    expires: Option<Instant>,
    /// Its key is among the shard's pending ones.
    noted: bool,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<Box<str>, Entry>,
    /// What other proxies have to be told or asked, by key; empty when there are none.
    pending: HashMap<Box<str>, Pending>,
    /// No entry expires before this.
    earliest: Option<Instant>,
}

/// A space in memory.
#[derive(Default)]
pub(crate) struct Space {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    keys: AtomicUsize,
    bytes: AtomicUsize,
    /// Whether other proxies have copies of it.
    shared: AtomicBool,
    /// The largest quota of those that use it.
    most_keys: AtomicUsize,
    most_bytes: AtomicUsize,
    /// When something was set last, here or elsewhere, in microseconds since 1970.
    newest: AtomicU64,
    /// The shard that is refreshed as a whole next.
    turn: AtomicUsize,
}

impl Space {
    fn shard(&self, key: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// The entry of a key, if it has not expired; one that has is gone then.
    fn living<'s>(&self, shard: &'s mut Shard, key: &str, now: Instant) -> Option<&'s mut Entry> {
        let dead = shard.entries.get(key)?.expires.is_some_and(|at| at <= now);
        if dead {
            self.remove(shard, key);
        }
        shard.entries.get_mut(key)
    }

    fn remove(&self, shard: &mut Shard, key: &str) {
        if let Some(entry) = shard.entries.remove(key) {
            self.keys.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(size(key, &entry.value), Ordering::Relaxed);
        }
        if let Some(pending) = shard.pending.get_mut(key) {
            pending.add = 0;
        }
    }

    /// Puts a value in the place of the present one, which has not expired.
    fn put(
        &self,
        shard: &mut Shard,
        key: &str,
        value: &[u8],
        expires: Option<Instant>,
        quota: Quota,
    ) -> Result<(), Error> {
        let entry = shard.entries.get(key);
        let noted = entry.is_some_and(|entry| entry.noted);
        let held = entry.map(|entry| size(key, &entry.value));
        let new = size(key, value);
        let grows = new.saturating_sub(held.unwrap_or(0));
        if !reserve(&self.bytes, grows, quota.bytes) {
            return Err(Error::Quota);
        }
        if held.is_none() && !reserve(&self.keys, 1, quota.keys) {
            self.bytes.fetch_sub(grows, Ordering::Relaxed);
            return Err(Error::Quota);
        }
        self.bytes.fetch_sub(held.unwrap_or(0).saturating_sub(new), Ordering::Relaxed);
        shard.earliest = shard.earliest.into_iter().chain(expires).min();
        shard.entries.insert(key.into(), Entry { value: value.into(), expires, noted });
        Ok(())
    }

    /// Throws away what has expired. A shard in which nothing can have is only looked at.
    fn sweep(&self, now: Instant) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            if shard.earliest.is_none_or(|at| at > now) {
                continue;
            }
            let dead = |entry: &Entry| entry.expires.is_some_and(|at| at <= now);
            let gone: Vec<Box<str>> =
                shard.entries.iter().filter(|(_, e)| dead(e)).map(|(k, _)| k.clone()).collect();
            for key in gone {
                self.remove(&mut shard, &key);
            }
            shard.earliest = shard.entries.values().filter_map(|entry| entry.expires).min();
        }
    }

    /// Does something with the key's shard; once more when there was no room and something had expired.
    fn change<T>(
        &self,
        key: &str,
        now: Instant,
        change: impl Fn(&mut Shard) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Error::TooLarge);
        }
        let first = change(&mut self.shard(key).lock());
        if !matches!(first, Err(Error::Quota)) {
            return first;
        }
        self.sweep(now);
        change(&mut self.shard(key).lock())
    }

    fn get_at(&self, key: &str, now: Instant) -> Option<Box<[u8]>> {
        let mut shard = self.shard(key).lock();
        let found = self.living(&mut shard, key, now).map(|entry| entry.value.clone());
        self.used(&mut shard, key);
        found
    }

    fn set_at(
        &self,
        key: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
        quota: Quota,
        now: Instant,
    ) -> Result<(), Error> {
        fits(value)?;
        self.change(key, now, |shard| {
            self.living(shard, key, now);
            self.put(shard, key, value, deadline(now, ttl_ms), quota)?;
            self.written(shard, key);
            Ok(())
        })
    }

    fn increment_at(
        &self,
        key: &str,
        by: i64,
        ttl_ms: Option<u64>,
        quota: Quota,
        now: Instant,
    ) -> Result<i64, Error> {
        self.change(key, now, |shard| {
            let (held, expires) = match self.living(shard, key, now) {
                Some(entry) => (number(&entry.value)?, entry.expires),
                None => (0, deadline(now, ttl_ms)),
            };
            let sum = held.checked_add(by).ok_or(Error::Overflow)?;
            let added = self.added(shard, key, by)?;
            self.put(shard, key, sum.to_string().as_bytes(), expires, quota)?;
            self.note(shard, key, |pending| pending.add = added);
            Ok(sum)
        })
    }
}

impl Store for Space {
    fn get(&self, key: &str) -> Option<Box<[u8]>> {
        self.get_at(key, Instant::now())
    }

    fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>, quota: Quota) -> Result<(), Error> {
        self.set_at(key, value, ttl_ms, quota, Instant::now())
    }

    fn delete(&self, key: &str) {
        let mut shard = self.shard(key).lock();
        self.remove(&mut shard, key);
        self.written(&mut shard, key);
    }

    fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl_ms: Option<u64>,
        quota: Quota,
    ) -> Result<bool, Error> {
        fits(value)?;
        let now = Instant::now();
        self.change(key, now, |shard| {
            let present = self.living(shard, key, now).map(|entry| &*entry.value);
            if present != expected {
                self.used(shard, key);
                return Ok(false);
            }
            self.put(shard, key, value, deadline(now, ttl_ms), quota)?;
            self.written(shard, key);
            Ok(true)
        })
    }

    fn increment(
        &self,
        key: &str,
        by: i64,
        ttl_ms: Option<u64>,
        quota: Quota,
    ) -> Result<i64, Error> {
        self.increment_at(key, by, ttl_ms, quota, Instant::now())
    }
}

fn size(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + OVERHEAD
}

fn fits(value: &[u8]) -> Result<(), Error> {
    if value.len() > MAX_VALUE { Err(Error::TooLarge) } else { Ok(()) }
}

fn deadline(now: Instant, ttl_ms: Option<u64>) -> Option<Instant> {
    ttl_ms.map(|ms| now + Duration::from_millis(ms).min(MAX_TTL))
}

fn number(value: &[u8]) -> Result<i64, Error> {
    let text = std::str::from_utf8(value).map_err(|_| Error::NotANumber)?;
    text.parse().map_err(|_| Error::NotANumber)
}

/// Takes `more` of what there is up to `most`.
fn reserve(used: &AtomicUsize, more: usize, most: usize) -> bool {
    let fits = |used: usize| used.checked_add(more).filter(|sum| *sum <= most || more == 0);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PLENTY: Quota = Quota { keys: 1_000, bytes: 1 << 20 };

    #[test]
    fn values_are_set_and_forgotten() {
        let space = Space::default();
        let now = Instant::now();
        space.set_at("a", b"1", None, PLENTY, now).unwrap();
        space.set_at("b", b"2", Some(100), PLENTY, now).unwrap();
        let later = now + Duration::from_millis(100);
        assert_eq!(space.get_at("b", now + Duration::from_millis(99)).as_deref(), Some(&b"2"[..]));
        assert_eq!(space.get_at("b", later), None);
        assert_eq!(space.get_at("a", later).as_deref(), Some(&b"1"[..]));
        space.delete("a");
        assert_eq!(space.get("a"), None);
        assert_eq!((space.keys.into_inner(), space.bytes.into_inner()), (0, 0));
    }

    #[test]
    fn a_value_is_swapped_only_when_it_is_as_expected() {
        let space = Space::default();
        let swap =
            |expected, value| space.compare_and_swap("k", expected, value, None, PLENTY).unwrap();
        assert!(!swap(Some(b"x"), b"1"));
        assert!(swap(None, b"1"));
        assert!(!swap(None, b"2"));
        assert!(swap(Some(b"1"), b"2"));
        assert_eq!(space.get("k").as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn a_number_expires_as_it_was_first_told() {
        let space = Space::default();
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let add = |by, ms| space.increment_at("n", by, Some(100), PLENTY, at(ms));
        assert_eq!((add(2, 0), add(3, 60), add(-1, 99)), (Ok(2), Ok(5), Ok(4)));
        assert_eq!(add(1, 100), Ok(1));
        assert_eq!(add(i64::MAX, 100), Err(Error::Overflow));
        space.set("n", b"many", None, PLENTY).unwrap();
        assert_eq!(space.increment("n", 1, None, PLENTY), Err(Error::NotANumber));
    }

    #[test]
    fn threads_lose_no_increment() {
        let space = Space::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..1_000 {
                        space.increment(&format!("n{}", i % 10), 1, None, PLENTY).unwrap();
                    }
                });
            }
        });
        for i in 0..10 {
            assert_eq!(space.get(&format!("n{i}")).as_deref(), Some(&b"400"[..]));
        }
        assert_eq!(space.keys.into_inner(), 10);
    }

    #[test]
    fn quotas_hold_and_what_has_expired_makes_room() {
        let space = Space::default();
        let now = Instant::now();
        let few = Quota { keys: 3, bytes: 1_000 };
        let set = |key: &str, len, ttl, now| space.set_at(key, &vec![0; len], ttl, few, now);
        for key in ["a", "b", "c"] {
            set(key, 10, Some(50), now).unwrap();
        }
        assert_eq!(set("d", 1, None, now), Err(Error::Quota));
        assert_eq!(set("a", 900, None, now), Err(Error::Quota));
        assert_eq!(set("a", 700, Some(50), now), Ok(()));
        assert_eq!(set("a", 10, Some(50), now), Ok(()));
        let later = now + Duration::from_millis(50);
        assert_eq!(set("d", 900, None, later), Ok(()));
        assert_eq!(set("", 1, None, later), Err(Error::TooLarge));
        assert_eq!(set(&"k".repeat(MAX_KEY + 1), 1, None, later), Err(Error::TooLarge));
        assert_eq!(set("e", MAX_VALUE + 1, None, later), Err(Error::TooLarge));
        assert_eq!(space.bytes.into_inner(), 1 + 900 + OVERHEAD);
    }

    #[test]
    fn a_space_outlives_those_that_use_it_until_it_is_tidied() {
        let spaces = Spaces::default();
        let first = spaces.get("s", PLENTY);
        first.set("k", b"v", None, PLENTY).unwrap();
        spaces.tidy();
        drop(first);
        assert_eq!(spaces.get("s", PLENTY).get("k").as_deref(), Some(&b"v"[..]));
        spaces.tidy();
        assert_eq!(spaces.get("s", PLENTY).get("k"), None);
    }
}
