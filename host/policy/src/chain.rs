//! The policies of one generation, on one worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use howdah_decision::{Decision, Facts, Parameter, Remember, RewriteVerdict, Verdict};
use howdah_sql::{Catalog, Statement};

use crate::instance::Instance;
use crate::loaded::{Hooks, Loaded, Tally};
use crate::memory::{Known, Memory};
use crate::place::Place;
use crate::registry::Generation;
use crate::trial::Trial;

/// Which policies of a chain apply to a session: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest(pub(crate) u64);

impl Interest {
    fn of(applies: impl Iterator<Item = bool>) -> Interest {
        Interest(applies.enumerate().fold(0, |bits, (i, one)| bits | (u64::from(one) << i)))
    }

    /// Whether it takes in a policy, by its number in the chain.
    pub(crate) fn has(self, i: usize) -> bool {
        self.0 & (1 << i) != 0
    }
}

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
    pub policy: Option<Rc<str>>,
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
    pub(crate) seats: Vec<Seat>,
    pub(crate) answers: RefCell<Memory<Answer>>,
    pub(crate) rewrites: RefCell<Memory<RewriteVerdict>>,
    /// Policies of which some version that is obeyed, by this session or by others, has the hook.
    pub(crate) observers: Interest,
    /// Policies of which some version has the hook, so that the seat is to be asked.
    pub(crate) admitters: Interest,
    pub(crate) routers: Interest,
    pub(crate) rewriters: Interest,
    /// Policies of which the version that is obeyed here has the hook.
    pub(crate) retriers: Interest,
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
    fn has(&self, hook: impl Fn(&Hooks) -> bool) -> bool {
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
    /// The policy's name, for answers.
    name: Rc<str>,
    pub(crate) tally: Arc<Tally>,
    /// The time limit of a call.
    pub(crate) limit: Duration,
}

impl Post {
    pub(crate) fn new(policy: Arc<Loaded>, slot: Slot) -> Post {
        let name = policy.spec.name.as_str().into();
        let (tally, limit) = (policy.counters.tally(), policy.limit());
        Post { policy, slot: Rc::new(RefCell::new(slot)), name, tally, limit }
    }

    pub(crate) fn name(&self) -> Rc<str> {
        Rc::clone(&self.name)
    }
}

/// A policy's place on a worker: the instance in use, and a warm one.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) instance: Option<Instance>,
    pub(crate) spare: Option<Instance>,
}

impl Chain {
    /// Some of the routing answers that are remembered, in no order.
    pub fn known(&self, most: usize) -> Vec<Known<Answer>> {
        self.answers.borrow().known(most)
    }

    pub(crate) fn new(generation: Arc<Generation>, seats: Vec<Seat>) -> Rc<Chain> {
        let observes = |place: &Place| place.obeyed().any(|one| one.hooks.observe.is_some());
        let with = |hook: fn(&Hooks) -> bool| Interest::of(seats.iter().map(|seat| seat.has(hook)));
        Rc::new(Chain {
            admitters: with(|hooks| hooks.session.is_some()),
            routers: with(|hooks| hooks.route.is_some()),
            rewriters: with(|hooks| hooks.rewrite.is_some()),
            observers: Interest::of(generation.places.iter().map(observes)),
            retriers: Interest::of(seats.iter().map(|seat| seat.own.policy.hooks.retry.is_some())),
            generation,
            trials: seats.iter().any(|seat| seat.trial.is_some()),
            seats,
            answers: RefCell::new(Memory::new()),
            rewrites: RefCell::new(Memory::new()),
            recalled: Cell::new(0),
        })
    }

    /// A chain of one policy, of no generation.
    pub(crate) fn alone(policy: Arc<Loaded>, slot: Slot) -> Rc<Chain> {
        let own = Post::new(policy, slot);
        Chain::new(Arc::default(), vec![Seat { own, stand_in: None, trial: None }])
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
        let applies = |seat: &Seat| seat.own.policy.spec.scope.includes(user, database, cluster);
        Interest::of(self.seats.iter().map(applies))
    }

    /// Whether any policy rewrites statements.
    pub fn rewrites(&self) -> bool {
        self.rewriters != Interest::default()
    }

    /// The seats of the policies that are in both sets, in their order.
    pub(crate) fn seats(&self, interest: Interest, hook: Interest) -> impl Iterator<Item = &Seat> {
        let both = Interest(interest.0 & hook.0);
        let seats = self.seats.iter().enumerate();
        seats.filter(move |(i, _)| both.has(*i)).map(|(_, seat)| seat)
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
