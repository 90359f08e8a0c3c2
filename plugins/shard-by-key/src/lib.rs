//! Routes to one of several clusters, the shards, by a key in the statement: a parameter, a literal or a tag.
//!
//! Settings:
//! - `clusters`: the clusters of the configuration that hold the shards, in order. Needed.
//! - Where the key is, at least one of: `tag = "shard_key"`, in the statement's comment; `parameter = 1`, the value bound
//!   to `$1`; `literal = 0`, the constant at this place, counted from 0 in the order of the text. They are looked at in
//!   this order, and the first that is there counts.
//! - `key-type`: `integer` (the default), `text` or `uuid`. A parameter in binary format (`int2`, `int4`, `int8`, `text`,
//!   `varchar`, `uuid`) and the same in text format, a literal or a tag mean the same shard.
//! - `ranges`: for integers, one range for each cluster, `FROM..TO` without `TO`, either of them left out where there is
//!   no end: `["..1000", "1000..2000", "2000.."]`. Without ranges the key is hashed: FNV-1a of 64 bits over its usual
//!   text (an integer in decimal without leading zeros, a UUID in lower case with hyphens), finished by the mixing
//!   function of SplitMix64, and then jump consistent hashing over the number of clusters. With one cluster more at the
//!   end, one key in so many moves, and all of them there.
//! - `otherwise`: what becomes of statements without a key: `refuse` (the default), with SQLSTATE 0A000, or `primary`:
//!   they go to the primary of the session's own cluster.
//!
//! SET and the like have no key and need none. A statement that is prepared without being executed is described by the
//! first shard when the key is one of its parameters: all shards have to have the same tables. A transaction is routed by
//! its BEGIN, which has a key if it has the tag: `BEGIN /* shard_key='42' */`. Everything in it stays there.
//!
//! Configure it with `on_failure = "closed"`: a statement for a cluster that is not there must not fall back to another.
//!
//! What it cannot do: statements over several shards, reads from replicas of a shard, and a text of several statements,
//! which has a key only by its tag. A key that is NULL, of another type or in none of the ranges is refused with 22023
//! always. It does not parse: that `$1` is the key of each statement is a promise of those who write them; `literal` is
//! for applications whose statements all begin with the same constant.

use howdah_sdk::{
    Configure, Decision, Facts, Kind, Route, Settings, Statement, Verdict, export, question,
};

use key::{Key, KeyType};
use shards::Shards;

mod key;
mod shards;

/// The policy with its settings.
#[derive(Debug, Default)]
pub struct ShardByKey {
    clusters: Vec<String>,
    tag: Option<String>,
    parameter: Option<u16>,
    literal: Option<u32>,
    key_type: KeyType,
    shards: Shards,
    /// Statements without a key go to the primary, instead of being refused.
    otherwise_primary: bool,
}

/// What a statement tells of its key.
enum Found {
    Key(Key),
    /// It will be there when the statement is executed.
    Later,
    Nothing,
}

impl Configure for ShardByKey {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        settings.only(&[
            "clusters",
            "key-type",
            "literal",
            "otherwise",
            "parameter",
            "ranges",
            "tag",
        ])?;
        let clusters = settings.texts("clusters")?.to_vec();
        if clusters.is_empty() {
            return Err("clusters is needed: the names of the shards' clusters".into());
        }
        let number = |name: &str, least: u64, most: u64| match settings.number(name)? {
            Some(number) if !(least..=most).contains(&number) => {
                Err(format!("{name} must be from {least} to {most}"))
            }
            number => Ok(number),
        };
        // The protocol counts parameters in 16 bits.
        let parameter = number("parameter", 1, u16::MAX.into())?;
        let literal = number("literal", 0, u32::MAX.into())?;
        let tag = settings.text("tag")?.map(str::to_owned);
        if tag.is_none() && parameter.is_none() && literal.is_none() {
            return Err("one of tag, parameter or literal must say where the key is".into());
        }
        let key_type = KeyType::named(settings.text("key-type")?.unwrap_or("integer"))?;
        let ranges = settings.texts("ranges")?;
        if !ranges.is_empty() && key_type != KeyType::Integer {
            return Err("ranges are for keys of type integer".into());
        }
        let otherwise_primary = match settings.text("otherwise")? {
            None | Some("refuse") => false,
            Some("primary") => true,
            Some(other) => return Err(format!("otherwise must be refuse or primary, not {other}")),
        };
        *self = ShardByKey {
            shards: Shards::new(clusters.len(), ranges)?,
            clusters,
            tag,
            parameter: parameter.and_then(|number| u16::try_from(number).ok()),
            literal: literal.and_then(|number| u32::try_from(number).ok()),
            key_type,
            otherwise_primary,
        };
        Ok(())
    }
}

impl Route for ShardByKey {
    fn route(&mut self, statement: &Statement<'_>) -> Verdict {
        if matches!(statement.kind, Kind::Session | Kind::Empty) && self.tag.is_none() {
            return Decision::NoOpinion.by_digest();
        }
        // The host knows that it looked at the text or at a parameter, and remembers that much less.
        self.decide(statement).by_digest()
    }
}

impl ShardByKey {
    fn decide(&self, statement: &Statement<'_>) -> Decision {
        let first = || Decision::Cluster(self.clusters.first().cloned().unwrap_or_default());
        match self.find(statement) {
            Err(message) => Decision::refuse("22023", &format!("shard-by-key: {message}")),
            Ok(Found::Key(key)) => match self.shards.of(&key).and_then(|i| self.clusters.get(i)) {
                Some(cluster) => Decision::Cluster(cluster.clone()),
                None => Decision::refuse("22023", &format!("shard-by-key: no range has {key}")),
            },
            Ok(Found::Later) => first(),
            Ok(Found::Nothing) => self.without_key(statement),
        }
    }

    fn without_key(&self, statement: &Statement<'_>) -> Decision {
        if matches!(statement.kind, Kind::Session | Kind::Empty) {
            Decision::NoOpinion
        } else if self.otherwise_primary {
            Decision::Primary
        } else {
            Decision::refuse("0A000", "shard-by-key: the statement has no shard key")
        }
    }

    /// The key, wherever it is.
    fn find(&self, statement: &Statement<'_>) -> Result<Found, String> {
        if let Some(value) = self.tag.as_deref().and_then(question::tag) {
            return Ok(Found::Key(self.key_type.of_text(&value)?));
        }
        if statement.facts.contains(Facts::SEVERAL) {
            return Ok(Found::Nothing);
        }
        let extended = statement.facts.contains(Facts::EXTENDED);
        if let Some(number) = self.parameter.filter(|_| extended) {
            match question::parameter(number) {
                Some(value) => return Ok(Found::Key(self.key_type.of_parameter(&value)?)),
                None if has_parameter(statement.sql, number) => return Ok(Found::Later),
                None => {}
            }
        }
        match self.literal.and_then(question::literal) {
            Some(value) => Ok(Found::Key(self.key_type.of_text(&value)?)),
            None => Ok(Found::Nothing),
        }
    }
}

/// Whether a text has `$number`. In a string or a comment it counts too, which makes no difference where it matters: when
/// such a statement is executed, it has its key or it has none.
fn has_parameter(sql: &str, number: u16) -> bool {
    let wanted = format!("${number}");
    sql.match_indices(&wanted).any(|(at, _)| {
        let next = sql.as_bytes().get(at + wanted.len());
        !next.is_some_and(u8::is_ascii_digit)
    })
}

export!(ShardByKey: configure, route);

#[cfg(test)]
mod tests;
