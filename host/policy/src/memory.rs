//! Answers that may be given again without asking.

use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::rc::Rc;

use hashbrown::DefaultHashBuilder;
use howdah_decision::Remember;
use lru::LruCache;

use crate::chain::{Interest, Question};

/// Most answers by digest, and most by text. Of more, the least recently used are forgotten.
const MAX_ENTRIES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// Longer texts are not kept.
const MAX_TEXT: usize = 4_096;

#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct DigestKey {
    digest: u64,
    kind: u8,
    facts: u16,
    interest: Interest,
    class: Option<u32>,
}

struct TextEntry<T> {
    text: Box<str>,
    facts: u16,
    interest: Interest,
    class: Option<u32>,
    until: Until,
    value: Rc<T>,
}

/// What an answer was drawn from that may change: it is as good as the epochs that it saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Until {
    pub(crate) topology: Option<u64>,
    pub(crate) catalog: Option<u64>,
}

impl Until {
    /// Whether the answer still holds. Most depend on nothing.
    fn holds(self, q: &Question<'_>, topology: impl Fn() -> u64) -> bool {
        self == Until::default()
            || self.topology.is_none_or(|seen| seen == topology())
                && self.catalog.is_none_or(|seen| seen == q.background.catalog_epoch())
    }
}

/// Remembered answers of one chain on one worker.
pub(crate) struct Memory<T> {
    digests: LruCache<DigestKey, (Until, Rc<T>)>,
    /// By a hash of all that they are for.
    texts: LruCache<u64, TextEntry<T>>,
    hasher: DefaultHashBuilder,
    /// Whether any answer depends on the class: saves a second look.
    classes: bool,
}

impl<T> Memory<T> {
    pub(crate) fn new() -> Memory<T> {
        Memory {
            digests: LruCache::sparse(MAX_ENTRIES),
            texts: LruCache::sparse(MAX_ENTRIES),
            hasher: DefaultHashBuilder::default(),
            classes: false,
        }
    }

    /// What was answered before. Allocates nothing. `topology` tells the present epoch.
    pub(crate) fn recall(
        &mut self,
        q: &Question<'_>,
        topology: impl Fn() -> u64 + Copy,
    ) -> Option<Rc<T>> {
        let found = self.find(q, None);
        let found =
            if found.is_none() && self.classes { self.find(q, Some(q.class)) } else { found };
        found.filter(|(until, _)| until.holds(q, topology)).map(|(_, value)| value)
    }

    fn find(&mut self, q: &Question<'_>, class: Option<u32>) -> Option<(Until, Rc<T>)> {
        if !self.digests.is_empty()
            && let Some((until, value)) = self.digests.get(&digest_key(q, class))
        {
            return Some((*until, Rc::clone(value)));
        }
        if self.texts.is_empty() || q.sql.len() > MAX_TEXT {
            return None;
        }
        let entry = self.texts.get(&self.text_key(q, class))?;
        entry.is_for(q, class).then(|| (entry.until, Rc::clone(&entry.value)))
    }

    fn text_key(&self, q: &Question<'_>, class: Option<u32>) -> u64 {
        self.hasher.hash_one((q.sql, q.facts().bits(), q.interest, class))
    }

    /// Keeps an answer as far as allowed, in place of one that does not hold any more.
    pub(crate) fn keep(
        &mut self,
        q: &Question<'_>,
        remember: Remember,
        until: Until,
        value: &Rc<T>,
    ) {
        let class = matches!(remember, Remember::TextAndClass | Remember::DigestAndClass)
            .then_some(q.class);
        self.classes |= class.is_some();
        match remember {
            Remember::Never => {}
            Remember::Digest | Remember::DigestAndClass => {
                self.digests.put(digest_key(q, class), (until, Rc::clone(value)));
            }
            Remember::Text | Remember::TextAndClass if q.sql.len() <= MAX_TEXT => {
                let (text, facts, interest) = (q.sql.into(), q.facts().bits(), q.interest);
                let value = Rc::clone(value);
                let entry = TextEntry { text, facts, interest, class, until, value };
                self.texts.put(self.text_key(q, class), entry);
            }
            Remember::Text | Remember::TextAndClass => {}
        }
    }
}

/// An answer that is remembered.
#[derive(Debug)]
pub struct Known<T> {
    /// Of the statements that it is for; none when it is for one text.
    pub digest: Option<u64>,
    /// That text.
    pub text: Option<Box<str>>,
    /// The class of sessions that it is for, where it is not for all.
    pub class: Option<u32>,
    /// The answer.
    pub answer: Rc<T>,
}

impl<T> Memory<T> {
    /// Some of what is remembered: of digests and of texts those that were used last.
    pub(crate) fn known(&self, most: usize) -> Vec<Known<T>> {
        let digests = self.digests.iter().map(|(key, (_, answer))| Known {
            digest: Some(key.digest),
            text: None,
            class: key.class,
            answer: Rc::clone(answer),
        });
        let texts = self.texts.iter().map(|(_, entry)| Known {
            digest: None,
            text: Some(entry.text.clone()),
            class: entry.class,
            answer: Rc::clone(&entry.value),
        });
        digests.chain(texts).take(most).collect()
    }
}

impl<T> TextEntry<T> {
    fn is_for(&self, q: &Question<'_>, class: Option<u32>) -> bool {
        self.class == class
            && self.facts == q.facts().bits()
            && self.interest == q.interest
            && *self.text == *q.sql
    }
}

fn digest_key(q: &Question<'_>, class: Option<u32>) -> DigestKey {
    DigestKey {
        digest: q.statement.digest,
        kind: q.statement.kind as u8,
        facts: q.facts().bits(),
        interest: q.interest,
        class,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use howdah_decision::Facts;
    use howdah_sql::{NoCatalog, ScanOptions, scan};

    use super::*;
    use crate::{Interest, Who};

    /// Does something with a question of the session's class.
    fn with<R>(sql: &str, class: u32, act: impl FnOnce(&Question<'_>) -> R) -> R {
        let statement = scan(sql.as_bytes(), ScanOptions::default(), &NoCatalog);
        let (who, interest) = (Arc::new(Who::default()), Interest::default());
        let (statement, extra, who, background) = (&statement, Facts::default(), &who, &());
        act(&Question { sql, statement, extra, class, who, interest, background })
    }

    #[test]
    fn the_least_recently_used_are_forgotten() {
        for remember in [Remember::Digest, Remember::Text, Remember::DigestAndClass] {
            let mut memory = Memory::new();
            let mut knows = |sql: &str| {
                with(sql, 1, |q| {
                    let known = memory.recall(q, || 0).is_some();
                    if !known {
                        memory.keep(q, remember, Until::default(), &Rc::new(()));
                    }
                    assert!(memory.digests.len() + memory.texts.len() <= MAX_ENTRIES.get());
                    known
                })
            };
            assert!(!knows("SELECT used") && !knows("SELECT unused"));
            for column in 0..MAX_ENTRIES.get() {
                assert!(!knows(&format!("SELECT c{column}")));
                assert!(knows("SELECT used"));
            }
            assert!(!knows("SELECT unused"), "{remember:?}");
        }
    }

    #[test]
    fn what_is_for_one_class_or_text_is_for_no_other() {
        for (remember, other_text, other_class) in [
            (Remember::Digest, true, true),
            (Remember::DigestAndClass, true, false),
            (Remember::Text, false, true),
            (Remember::TextAndClass, false, false),
        ] {
            let mut memory = Memory::new();
            let answer = Rc::new(());
            with("SELECT 1", 1, |q| memory.keep(q, remember, Until::default(), &answer));
            let mut knows = |sql, class| with(sql, class, |q| memory.recall(q, || 0).is_some());
            assert!(knows("SELECT 1", 1), "{remember:?}");
            assert_eq!(knows("SELECT 2", 1), other_text, "{remember:?}");
            assert_eq!(knows("SELECT 1", 2), other_class, "{remember:?}");
        }
    }

    #[test]
    fn what_an_epoch_has_outdated_is_asked_again() {
        let mut memory = Memory::new();
        let until = Until { topology: Some(1), catalog: None };
        for remember in [Remember::Digest, Remember::Text] {
            with("SELECT 1", 1, |q| memory.keep(q, remember, until, &Rc::new(())));
        }
        let mut knows = |epoch| with("SELECT 1", 1, |q| memory.recall(q, || epoch).is_some());
        assert!(knows(1) && !knows(2));
    }
}
