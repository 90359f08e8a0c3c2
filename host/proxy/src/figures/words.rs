use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something that is counted by a fixed set of words, which are labels of metrics.
pub(crate) trait Words: Copy + 'static {
    /// All of them, in their order.
    const ALL: &'static [Self];
    /// Each with what it means.
    const MEANINGS: &'static [(&'static str, &'static str)];

    /// Its place in the order.
    fn index(self) -> usize;

    /// What it is called.
    fn word(self) -> &'static str {
        Self::MEANINGS.get(self.index()).map_or("", |(word, _)| word)
    }
}

/// Declares an enumeration, each variant with its meaning and its word.
macro_rules! words {
    ($(#[$about:meta])* $vis:vis enum $name:ident {
        $($(#[doc = $meaning:literal])+ $variant:ident = $word:literal,)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl $crate::figures::Words for $name {
            const ALL: &'static [$name] = &[$($name::$variant,)+];
            const MEANINGS: &'static [(&'static str, &'static str)] =
                &[$(($word, concat!($($meaning),+)),)+];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use words;

/// How often something has happened, by its word. For what happens rarely: any thread may count.
#[derive(Debug)]
pub(crate) struct Counts<W> {
    counts: Box<[AtomicU64]>,
    of: PhantomData<W>,
}

impl<W: Words> Default for Counts<W> {
    fn default() -> Counts<W> {
        Counts { counts: W::ALL.iter().map(|_| AtomicU64::new(0)).collect(), of: PhantomData }
    }
}

impl<W: Words> Counts<W> {
    pub(crate) fn add(&self, word: W) {
        if let Some(count) = self.counts.get(word.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self, word: W) -> u64 {
        self.counts.get(word.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// A number that one thread adds to, and that others read: an addition without the lock that an atomic one takes.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds. Only for the thread that the number belongs to: what two add at once, one of them may add in vain.
    pub(crate) fn add(&self, by: u64) {
        self.0.store(self.get().wrapping_add(by), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    words! {
        /// Ways to go.
        enum Way {
            /// To the left.
            Left = "left",
            /// To the right,
            /// as it should be.
            Right = "to the right",
        }
    }

    #[test]
    fn words_are_counted_by_their_order() {
        let counts = Counts::default();
        counts.add(Way::Right);
        counts.add(Way::Right);
        assert_eq!([counts.get(Way::Left), counts.get(Way::Right)], [0, 2]);
        let words: Vec<_> = Way::ALL.iter().map(|way| way.word()).collect();
        assert_eq!(words, ["left", "to the right"]);
        assert_eq!(Way::MEANINGS[1].1, " To the right, as it should be.");
    }
}
