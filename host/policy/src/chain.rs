//! The policies of one generation, on one worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use howdah_decision::{Decision, Facts, Remember, RewriteVerdict, Verdict};
use howdah_sql::Statement;

use crate::instance::Instance;
use crate::loaded::{Hooks, Loaded};
use crate::memory::Memory;
use crate::trial::Trial;

/// Which policies of a chain apply to a session: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest(pub(crate) u64);

/// Whose question it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// As authenticated.
    pub user: String,
    /// As asked for.
    pub database: String,
    /// Its cluster.
    pub cluster: String,
    /// As last set.
    pub application_name: String,
}

/// A question about a statement.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Its text.
    pub sql: &'a str,
    /// What its text tells.
    pub statement: &'a Statement,
    /// Facts that the text does not tell.
    pub extra: Facts,
    /// The session's class.
    pub class: u32,
    /// Who asks.
    pub who: &'a Arc<Who>,
    /// Which policies apply, from [`Chain::interest`].
    pub interest: Interest,
}

impl Question<'_> {
    pub(crate) fn facts(&self) -> Facts {
        self.statement.facts.with(self.extra)
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A policy said so.
    Asked,
    /// No policy had an opinion.
    Nobody,
    /// A policy failed, and its `on_failure` decided.
    Failed,
    /// A standby refused the statement before.
    Learned,
}

/// A routing answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was decided.
    pub verdict: Verdict,
    /// The name of the policy that decided.
    pub policy: Option<Arc<str>>,
    /// Where it came from.
    pub source: Source,
}

impl AsRef<Decision> for Answer {
    fn as_ref(&self) -> &Decision {
        &self.verdict.decision
    }
}

/// One generation of policies with this worker's instances. A transaction holds on to the chain that it began
/// with.
pub struct Chain {
    number: u64,
    pub(crate) seats: Vec<Seat>,
    pub(crate) answers: RefCell<Memory<Answer>>,
    pub(crate) rewrites: RefCell<Memory<RewriteVerdict>>,
    /// Some version is on trial.
    trials: bool,
    /// Answers from memory while one is.
    recalled: Cell<u32>,
}

/// One remembered answer of so many is asked for again while a version is on trial, so that a steady workload is
/// compared too.
const SAMPLE: u32 = 64;

/// A policy of a chain.
pub(crate) struct Seat {
    /// The version that is obeyed.
    pub(crate) own: Post,
    /// The version in force, when a canary is obeyed: it answers what the canary fails to answer.
    pub(crate) stand_in: Option<Post>,
    /// Who is told of the questions and what was obeyed.
    pub(crate) trial: Option<Arc<Trial>>,
}

impl Seat {
    /// Whether any of the versions exports something: one that does not has no opinion.
    pub(crate) fn has(&self, hook: impl Fn(&Hooks) -> bool) -> bool {
        let tried = self.trial.as_ref().map(|trial| &trial.candidate);
        let live = self.stand_in.as_ref().map(|post| &post.policy);
        let versions = [Some(&self.own.policy), tried, live];
        versions.into_iter().flatten().any(|policy| hook(&policy.hooks))
    }
}

/// A version with this worker's instances of it, which all its chains share.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) policy: Arc<Loaded>,
    pub(crate) slot: Rc<RefCell<Slot>>,
}

/// A policy's place on a worker: the instance in use, and a warm one.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) instance: Option<Instance>,
    pub(crate) spare: Option<Instance>,
}

impl Chain {
    pub(crate) fn new(number: u64, seats: Vec<Seat>) -> Rc<Chain> {
        Rc::new(Chain {
            number,
            trials: seats.iter().any(|seat| seat.trial.is_some()),
            seats,
            answers: RefCell::new(Memory::new()),
            rewrites: RefCell::new(Memory::new()),
            recalled: Cell::new(0),
        })
    }

    /// A chain of one policy, of no generation.
    pub(crate) fn alone(policy: Arc<Loaded>, slot: Slot) -> Rc<Chain> {
        let own = Post { policy, slot: Rc::new(RefCell::new(slot)) };
        Chain::new(0, vec![Seat { own, stand_in: None, trial: None }])
    }

    /// The number of the generation.
    pub fn generation(&self) -> u64 {
        self.number
    }

    /// Which of the policies apply to a session.
    pub fn interest(&self, user: &str, database: &str, cluster: &str) -> Interest {
        let applies = self
            .seats
            .iter()
            .enumerate()
            .filter(|(_, seat)| seat.own.policy.spec.scope.includes(user, database, cluster));
        Interest(applies.fold(0, |bits, (i, _)| bits | (1 << i)))
    }

    /// Whether any policy rewrites statements.
    pub fn rewrites(&self) -> bool {
        self.seats.iter().any(|seat| seat.has(|hooks| hooks.rewrite.is_some()))
    }

    /// Whether something remembered is to be asked for again, for the sake of a trial.
    pub(crate) fn samples(&self) -> bool {
        if !self.trials {
            return false;
        }
        let recalled = self.recalled.get().wrapping_add(1);
        self.recalled.set(recalled);
        recalled.is_multiple_of(SAMPLE)
    }
}

/// How long a merged answer may be remembered: as long as the strictest of those that were asked allows.
pub(crate) fn strictest(a: Remember, b: Remember) -> Remember {
    let (digest, class) = (by_digest(a) && by_digest(b), with_class(a) || with_class(b));
    match (a, b) {
        (Remember::Never, _) | (_, Remember::Never) => Remember::Never,
        _ => match (digest, class) {
            (true, false) => Remember::Digest,
            (true, true) => Remember::DigestAndClass,
            (false, false) => Remember::Text,
            (false, true) => Remember::TextAndClass,
        },
    }
}

fn by_digest(remember: Remember) -> bool {
    matches!(remember, Remember::Digest | Remember::DigestAndClass)
}

fn with_class(remember: Remember) -> bool {
    matches!(remember, Remember::TextAndClass | Remember::DigestAndClass)
}
