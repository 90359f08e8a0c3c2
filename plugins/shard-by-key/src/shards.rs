//! Which shard has a key.

use crate::key::Key;

/// How keys are spread.
#[derive(Debug)]
pub enum Shards {
    /// By hash over so many.
    Hashed(usize),
    /// By range: from, and up to but without; none where there is no end.
    Ranges(Vec<(Option<i64>, Option<i64>)>),
}

impl Default for Shards {
    fn default() -> Shards {
        Shards::Hashed(1)
    }
}

impl Shards {
    /// So many shards, with these ranges if there are any.
    pub fn new(shards: usize, ranges: &[String]) -> Result<Shards, String> {
        if ranges.is_empty() {
            return Ok(Shards::Hashed(shards));
        }
        if ranges.len() != shards {
            return Err(format!("there are {shards} clusters, but {} ranges", ranges.len()));
        }
        let parsed = ranges.iter().map(|text| range(text)).collect::<Result<Vec<_>, String>>()?;
        for (i, one) in parsed.iter().enumerate() {
            if let Some(j) =
                (0..i).find(|j| parsed.get(*j).is_some_and(|other| overlap(one, other)))
            {
                let (one, other) = (ranges.get(i), ranges.get(j));
                return Err(format!(
                    "ranges {} and {} overlap",
                    other.map_or("", String::as_str),
                    one.map_or("", String::as_str)
                ));
            }
        }
        Ok(Shards::Ranges(parsed))
    }

    /// The number of the shard that has a key, from 0.
    pub fn of(&self, key: &Key) -> Option<usize> {
        match (self, key) {
            (Shards::Hashed(shards), key) => Some(jump(hash(&key.to_string()), *shards)),
            (Shards::Ranges(ranges), Key::Integer(key)) => ranges.iter().position(|(from, to)| {
                from.is_none_or(|from| from <= *key) && to.is_none_or(|to| *key < to)
            }),
            (Shards::Ranges(_), Key::Text(_)) => None,
        }
    }
}

fn range(text: &str) -> Result<(Option<i64>, Option<i64>), String> {
    let wrong = || format!("ranges: {text} is not of the form FROM..TO");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let end = |text: &str| match text.trim() {
        "" => Ok(None),
        number => number.parse().map(Some).map_err(|_| wrong()),
    };
    let (from, to) = (end(from)?, end(to)?);
    match (from, to) {
        (Some(from), Some(to)) if from >= to => Err(format!("ranges: {text} is empty")),
        ends => Ok(ends),
    }
}

fn overlap(one: &(Option<i64>, Option<i64>), other: &(Option<i64>, Option<i64>)) -> bool {
    let before =
        |to: Option<i64>, from: Option<i64>| to.zip(from).is_some_and(|(to, from)| to <= from);
    !before(one.1, other.0) && !before(other.1, one.0)
}

/// FNV-1a, and the finish of SplitMix64: the jump below needs all bits to be well mixed.
fn hash(text: &str) -> u64 {
    let mut z = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Jump consistent hashing (Lamping and Veach, 2014): the same on every machine, as only sums, products and quotients of
/// doubles are in it.
fn jump(mut key: u64, shards: usize) -> usize {
    let (mut shard, mut next) = (0_u64, 0_u64);
    while next < shards as u64 {
        shard = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((shard + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    usize::try_from(shard).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(key: i64, shards: usize) -> usize {
        Shards::Hashed(shards).of(&Key::Integer(key)).unwrap()
    }

    #[test]
    fn keys_are_spread_evenly_and_few_move() {
        for shards in [1, 2, 3, 10] {
            let mut counts = vec![0_usize; shards];
            let mut moved = 0;
            for key in 0..10_000 {
                let shard = of(key, shards);
                counts[shard] += 1;
                let later = of(key, shards + 1);
                assert!(later == shard || later == shards, "{key} moves to an old shard");
                moved += usize::from(later != shard);
            }
            let (even, fair) = (10_000 / shards, 10_000 / (shards + 1));
            assert!(counts.iter().all(|n| n.abs_diff(even) < even / 5), "{counts:?}");
            assert!(moved.abs_diff(fair) < fair / 5, "{moved} of 10000 moved");
        }
    }

    /// Data lies where these say: another result would lose it.
    #[test]
    fn the_hash_never_changes() {
        let shards: Vec<usize> = (0..16).map(|key| of(key, 4)).collect();
        assert_eq!(shards, [1, 2, 2, 0, 0, 3, 2, 0, 0, 2, 2, 0, 1, 2, 3, 2]);
        assert_eq!(of(-1, 1_000), 874);
    }

    #[test]
    fn ranges_have_ends_or_none() {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let shards = Shards::new(3, &texts(&["..0", "0..1000", "2000.."])).unwrap();
        for (key, shard) in [
            (i64::MIN, Some(0)),
            (-1, Some(0)),
            (0, Some(1)),
            (999, Some(1)),
            (1_000, None),
            (2_000, Some(2)),
            (i64::MAX, Some(2)),
        ] {
            assert_eq!(shards.of(&Key::Integer(key)), shard, "{key}");
        }
        for (ranges, told) in [
            (&["..0", "0.."][..], "3 clusters, but 2 ranges"),
            (&["0..5", "4..6", "7.."], "0..5 and 4..6 overlap"),
            (&["..", "4..6", "7.."], "overlap"),
            (&["0..0", "4..6", "7.."], "empty"),
            (&["0-5", "4..6", "7.."], "FROM..TO"),
            (&["a..5", "4..6", "7.."], "FROM..TO"),
        ] {
            assert!(Shards::new(3, &texts(ranges)).unwrap_err().contains(told), "{ranges:?}");
        }
    }
}
