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
    value: Rc<T>,
}

/// Remembered answers of one chain on one worker.
pub(crate) struct Memory<T> {
    digests: HashMap<DigestKey, Rc<T>>,
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

    /// What was answered before. Allocates nothing.
    pub(crate) fn recall(&self, q: &Question<'_>) -> Option<Rc<T>> {
        if !self.digests.is_empty() {
            let hit = self.digests.get(&digest_key(q, None));
            let hit = hit.or_else(|| {
                self.classes.then(|| self.digests.get(&digest_key(q, Some(q.class)))).flatten()
            });
            if let Some(value) = hit {
                return Some(Rc::clone(value));
            }
        }
        if self.texts.is_empty() || q.sql.len() > MAX_TEXT {
            return None;
        }
        let hash = self.hasher.hash_one(q.sql);
        let fits = |entry: &TextEntry<T>| {
            entry.class.is_none_or(|class| class == q.class)
                && entry.facts == q.facts().bits()
                && entry.interest == q.interest
                && *entry.text == *q.sql
        };
        self.texts.find(hash, fits).map(|entry| Rc::clone(&entry.value))
    }

    /// Keeps an answer as far as allowed.
    pub(crate) fn keep(&mut self, q: &Question<'_>, remember: Remember, value: &Rc<T>) {
        let class = matches!(remember, Remember::TextAndClass | Remember::DigestAndClass)
            .then_some(q.class);
        self.classes |= class.is_some();
        match remember {
            Remember::Never => {}
            Remember::Digest | Remember::DigestAndClass => {
                if self.digests.len() >= MAX_ENTRIES {
                    self.digests.clear();
                }
                self.digests.insert(digest_key(q, class), Rc::clone(value));
            }
            Remember::Text | Remember::TextAndClass if q.sql.len() <= MAX_TEXT => {
                if self.texts.len() >= MAX_ENTRIES {
                    self.texts.clear();
                }
                let hash = self.hasher.hash_one(q.sql);
                let (text, facts, interest) = (q.sql.into(), q.facts().bits(), q.interest);
                let entry =
                    TextEntry { hash, text, facts, interest, class, value: Rc::clone(value) };
                self.texts.insert_unique(hash, entry, |entry| entry.hash);
            }
            Remember::Text | Remember::TextAndClass => {}
        }
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
