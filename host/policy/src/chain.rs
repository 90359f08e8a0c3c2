//! The policies of one generation, on one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use howdah_decision::{Decision, Facts, Remember, RewriteVerdict, Verdict};
use howdah_sql::Statement;

use crate::instance::Instance;
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
    pub(crate) slots: Vec<RefCell<Slot>>,
    pub(crate) answers: RefCell<Memory<Answer>>,
    pub(crate) rewrites: RefCell<Memory<RewriteVerdict>>,
}

/// A policy's place on a worker: the instance in use, and a warm one.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) instance: Option<Instance>,
    pub(crate) spare: Option<Instance>,
}

impl Chain {
    pub(crate) fn new(generation: Arc<Generation>, slots: Vec<Slot>) -> Rc<Chain> {
        Rc::new(Chain {
            generation,
            slots: slots.into_iter().map(RefCell::new).collect(),
            answers: RefCell::new(Memory::new()),
            rewrites: RefCell::new(Memory::new()),
        })
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
