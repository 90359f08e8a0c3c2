//! A space of which other proxies have copies: what they have to be told or asked, and what they have said. Whoever has
//! a network fetches the one and brings the other; here nothing waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use super::{Error, MAX_KEY, MAX_VALUE, Quota, SHARDS, Shard, Space, Store, number};
use crate::host::World;

/// Most keys of a shard that are to be told or asked and of which there is no value here, as after a deletion. Values
/// are bounded by the quota, and these have to be bounded too.
const MAX_LOOSE: usize = 1_024;
/// How far others' clocks may be ahead of ours, in microseconds: a day. What claims to be set later is not believed.
const MAX_AHEAD: u64 = 86_400_000_000;

/// What others have to be told of a key. Nothing: they are asked for its value.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// It was set or deleted, then.
    set: Option<u64>,
    /// This was added, after it was set if it was.
    pub(super) add: i64,
}

/// What others have to be told of a key, and asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The key's space.
    pub space: Arc<str>,
    /// The key.
    pub key: Box<str>,
    /// It was set or deleted.
    pub written: Option<Written>,
    /// Then this was added to it.
    pub add: i64,
    /// When the value expires.
    pub expires: Option<Instant>,
}

/// A value that was set, or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// When: of two, the later one stays. Microseconds since 1970.
    pub at: u64,
    /// None: it was deleted.
    pub value: Option<Box<[u8]>>,
}

/// What others say of a key after they have been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// There is no value.
    Absent,
    /// The value, with all that was added.
    Value(Vec<u8>, Option<Instant>),
    /// What is there is not a value as policies have them. The copy goes on alone.
    Unusable,
    /// It has to be asked for again.
    Unsaid,
}

/// How much may be fetched at once.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Keys.
    pub keys: usize,
    /// Bytes of keys and values. One that is larger alone is fetched all the same.
    pub bytes: usize,
}

/// The copies of all spaces of a registry, as those see them who exchange them.
pub struct Sharing(Arc<World>);

/// A space as policies see it.
pub struct Values(Arc<dyn Store>, Quota);

impl Sharing {
    pub(crate) fn new(world: Arc<World>) -> Sharing {
        let spaces = world.spaces.by_name.lock();
        world.spaces.shared.store(true, Ordering::Relaxed);
        for space in spaces.values() {
            space.shared.store(true, Ordering::Relaxed);
        }
        drop(spaces);
        Sharing(world)
    }

    /// To be called once per round: one shard of each space is due as a whole, so that what nobody looks at is refreshed
    /// too, if less often.
    pub fn turn(&self) {
        for space in self.0.spaces.by_name.lock().values() {
            space.turn();
        }
    }

    /// Fetches what is due. It is forgotten here: whoever fetches it sees to it that it is told, once.
    pub fn due(&self, mut room: Room) -> Vec<Due> {
        let spaces: Vec<(Arc<str>, Arc<Space>)> = {
            let spaces = self.0.spaces.by_name.lock();
            spaces.iter().map(|(name, space)| (name.as_str().into(), Arc::clone(space))).collect()
        };
        let mut due = Vec::new();
        for (name, space) in spaces {
            space.fetch(&name, &mut room, &mut due, Instant::now());
        }
        due
    }

    /// Takes in what others say of a key, and when they say it was set. False: there was no room for the value.
    pub fn take_in(&self, due: &Due, news: News, at: u64) -> bool {
        let space = self.0.spaces.by_name.lock().get(&*due.space).cloned();
        space.is_none_or(|space| space.take_in(&due.key, news, at, Instant::now()))
    }

    /// What is set later than this is not believed. Microseconds since 1970.
    pub fn believable(&self) -> u64 {
        wall() + MAX_AHEAD
    }
}

impl Values {
    pub(crate) fn new(world: &World, space: &str, quota: Quota) -> Values {
        Values(world.spaces.get(space, quota), quota)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Box<[u8]>> {
        self.0.get(key)
    }

    /// Sets a value. False: there is no room for it.
    pub fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> bool {
        self.0.set(key, value, ttl_ms, self.1).is_ok()
    }

    /// Deletes a value.
    pub fn delete(&self, key: &str) {
        self.0.delete(key);
    }

    /// Adds to a number. None: there is no room, or what is there is not a number.
    pub fn increment(&self, key: &str, by: i64, ttl_ms: Option<u64>) -> Option<i64> {
        self.0.increment(key, by, ttl_ms, self.1).ok()
    }
}

impl Space {
    /// A value of this key was looked at: others are to be asked for theirs.
    pub(super) fn used(&self, shard: &mut Shard, key: &str) {
        let shared = self.shared.load(Ordering::Relaxed);
        if shared && !shard.entries.get(key).is_some_and(|entry| entry.noted) {
            self.note(shard, key, |_| {});
        }
    }

    /// The key was set or deleted now.
    pub(super) fn written(&self, shard: &mut Shard, key: &str) {
        let at = || {
            let now = wall();
            let later = |newest: u64| Some(now.max(newest.saturating_add(1)));
            let before = self.newest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
            before.map_or(now, |newest| now.max(newest.saturating_add(1)))
        };
        self.note(shard, key, |pending| *pending = Pending { set: Some(at()), add: 0 });
    }

    /// What will have to be added elsewhere, with this.
    pub(super) fn added(&self, shard: &Shard, key: &str, by: i64) -> Result<i64, Error> {
        let before = shard.pending.get(key).map_or(0, |pending| pending.add);
        before.checked_add(by).ok_or(Error::Overflow)
    }

    /// Notes something that others have to be told, if there are others.
    pub(super) fn note(&self, shard: &mut Shard, key: &str, note: impl FnOnce(&mut Pending)) {
        if !self.shared.load(Ordering::Relaxed) {
            return;
        }
        let Shard { entries, pending, .. } = shard;
        if let Some(pending) = pending.get_mut(key) {
            note(pending);
            return;
        }
        let full = pending.len() >= entries.len() + MAX_LOOSE;
        match entries.get_mut(key) {
            Some(entry) => entry.noted = true,
            None if key.is_empty() || key.len() > MAX_KEY => return,
            None if full => return,
            None => {}
        }
        note(pending.entry(key.into()).or_default());
    }

    fn turn(&self) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shards[turn % SHARDS].lock();
        let Shard { entries, pending, .. } = &mut *shard;
        for (key, entry) in entries.iter_mut().filter(|(_, entry)| !entry.noted) {
            entry.noted = true;
            pending.entry(key.clone()).or_default();
        }
    }

    fn fetch(&self, name: &Arc<str>, room: &mut Room, due: &mut Vec<Due>, now: Instant) {
        self.sweep(now);
        let first = self.turn.load(Ordering::Relaxed);
        for i in 0..SHARDS {
            let mut shard = self.shards[(first + i) % SHARDS].lock();
            let keys: Vec<Box<str>> = shard.pending.keys().take(room.keys).cloned().collect();
            for key in keys {
                if room.bytes == 0 {
                    return;
                }
                let Some(pending) = shard.pending.remove(&key) else { continue };
                let entry = shard.entries.get_mut(&key).map(|entry| {
                    entry.noted = false;
                    (&*entry.value, entry.expires)
                });
                let one = describe(name, key, &pending, entry);
                let value = one.written.as_ref().and_then(|written| written.value.as_ref());
                let bytes = one.key.len() + value.map_or(0, |value| value.len());
                room.bytes = room.bytes.saturating_sub(bytes);
                room.keys -= 1;
                due.push(one);
            }
        }
    }

    fn take_in(&self, key: &str, news: News, at: u64, now: Instant) -> bool {
        if at <= wall() + MAX_AHEAD {
            self.newest.fetch_max(at, Ordering::Relaxed);
        }
        let mut shard = self.shard(key).lock();
        let shard = &mut *shard;
        self.living(shard, key, now);
        // Set here meanwhile: the others will be told.
        if shard.pending.get(key).is_some_and(|pending| pending.set.is_some()) {
            return true;
        }
        let added = shard.pending.get(key).map_or(0, |pending| pending.add);
        match news {
            News::Unusable => true,
            News::Unsaid => {
                self.note(shard, key, |_| {});
                true
            }
            News::Absent if added != 0 => true,
            News::Absent => {
                self.remove(shard, key);
                true
            }
            News::Value(_, Some(at)) if at <= now => {
                self.remove(shard, key);
                true
            }
            News::Value(value, expires) => {
                let value = match number(&value).ok().and_then(|held| held.checked_add(added)) {
                    Some(sum) if added != 0 => sum.to_string().into_bytes(),
                    _ => value,
                };
                self.keep(shard, key, &value, expires)
            }
        }
    }

    /// Keeps a value that others have. Without room for it the old one goes too: it is not what others have.
    fn keep(&self, shard: &mut Shard, key: &str, value: &[u8], expires: Option<Instant>) -> bool {
        let quota = Quota {
            keys: self.most_keys.load(Ordering::Relaxed),
            bytes: self.most_bytes.load(Ordering::Relaxed),
        };
        let kept = value.len() <= MAX_VALUE && self.put(shard, key, value, expires, quota).is_ok();
        if !kept {
            self.remove(shard, key);
        }
        kept
    }
}

/// What is due of a key. What was set is known from the value and what was added to it since.
fn describe(
    space: &Arc<str>,
    key: Box<str>,
    pending: &Pending,
    entry: Option<(&[u8], Option<Instant>)>,
) -> Due {
    let expires = entry.and_then(|(_, expires)| expires);
    let value = || {
        let (value, _) = entry?;
        let sum = number(value).ok().filter(|_| pending.add != 0);
        let before = sum.and_then(|sum| sum.checked_sub(pending.add));
        Some(before.map_or_else(|| value.into(), |before| before.to_string().into_bytes().into()))
    };
    let written = pending.set.map(|at| Written { at, value: value() });
    Due { space: Arc::clone(space), key, written, add: pending.add, expires }
}

/// Microseconds since 1970.
fn wall() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PLENTY: Quota = Quota { keys: 100_000, bytes: 16 << 20 };

    fn shared() -> (Arc<dyn Store>, Sharing) {
        let world = Arc::new(World::new());
        let before = world.spaces.get("s", PLENTY);
        (before, Sharing::new(world))
    }

    fn due(sharing: &Sharing) -> Vec<Due> {
        sharing.due(Room { keys: 1_000, bytes: 1 << 20 })
    }

    fn add(space: &Arc<dyn Store>, key: &str, by: i64) -> i64 {
        space.increment(key, by, None, PLENTY).unwrap()
    }

    #[test]
    fn what_is_not_shared_is_not_noted() {
        let world = Arc::new(World::new());
        let space = world.spaces.get("s", PLENTY);
        add(&space, "n", 1);
        space.get("other");
        space.delete("n");
        assert_eq!(due(&Sharing::new(world)), []);
    }

    #[test]
    fn what_is_added_while_others_are_asked_is_added_to_what_they_say() {
        let (space, sharing) = shared();
        add(&space, "n", 2);
        add(&space, "n", 3);
        let told = due(&sharing);
        assert_eq!((told.len(), told[0].add, &told[0].written), (1, 5, &None));
        assert_eq!(due(&sharing), []);
        add(&space, "n", 10);
        assert!(sharing.take_in(&told[0], News::Value(b"105".into(), None), 0));
        assert_eq!(space.get("n").as_deref(), Some(&b"115"[..]));
        assert_eq!(due(&sharing)[0].add, 10);
    }

    #[test]
    fn what_is_set_while_others_are_asked_stays() {
        let (space, sharing) = shared();
        space.get("k");
        let asked = due(&sharing);
        space.set("k", b"7", None, PLENTY).unwrap();
        add(&space, "k", 1);
        assert!(sharing.take_in(&asked[0], News::Value(b"theirs".into(), None), 0));
        assert_eq!(space.get("k").as_deref(), Some(&b"8"[..]));
        let told = due(&sharing);
        let first = told[0].written.clone().unwrap();
        assert_eq!((first.value.as_deref(), told[0].add), (Some(&b"7"[..]), 1));
        space.delete("k");
        let second = due(&sharing)[0].written.clone().unwrap();
        assert!(second.at > first.at && second.value.is_none());
        // Later than what others have said, even if their clock is ahead; but not if it is mad.
        let ahead = wall() + MAX_AHEAD / 2;
        sharing.take_in(&told[0], News::Absent, ahead);
        sharing.take_in(&told[0], News::Absent, u64::MAX);
        space.set("k", b"x", None, PLENTY).unwrap();
        assert_eq!(due(&sharing)[0].written.as_ref().unwrap().at, ahead + 1);
    }

    #[test]
    fn what_nobody_looks_at_has_its_turn() {
        let (space, sharing) = shared();
        for i in 0..100 {
            add(&space, &format!("n{i}"), 1);
        }
        assert_eq!(due(&sharing).len(), 100);
        let mut turns = 0;
        for _ in 0..SHARDS {
            sharing.turn();
            turns += due(&sharing).len();
        }
        assert_eq!(turns, 100);
    }

    #[test]
    fn what_is_due_is_bounded() {
        let (space, sharing) = shared();
        for i in 0..50_000 {
            space.get(&format!("missing{i}"));
            space.delete(&format!("gone{i}"));
        }
        let mut all = 0;
        loop {
            let some = sharing.due(Room { keys: 700, bytes: 1 << 20 });
            assert!(some.len() <= 700);
            all += some.len();
            if some.is_empty() {
                break;
            }
        }
        assert_eq!(all, SHARDS * MAX_LOOSE);
        for i in 0..4 {
            space.set(&format!("k{i}"), &[0; 1_000], None, PLENTY).unwrap();
        }
        assert_eq!(sharing.due(Room { keys: 700, bytes: 1_500 }).len(), 2);
    }

    #[test]
    fn others_get_no_more_room_than_policies() {
        let world = Arc::new(World::new());
        let space = world.spaces.get("s", Quota { keys: 1, bytes: 1_000 });
        let sharing = Sharing::new(world);
        let one = |key: &str| Due {
            space: "s".into(),
            key: key.into(),
            written: None,
            add: 0,
            expires: None,
        };
        assert!(sharing.take_in(&one("a"), News::Value(b"1".into(), None), 0));
        assert!(!sharing.take_in(&one("b"), News::Value(b"1".into(), None), 0));
        assert!(!sharing.take_in(&one("a"), News::Value(vec![0; 2_000], None), 0));
        assert_eq!(space.get("a"), None);
    }
}
