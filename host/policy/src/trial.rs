//! A new version beside the one that it may replace.
//!
//! One of the two is obeyed; the other one is asked the same questions later, on a thread of its own, and what it
//! says is compared. So a query never waits for a second opinion, and never suffers from its traps and time-outs.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use howdah_decision::{Client, Decision, Facts, Parameter, Rewrite, SessionDecision, words};
use howdah_sql::{Catalog, NoCatalog, ScanOptions, Statement};
use parking_lot::Mutex;

use crate::chain::{Background, Chain, Question, Slot, Who};
use crate::engine::Alarm;
use crate::loaded::{AsksBack, Loaded};
use crate::priority;
use crate::registry::Registry;
use crate::spec::{Canary, PolicyError, Rollout};
use crate::worker::Worker;

/// Questions that wait for a second opinion; further ones are counted and dropped.
const WAITING: usize = 256;
/// Longer statements, what is bound to them included, get no second opinion: as many as may wait fill 16 MiB.
const MAX_TEXT: usize = 64 << 10;
/// Disagreements that are kept for people, and the longest verdict in them, in bytes.
const KEPT: usize = 8;
const MAX_VERDICT: usize = 200;
/// Between two looks at the failures of a canary, which nobody reports.
const LOOK: Duration = Duration::from_millis(100);

/// So many times longer than a query may take a second opinion may: its thread has to wait for the CPU, and the clock
/// runs meanwhile.
pub(crate) const PATIENCE: u32 = 20;

/// A question that the two versions answered differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The hook.
    pub hook: &'static str,
    /// Digest of the statement; zero for a session.
    pub digest: u64,
    /// What the version in force said.
    pub live: String,
    /// What the version on trial said.
    pub candidate: String,
}

/// What a trial has shown so far.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) agreed: AtomicU64,
    pub(crate) disagreed: AtomicU64,
    /// Questions to which the other version gave no answer: there was no time, or it failed.
    pub(crate) skipped: AtomicU64,
    pub(crate) last: Mutex<VecDeque<Disagreement>>,
}

/// A version on trial.
pub(crate) struct Trial {
    pub(crate) candidate: Arc<Loaded>,
    pub(crate) rollout: Rollout,
    pub(crate) began: Instant,
    pub(crate) figures: Arc<Figures>,
    /// What gives the second opinions: a copy of a shadow, or of the version in force.
    asked: Arc<Loaded>,
    cases: SyncSender<Case>,
}

/// A question with the answer that was obeyed.
pub(crate) enum Case {
    Route(Asked, Decision),
    Rewrite(Asked, Rewrite),
    Open(Client, String, SessionDecision),
    Closed(u64),
}

/// A question about a statement that outlives the query.
pub(crate) struct Asked {
    sql: Box<str>,
    statement: Statement,
    extra: Facts,
    class: u32,
    who: Arc<Who>,
    behind: Behind,
}

/// What the other version may ask back.
struct Behind {
    parameters: Option<Vec<Parameter>>,
    catalog: Option<Arc<dyn Catalog + Send + Sync>>,
}

impl Background for Behind {
    fn parameters(&self) -> Option<Vec<Parameter>> {
        self.parameters.clone()
    }

    fn catalog(&self) -> Option<Arc<dyn Catalog + Send + Sync>> {
        self.catalog.clone()
    }
}

impl Asked {
    fn question<'a>(&'a self, chain: &Chain) -> Question<'a> {
        let Asked { sql, statement, extra, class, who, behind } = self;
        let interest = chain.interest(&who.user, &who.database, &who.cluster);
        let (extra, class) = (*extra, *class);
        Question { sql, statement, extra, class, who, interest, background: behind }
    }
}

/// Bytes that a bound value takes.
fn size(parameter: &Parameter) -> usize {
    match parameter {
        Parameter::Null => 0,
        Parameter::Text(text) => text.len(),
        Parameter::Binary(bytes) => bytes.len(),
    }
}

impl Trial {
    /// Begins. `asked` gives the second opinions.
    pub(crate) fn start(
        candidate: Arc<Loaded>,
        asked: Arc<Loaded>,
        rollout: Rollout,
        alarm: &Arc<Alarm>,
        registry: &Weak<Registry>,
    ) -> Result<Arc<Trial>, PolicyError> {
        let slot = asked.slot(&alarm.caller())?;
        let (cases, inbox) = sync_channel(WAITING);
        let figures = Arc::<Figures>::default();
        let began = Instant::now();
        let bench = Bench {
            registry: Weak::clone(registry),
            canary: match rollout {
                Rollout::Canary(canary) => Some(canary),
                Rollout::Live | Rollout::Shadow => None,
            },
            candidate: Arc::clone(&candidate),
            figures: Arc::clone(&figures),
            began,
        };
        let thread = std::thread::Builder::new().name("howdah-trial".into());
        let other = Arc::clone(&asked);
        thread.spawn(move || bench.run(&inbox, other, slot)).map_err(|error| {
            PolicyError::new(&candidate.spec, format!("there is no thread for its trial: {error}"))
        })?;
        Ok(Arc::new(Trial { candidate, rollout, began, figures, asked, cases }))
    }

    /// The question as the other version will be asked. None for one that is too long to be kept.
    pub(crate) fn kept(&self, q: &Question<'_>) -> Option<Asked> {
        let AsksBack { parameters, catalog, .. } = self.asked.asks_back;
        let parameters = parameters.then(|| q.background.parameters()).flatten();
        let bound: usize = parameters.iter().flatten().map(size).sum();
        let behind =
            Behind { parameters, catalog: catalog.then(|| q.background.catalog()).flatten() };
        (q.sql.len() + bound <= MAX_TEXT).then(|| Asked {
            sql: q.sql.into(),
            statement: q.statement.clone(),
            extra: q.extra,
            class: q.class,
            who: Arc::clone(q.who),
            behind,
        })
    }

    /// Has the other version asked when there is time. `None`: it cannot be.
    pub(crate) fn compare(&self, case: Option<Case>) {
        let sent = case.is_some_and(|case| self.cases.try_send(case).is_ok());
        if !sent {
            self.figures.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The version on trial as it is called: its counters tell how it does.
    pub(crate) fn version(&self) -> &Loaded {
        match self.rollout {
            Rollout::Canary(_) => &self.candidate,
            Rollout::Live | Rollout::Shadow => &self.asked,
        }
    }

    /// Whether a session obeys the candidate. `lot` is its place among a hundred.
    pub(crate) fn chosen(&self, lot: u32) -> bool {
        matches!(self.rollout, Rollout::Canary(canary) if lot < canary.share)
    }
}

/// How a canary ends.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Promote,
    RollBack(String),
}

/// Where second opinions are heard and canaries are judged.
struct Bench {
    registry: Weak<Registry>,
    canary: Option<Canary>,
    candidate: Arc<Loaded>,
    figures: Arc<Figures>,
    began: Instant,
}

impl Bench {
    /// Until the trial is over and nobody can send any more.
    fn run(&self, inbox: &Receiver<Case>, other: Arc<Loaded>, slot: Slot) {
        priority::lower();
        let chain = Chain::alone(other, slot);
        let mut judged = self.canary.is_none();
        loop {
            let case = if judged {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_timeout(LOOK)
            };
            match case {
                Ok(case) => self.hear(&chain, case),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if !judged && let Some(outcome) = self.outcome() {
                judged = true;
                self.execute(outcome);
            }
        }
    }

    /// Asks the other version, and compares.
    fn hear(&self, chain: &Rc<Chain>, case: Case) {
        let (Some(registry), Some(seat)) = (self.registry.upgrade(), chain.seats.first()) else {
            return;
        };
        let other = &seat.own.policy;
        if other.is_quarantined() {
            self.figures.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let failures = other.counters.failures();
        let worker = Worker::new(registry, usize::MAX);
        let scan = |sql: &str| {
            Rc::new(howdah_sql::scan(sql.as_bytes(), ScanOptions::default(), &NoCatalog))
        };
        let difference = match &case {
            Case::Closed(id) => return worker.closed(chain, *id),
            Case::Route(asked, obeyed) => {
                let said = worker.ask_route(chain, &asked.question(chain)).verdict.decision;
                differ("route", asked.statement.digest, (obeyed, &said), words::decision)
            }
            Case::Rewrite(asked, obeyed) => {
                let said = worker.ask_rewrite(chain, &asked.question(chain), &scan).rewrite;
                differ("rewrite", asked.statement.digest, (obeyed, &said), words::rewrite)
            }
            Case::Open(client, cluster, obeyed) => {
                let said = worker.open(chain, client, cluster);
                differ("session", 0, (obeyed, &said), words::session)
            }
        };
        // A failure is counted by itself, and is no opinion.
        if other.counters.failures() == failures {
            self.note(difference);
        } else {
            self.figures.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn note(&self, difference: Option<Disagreement>) {
        let Some(mut one) = difference else {
            self.figures.agreed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if self.canary.is_some() {
            // The obeyed version is the candidate.
            std::mem::swap(&mut one.live, &mut one.candidate);
        }
        let mut last = self.figures.last.lock();
        if last.len() >= KEPT {
            last.pop_front();
        }
        last.push_back(one);
        self.figures.disagreed.fetch_add(1, Ordering::Relaxed);
    }

    fn outcome(&self) -> Option<Outcome> {
        let canary = self.canary?;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.candidate.counters;
        let (calls, failures) = (counters.calls(), counters.failures());
        let (agreed, disagreed) = (read(&self.figures.agreed), read(&self.figures.disagreed));
        let compared = agreed + disagreed;
        let average = Duration::from_nanos(counters.nanoseconds() / calls.max(1));
        if failures > u64::from(canary.max_failures) || self.candidate.is_quarantined() {
            return Some(Outcome::RollBack(format!("{failures} of its calls failed")));
        }
        if calls >= Canary::ENOUGH && average > canary.max_latency {
            return Some(Outcome::RollBack(format!("its calls take {average:?} on average")));
        }
        let most = u64::from(canary.max_disagreement);
        if compared >= Canary::ENOUGH && disagreed * 100 > most * compared {
            let message = format!("{disagreed} of {compared} verdicts differ from the old ones");
            return Some(Outcome::RollBack(message));
        }
        // What has answered nothing has proved nothing, though it may have been told that time has passed.
        let answered = compared + read(&self.figures.skipped);
        (answered > 0 && self.began.elapsed() >= canary.promote_after).then_some(Outcome::Promote)
    }

    fn execute(&self, outcome: Outcome) {
        let Some(registry) = self.registry.upgrade() else { return };
        let policy = self.candidate.spec.name.as_str();
        let version = self.candidate.short();
        let done = registry.end_trial(&self.candidate, outcome == Outcome::Promote);
        match (outcome, done) {
            // Somebody was quicker.
            (_, Ok(None)) => {}
            (Outcome::Promote, Ok(Some(generation))) => {
                tracing::info!(policy, version, generation, "a canary did well and was promoted");
            }
            (Outcome::RollBack(reason), Ok(Some(generation))) => {
                tracing::error!(policy, version, generation, reason, "a canary was rolled back");
                registry.refused(policy, Some(format!("version {version}: {reason}; rolled back")));
            }
            (_, Err(error)) => tracing::error!(policy, version, %error, "a canary has no end"),
        }
    }
}

/// What is different, if anything: the obeyed verdict as the live one's.
fn differ<T: PartialEq>(
    hook: &'static str,
    digest: u64,
    (obeyed, said): (&T, &T),
    words: impl Fn(&T) -> String,
) -> Option<Disagreement> {
    let show = |verdict| words::cut(&words(verdict), MAX_VERDICT);
    (obeyed != said).then(|| Disagreement {
        hook,
        digest,
        live: show(obeyed),
        candidate: show(said),
    })
}
