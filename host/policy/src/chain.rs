//! The policies of one generation, on one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use howdah_decision::{Decision, Facts, Parameter, Remember, RewriteVerdict, Verdict};
use howdah_sql::{Catalog, Statement};

use crate::instance::Instance;
use crate::loaded::Hooks;
use crate::memory::Memory;
use crate::registry::Generation;

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
    /// What else a policy may ask.
    pub background: &'a dyn Background,
}

/// What a policy may ask about a question: looked up only when it may.
pub trait Background {
    /// What is bound to the statement's parameters, when that is known.
    fn parameters(&self) -> Option<Vec<Parameter>> {
        None
    }

    /// What is known of the functions of the session's database.
    fn catalog(&self) -> Option<Arc<dyn Catalog + Send + Sync>> {
        None
    }

    /// Another number when that has changed.
    fn catalog_epoch(&self) -> u64 {
        0
    }
}

/// Nothing is known.
impl Background for () {}

impl std::fmt::Debug for dyn Background + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Background")
    }
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
    pub(crate) generation: Arc<Generation>,
    /// An unchanged policy has the same instance in the next generation.
    pub(crate) slots: Vec<Rc<RefCell<Slot>>>,
    pub(crate) answers: RefCell<Memory<Answer>>,
    pub(crate) rewrites: RefCell<Memory<RewriteVerdict>>,
    /// Policies with the hook.
    pub(crate) observers: Interest,
    retriers: Interest,
}

/// A policy's place on a worker: the instance in use, and a warm one.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) instance: Option<Instance>,
    pub(crate) spare: Option<Instance>,
}

impl Chain {
    pub(crate) fn new(generation: Arc<Generation>, slots: Vec<Rc<RefCell<Slot>>>) -> Rc<Chain> {
        let with = |hook: fn(&Hooks) -> bool| {
            let policies = generation.policies.iter().enumerate();
            let there = policies.filter(|(_, policy)| hook(&policy.hooks));
            Interest(there.fold(0, |bits, (i, _)| bits | (1 << i)))
        };
        Rc::new(Chain {
            observers: with(|hooks| hooks.observe.is_some()),
            retriers: with(|hooks| hooks.retry.is_some()),
            generation,
            slots,
            answers: RefCell::new(Memory::new()),
            rewrites: RefCell::new(Memory::new()),
        })
    }

    /// Whether any of these policies wants to know what becomes of statements.
    pub fn observes(&self, interest: Interest) -> bool {
        self.observers.0 & interest.0 != 0
    }

    /// Whether any of these policies has a say in what becomes of statements that fail.
    pub fn retries(&self, interest: Interest) -> bool {
        self.retriers.0 & interest.0 != 0
    }

    /// The number of the generation.
    pub fn generation(&self) -> u64 {
        self.generation.number
    }

    /// Which of the policies apply to a session.
    pub fn interest(&self, user: &str, database: &str, cluster: &str) -> Interest {
        let applies = self
            .generation
            .policies
            .iter()
            .enumerate()
            .filter(|(_, policy)| policy.spec.scope.includes(user, database, cluster));
        Interest(applies.fold(0, |bits, (i, _)| bits | (1 << i)))
    }

    /// Whether any policy rewrites statements.
    pub fn rewrites(&self) -> bool {
        self.generation.policies.iter().any(|policy| policy.hooks.rewrite.is_some())
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
