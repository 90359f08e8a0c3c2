//! What the host tells a policy during a call, besides the arguments of its hook: noted when calls are recorded, and
//! given again when they are replayed, so that the same version gives the same answers.

use howdah_decision::Parameter;
use howdah_sql::Volatility;
use serde::{Deserialize, Serialize};

use crate::kv;

/// Most that is noted of one call; a policy that looks at the clock in a loop must not fill a recording.
const MAX_NOTED: usize = 256;

/// Something that a policy has asked the host for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supplied {
    /// The function, and what it was asked: `kv.get orders`.
    pub asked: String,
    /// What it gave.
    pub given: Given,
}

/// What the host has given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Given {
    /// There is no such thing.
    Absent,
    /// It was done.
    Done,
    /// NULL.
    Null,
    /// Yes or no.
    Truth(bool),
    /// A time, or a random number.
    Number(u64),
    /// A sum.
    Sum(i64),
    /// A text, or bytes that are one.
    Text(String),
    /// Other bytes.
    Binary(Vec<u8>),
    /// It failed.
    Error(String),
}

/// What a policy is given during a call, instead of what the host would tell it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// What is still to be given: each to the next who asks for it.
    pub supplied: Vec<Supplied>,
    /// The time for clocks that the script does not have, in milliseconds since 1970.
    pub wall_ms: u64,
    /// What the policy has asked for that the script does not have.
    pub missing: Vec<String>,
}

/// What becomes of what the host tells an instance.
#[derive(Default)]
pub(crate) enum Tape {
    /// Nothing.
    #[default]
    Off,
    /// It is noted.
    Noting(Vec<Supplied>),
    /// It was noted before.
    Giving(Box<Script>),
}

impl Tape {
    /// What is told: from the script, or else by `now`, and noted if that is wanted.
    pub(crate) fn given<T: Supply>(&mut self, asked: impl FnOnce() -> String) -> Option<T> {
        let Tape::Giving(script) = self else { return None };
        let asked = asked();
        let at = script.supplied.iter().position(|one| one.asked == asked);
        let given = at.and_then(|at| T::from_given(script.supplied.remove(at).given));
        if given.is_none() && script.missing.len() < MAX_NOTED {
            script.missing.push(asked);
        }
        given
    }

    /// Notes what was told.
    pub(crate) fn note<T: Supply>(&mut self, asked: impl FnOnce() -> String, given: &T) {
        if let Tape::Noting(noted) = self
            && noted.len() < MAX_NOTED
        {
            noted.push(Supplied { asked: asked(), given: given.to_given() });
        }
    }

    /// The time of a replayed call, in milliseconds.
    pub(crate) fn wall_ms(&self) -> Option<u64> {
        match self {
            Tape::Giving(script) => Some(script.wall_ms),
            Tape::Off | Tape::Noting(_) => None,
        }
    }
}

/// What can be noted, and given again. None: the note says something else.
pub(crate) trait Supply: Sized {
    fn to_given(&self) -> Given;
    fn from_given(given: Given) -> Option<Self>;
}

impl Supply for u64 {
    fn to_given(&self) -> Given {
        Given::Number(*self)
    }

    fn from_given(given: Given) -> Option<u64> {
        if let Given::Number(number) = given { Some(number) } else { None }
    }
}

impl Supply for i64 {
    fn to_given(&self) -> Given {
        Given::Sum(*self)
    }

    fn from_given(given: Given) -> Option<i64> {
        if let Given::Sum(sum) = given { Some(sum) } else { None }
    }
}

impl Supply for bool {
    fn to_given(&self) -> Given {
        Given::Truth(*self)
    }

    fn from_given(given: Given) -> Option<bool> {
        if let Given::Truth(truth) = given { Some(truth) } else { None }
    }
}

impl Supply for () {
    fn to_given(&self) -> Given {
        Given::Done
    }

    fn from_given(given: Given) -> Option<()> {
        (given == Given::Done).then_some(())
    }
}

impl Supply for Vec<u8> {
    fn to_given(&self) -> Given {
        match std::str::from_utf8(self) {
            Ok(text) => Given::Text(text.to_owned()),
            Err(_) => Given::Binary(self.clone()),
        }
    }

    fn from_given(given: Given) -> Option<Vec<u8>> {
        match given {
            Given::Text(text) => Some(text.into_bytes()),
            Given::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl Supply for Parameter {
    fn to_given(&self) -> Given {
        match self {
            Parameter::Null => Given::Null,
            Parameter::Text(text) => Given::Text(text.clone()),
            Parameter::Binary(bytes) => Given::Binary(bytes.clone()),
        }
    }

    fn from_given(given: Given) -> Option<Parameter> {
        match given {
            Given::Null => Some(Parameter::Null),
            Given::Text(text) => Some(Parameter::Text(text)),
            Given::Binary(bytes) => Some(Parameter::Binary(bytes)),
            _ => None,
        }
    }
}

impl Supply for Volatility {
    fn to_given(&self) -> Given {
        let name = match self {
            Volatility::Immutable => "immutable",
            Volatility::Stable => "stable",
            Volatility::Volatile => "volatile",
            Volatility::Unknown => "unknown",
        };
        Given::Text(name.to_owned())
    }

    fn from_given(given: Given) -> Option<Volatility> {
        let all =
            [Volatility::Immutable, Volatility::Stable, Volatility::Volatile, Volatility::Unknown];
        all.into_iter().find(|one| one.to_given() == given)
    }
}

impl<T: Supply> Supply for Option<T> {
    fn to_given(&self) -> Given {
        self.as_ref().map_or(Given::Absent, T::to_given)
    }

    fn from_given(given: Given) -> Option<Option<T>> {
        match given {
            Given::Absent => Some(None),
            given => T::from_given(given).map(Some),
        }
    }
}

impl<T: Supply> Supply for Result<T, kv::Error> {
    fn to_given(&self) -> Given {
        match self {
            Ok(value) => value.to_given(),
            Err(error) => Given::Error(error.name().to_owned()),
        }
    }

    fn from_given(given: Given) -> Option<Result<T, kv::Error>> {
        match given {
            Given::Error(name) => kv::Error::named(&name).map(Err),
            given => T::from_given(given).map(Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn survives<T: Supply + PartialEq + std::fmt::Debug>(value: T) {
        assert_eq!(T::from_given(value.to_given()), Some(value));
    }

    #[test]
    fn what_was_noted_is_given_again() {
        survives(7_u64);
        survives(true);
        survives(None::<Vec<u8>>);
        survives(Some(b"text".to_vec()));
        survives(Some(vec![0xff, 0]));
        survives(Some(Parameter::Null));
        survives(Some(Parameter::Binary(b"text is bytes here".to_vec())));
        survives(Volatility::Stable);
        survives(Err::<i64, _>(kv::Error::Quota));
        survives(Ok::<_, kv::Error>(-1_i64));
    }

    #[test]
    fn each_note_is_given_once_in_order_and_what_is_missing_is_told() {
        let note = |number| Supplied { asked: "clock".into(), given: Given::Number(number) };
        let script = Script { supplied: vec![note(1), note(2)], ..Script::default() };
        let mut tape = Tape::Giving(Box::new(script));
        let mut next = || tape.given::<u64>(|| "clock".into());
        assert_eq!((next(), next(), next()), (Some(1), Some(2), None));
        assert_eq!(tape.given::<bool>(|| "swap".into()), None);
        let Tape::Giving(script) = tape else { panic!("it is still a script") };
        assert_eq!(script.missing, ["clock", "swap"]);
    }

    #[test]
    fn one_call_notes_only_so_much() {
        let mut tape = Tape::Noting(Vec::new());
        (0..2 * MAX_NOTED).for_each(|_| tape.note(String::new, &1_u64));
        assert!(matches!(tape, Tape::Noting(noted) if noted.len() == MAX_NOTED));
    }
}
