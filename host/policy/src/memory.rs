//! Answers that may be given again without asking.

use std::hash::BuildHasher;
use std::rc::Rc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use howdah_decision::Remember;

use crate::chain::{Interest, Question};

/// Most answers by digest, and most by text. When one is full it is emptied: what is asked often returns at once.
const MAX_ENTRIES: usize = 8_192;
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
    hash: u64,
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
    digests: HashMap<DigestKey, (Until, Rc<T>)>,
    texts: HashTable<TextEntry<T>>,
    hasher: DefaultHashBuilder,
    /// Whether any answer depends on the class: saves a second look.
    classes: bool,
}

impl<T> Memory<T> {
    pub(crate) fn new() -> Memory<T> {
        Memory {
            digests: HashMap::new(),
            texts: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            classes: false,
        }
    }

    /// What was answered before. Allocates nothing. `topology` tells the present epoch.
    pub(crate) fn recall(
        &self,
        q: &Question<'_>,
        topology: impl Fn() -> u64 + Copy,
    ) -> Option<Rc<T>> {
        if !self.digests.is_empty() {
            let hit = self.digests.get(&digest_key(q, None));
            let hit = hit.or_else(|| {
                self.classes.then(|| self.digests.get(&digest_key(q, Some(q.class)))).flatten()
            });
            if let Some((until, value)) = hit
                && until.holds(q, topology)
            {
                return Some(Rc::clone(value));
            }
        }
        if self.texts.is_empty() || q.sql.len() > MAX_TEXT {
            return None;
        }
        let hash = self.hasher.hash_one(q.sql);
        let found = self.texts.find(hash, |entry| entry.fits(q));
        found.filter(|entry| entry.until.holds(q, topology)).map(|entry| Rc::clone(&entry.value))
    }

    /// Keeps an answer as far as allowed. One that does not hold any more gives way.
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
                if self.digests.len() >= MAX_ENTRIES {
                    self.digests.clear();
                }
                self.digests.insert(digest_key(q, class), (until, Rc::clone(value)));
            }
            Remember::Text | Remember::TextAndClass if q.sql.len() <= MAX_TEXT => {
                if self.texts.len() >= MAX_ENTRIES {
                    self.texts.clear();
                }
                let hash = self.hasher.hash_one(q.sql);
                if let Ok(outdated) = self.texts.find_entry(hash, |entry| entry.fits(q)) {
                    outdated.remove();
                }
                let (text, facts, interest) = (q.sql.into(), q.facts().bits(), q.interest);
                let value = Rc::clone(value);
                let entry = TextEntry { hash, text, facts, interest, class, until, value };
                self.texts.insert_unique(hash, entry, |entry| entry.hash);
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
    /// Some of what is remembered, in no order.
    pub(crate) fn known(&self, most: usize) -> Vec<Known<T>> {
        let digests = self.digests.iter().map(|(key, (_, answer))| Known {
            digest: Some(key.digest),
            text: None,
            class: key.class,
            answer: Rc::clone(answer),
        });
        let texts = self.texts.iter().map(|entry| Known {
            digest: None,
            text: Some(entry.text.clone()),
            class: entry.class,
            answer: Rc::clone(&entry.value),
        });
        digests.chain(texts).take(most).collect()
    }
}

impl<T> TextEntry<T> {
    fn fits(&self, q: &Question<'_>) -> bool {
        self.class.is_none_or(|class| class == q.class)
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
