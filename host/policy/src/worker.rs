//! Asking, on one worker thread.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use howdah_decision::{
    Admission, Client, Decision, Refusal, Remember, Rewrite, RewriteVerdict, SessionDecision,
    Verdict,
};
use howdah_sql::Statement;

use crate::beside::Observed;
use crate::chain::{Answer, Chain, Post, Question, Seat, Slot, Source, strictest};
use crate::convert::{self, Opinion};
use crate::engine::Caller;
use crate::heard::{Heard, Said, Subject};
use crate::host::Looked;
use crate::instance::{Instance, explain, fault};
use crate::lines::Lines;
use crate::loaded::{Fault, Loaded};
use crate::memory::Until;
use crate::registry::{Generation, Registry};
use crate::spec::OnFailure;
use crate::supplied::{Script, Tape};
use crate::trial::{Case, Trial};

/// The policies as one worker thread sees them.
pub struct Worker {
    pub(crate) registry: Arc<Registry>,
    pub(crate) index: usize,
    pub(crate) caller: Caller,
    current: RefCell<Lines>,
    /// What policies have still to be told of statements.
    pub(crate) observed: RefCell<Observed>,
    /// What policies say, while somebody listens.
    pub(crate) heard: RefCell<Option<Vec<Heard>>>,
    /// What the next call is given by the host, when it is a replayed one.
    pub(crate) script: RefCell<Option<Box<Script>>>,
}

/// Tells what a text is.
pub type Scan<'a> = &'a dyn Fn(&str) -> Rc<Statement>;

/// A question that got no usable answer.
pub(crate) struct Failed;

impl Worker {
    pub(crate) fn new(registry: Arc<Registry>, index: usize) -> Worker {
        Worker {
            caller: registry.alarm.caller(),
            registry,
            index,
            current: RefCell::new(Lines::none()),
            observed: RefCell::default(),
            heard: RefCell::default(),
            script: RefCell::default(),
        }
    }

    /// What a session obeys in the newest generation. One atomic load when nothing has changed and no version is on
    /// trial.
    pub fn chain(&self, session: u64) -> Rc<Chain> {
        self.lines().of(session)
    }

    /// The versions that are obeyed in the newest generation, with the policies' numbers in its chain.
    pub(crate) fn posts(&self) -> (Arc<Generation>, Vec<(usize, Post)>) {
        let lines = self.lines();
        (Arc::clone(lines.generation()), lines.posts())
    }

    /// The chains of the newest generation.
    fn lines(&self) -> RefMut<'_, Lines> {
        let newest = self.registry.number.load(Ordering::Acquire);
        let mut lines = self.current.borrow_mut();
        if lines.number() != newest {
            let generation = self.registry.current.load_full();
            *lines = Lines::new(self, generation, &lines);
        }
        lines
    }

    /// Asks about a new client. Admissions are merged: the first policy that says something counts.
    pub fn open(&self, chain: &Chain, client: &Client, cluster: &str) -> SessionDecision {
        let interest = chain.interest(&client.user, &client.database, cluster);
        let mut merged = Admission::default();
        for seat in chain.seats(interest, chain.admitters) {
            let ask = |_: &Loaded, instance: &mut Instance| {
                let Some(session) = &instance.guest.session else { return Ok(Ok(Opinion::None)) };
                let client = convert::client(client);
                let opinion = session.call_open(&mut instance.store, &client)?;
                Ok(convert::opinion(opinion).and_then(|opinion| {
                    if let Opinion::Accept(Admission { cluster: Some(cluster), .. }) = &opinion {
                        self.cluster_exists(cluster)?;
                    }
                    Ok(opinion)
                }))
            };
            let said = |opinion: &Opinion, _| match opinion {
                Opinion::None => Said::Admit(None),
                Opinion::Accept(admission) => Said::Admit(Some(admission.clone())),
                Opinion::Refuse(refusal) => Said::Refuse(refusal.clone()),
            };
            let compare = |trial: &Trial, opinion: &Opinion| {
                let case = Case::Open(client.clone(), cluster.to_owned(), alone(opinion));
                trial.compare(Some(case));
            };
            let subject = Subject::Session(client, cluster);
            match self.asked(seat, subject, ask, said, compare) {
                Ok((Opinion::None, _)) => {}
                Ok((Opinion::Refuse(refusal), _)) => return SessionDecision::Refuse(refusal),
                Ok((Opinion::Accept(admission), _)) => merge(&mut merged, admission),
                Err(Failed) => match seat.own.policy.spec.on_failure {
                    OnFailure::Fallback => {}
                    OnFailure::Open => break,
                    OnFailure::Closed => return SessionDecision::Refuse(closed(&seat.own.policy)),
                },
            }
        }
        SessionDecision::Accept(merged)
    }

    /// Tells that a client has gone.
    pub fn closed(&self, chain: &Chain, id: u64) {
        for seat in &chain.seats {
            for post in [Some(&seat.own), seat.stand_in.as_ref()].into_iter().flatten() {
                if post.policy.hooks.session.is_some() {
                    // Nobody waits for an answer; a failure has been counted.
                    let _ = self.call(post, None, |_, instance| match &instance.guest.session {
                        Some(session) => session.call_closed(&mut instance.store, id),
                        None => Ok(()),
                    });
                }
            }
            if let Some(trial) = &seat.trial {
                trial.compare(Some(Case::Closed(id)));
            }
        }
    }

    /// Asks where a statement goes.
    pub fn route(&self, chain: &Chain, q: &Question<'_>) -> Rc<Answer> {
        let known = chain.answers.borrow_mut().recall(q, || self.topology_epoch());
        if let Some(answer) = known
            && self.possible(&answer.verdict.decision).is_ok()
            && (answer.source == Source::Learned || !chain.samples())
        {
            if let Some(seat) = chain.seats.first() {
                seat.own.tally.remembered();
            }
            return answer;
        }
        let mut looked = Looked::default();
        let now = self.remembers_from(q);
        let answer = Rc::new(self.route_anew(chain, q, &mut looked));
        if let Some(now) = now {
            let until = now.as_seen_by(looked);
            chain.answers.borrow_mut().keep(q, answer.verdict.remember, until, &answer);
        }
        answer
    }

    pub(crate) fn topology_epoch(&self) -> u64 {
        self.registry.world.topology_epoch.load(Ordering::Acquire)
    }

    /// The epochs in which a question is asked, if its answer may be remembered.
    fn remembers_from(&self, q: &Question<'_>) -> Option<Now> {
        let now = || Now { topology: self.topology_epoch(), catalog: q.background.catalog_epoch() };
        self.registry.remembers.load(Ordering::Relaxed).then(now)
    }

    /// Whether the answer to a routing question is remembered.
    pub fn remembers(&self, chain: &Chain, q: &Question<'_>) -> bool {
        chain.answers.borrow_mut().recall(q, || self.topology_epoch()).is_some()
    }

    /// Asks where a statement goes, whatever is remembered, and remembers nothing.
    pub fn ask_route(&self, chain: &Chain, q: &Question<'_>) -> Answer {
        self.route_anew(chain, q, &mut Looked::default())
    }

    fn route_anew(&self, chain: &Chain, q: &Question<'_>, all: &mut Looked) -> Answer {
        let mut remember = Remember::Digest;
        for seat in chain.seats(q.interest, chain.routers) {
            let policy = &seat.own.policy;
            let ask = |_: &Loaded, instance: &mut Instance| {
                let Some(route) = &instance.guest.route else { return Ok(Ok(Verdict::default())) };
                let (kind, facts) = (convert::kind(q.statement.kind), convert::facts(q.facts()));
                let digest = q.statement.digest;
                let answer =
                    route.call_route(&mut instance.store, q.sql, kind, digest, facts, q.class)?;
                Ok(convert::verdict(answer).and_then(|verdict| {
                    self.possible(&verdict.decision)?;
                    Ok(verdict)
                }))
            };
            let said = |verdict: &Verdict, looked| {
                let remember = allowed(verdict.remember, looked);
                Said::Route(Verdict { remember, ..verdict.clone() })
            };
            let compare = |trial: &Trial, verdict: &Verdict| {
                let case = |asked| Case::Route(asked, verdict.decision.clone());
                trial.compare(trial.kept(q).map(case));
            };
            let named = |decision, source| Answer {
                verdict: Verdict { decision, remember: Remember::Never },
                policy: Some(seat.own.name()),
                source,
            };
            match self.asked(seat, Subject::Route(q), ask, said, compare) {
                Ok((verdict, looked)) => {
                    all.add(looked);
                    remember = strictest(remember, allowed(verdict.remember, looked));
                    if !matches!(verdict.decision, Decision::NoOpinion) {
                        let mut answer = named(verdict.decision, Source::Asked);
                        answer.verdict.remember = remember;
                        return answer;
                    }
                }
                Err(Failed) => match policy.spec.on_failure {
                    OnFailure::Fallback => remember = Remember::Never,
                    OnFailure::Open => return named(Decision::Primary, Source::Failed),
                    OnFailure::Closed => {
                        return named(Decision::Refuse(closed(policy)), Source::Failed);
                    }
                },
            }
        }
        let verdict = Verdict { decision: Decision::NoOpinion, remember };
        Answer { verdict, policy: None, source: Source::Nobody }
    }

    /// Asks what becomes of a statement's text. Each policy is asked about what the one before it made of it, which
    /// `scan` tells.
    pub fn rewrite(&self, chain: &Chain, q: &Question<'_>, scan: Scan<'_>) -> Rewrite {
        if !chain.rewrites() {
            return Rewrite::Unchanged;
        }
        let known = chain.rewrites.borrow_mut().recall(q, || self.topology_epoch());
        if let Some(known) = known
            && !chain.samples()
        {
            return known.rewrite.clone();
        }
        let mut looked = Looked::default();
        let now = self.remembers_from(q);
        let verdict = Rc::new(self.rewrite_anew(chain, q, scan, &mut looked));
        if let Some(now) = now {
            let until = now.as_seen_by(looked);
            chain.rewrites.borrow_mut().keep(q, verdict.remember, until, &verdict);
        }
        verdict.rewrite.clone()
    }

    /// Asks what becomes of a statement's text, whatever is remembered, and remembers nothing.
    pub fn ask_rewrite(&self, chain: &Chain, q: &Question<'_>, scan: Scan<'_>) -> RewriteVerdict {
        self.rewrite_anew(chain, q, scan, &mut Looked::default())
    }

    fn rewrite_anew(
        &self,
        chain: &Chain,
        q: &Question<'_>,
        scan: Scan<'_>,
        all: &mut Looked,
    ) -> RewriteVerdict {
        let mut changed: Option<(Box<str>, Rc<Statement>)> = None;
        let mut remember = Remember::Digest;
        for seat in chain.seats(q.interest, chain.rewriters) {
            let policy = &seat.own.policy;
            let q = match &changed {
                None => *q,
                Some((sql, statement)) => Question { sql, statement, ..*q },
            };
            let ask = |policy: &Loaded, instance: &mut Instance| {
                let Some(rewrite) = &instance.guest.rewrite else {
                    return Ok(Ok((RewriteVerdict::default(), None)));
                };
                let (kind, facts) = (convert::kind(q.statement.kind), convert::facts(q.facts()));
                let (store, digest) = (&mut instance.store, q.statement.digest);
                let answer = rewrite.call_rewrite(store, q.sql, kind, digest, facts, q.class)?;
                let limit = policy.spec.limits.rewrite;
                Ok(convert::rewrite(answer, limit).and_then(|verdict| fitting(verdict, &q, scan)))
            };
            let said = |(verdict, _): &(RewriteVerdict, _), looked| {
                let remember = allowed(verdict.remember, looked);
                Said::Rewrite(RewriteVerdict { remember, ..verdict.clone() })
            };
            let compare = |trial: &Trial, (verdict, _): &(RewriteVerdict, _)| {
                let case = |asked| Case::Rewrite(asked, verdict.rewrite.clone());
                trial.compare(trial.kept(&q).map(case));
            };
            match self.asked(seat, Subject::Rewrite(&q), ask, said, compare) {
                Ok(((verdict, statement), looked)) => {
                    all.add(looked);
                    remember = strictest(remember, allowed(verdict.remember, looked));
                    match verdict.rewrite {
                        Rewrite::Unchanged => {}
                        Rewrite::Text(new) => changed = statement.map(|statement| (new, statement)),
                        Rewrite::Refuse(_) => return RewriteVerdict { remember, ..verdict },
                    }
                }
                Err(Failed) => match policy.spec.on_failure {
                    OnFailure::Fallback => remember = Remember::Never,
                    OnFailure::Open => {
                        remember = Remember::Never;
                        break;
                    }
                    OnFailure::Closed => {
                        let rewrite = Rewrite::Refuse(closed(policy));
                        return RewriteVerdict { rewrite, remember: Remember::Never };
                    }
                },
            }
        }
        let rewrite = changed.map_or(Rewrite::Unchanged, |(new, _)| Rewrite::Text(new));
        RewriteVerdict { rewrite, remember }
    }

    /// A standby refused a statement because it writes: others like it go to the primary from now on.
    pub fn learn_primary(&self, chain: &Chain, q: &Question<'_>) {
        let verdict = Verdict { decision: Decision::Primary, remember: Remember::Digest };
        let answer = Rc::new(Answer { verdict, policy: None, source: Source::Learned });
        chain.answers.borrow_mut().keep(q, Remember::Digest, Until::default(), &answer);
    }

    /// Whether there is such a node or cluster.
    fn possible(&self, decision: &Decision) -> Result<(), String> {
        match decision {
            Decision::Node(name) => {
                let topology = self.registry.world.topology.load();
                match topology.nodes.iter().find(|node| node.name == **name) {
                    Some(node) if node.up => Ok(()),
                    Some(_) => Err(format!("node \"{name}\" is down")),
                    None => Err(format!("there is no node \"{name}\"")),
                }
            }
            Decision::Cluster(name) => self.cluster_exists(name),
            _ => Ok(()),
        }
    }

    fn cluster_exists(&self, name: &str) -> Result<(), String> {
        let topology = self.registry.world.topology.load();
        if topology.nodes.iter().any(|node| node.cluster == name) {
            Ok(())
        } else {
            Err(format!("there is no cluster \"{name}\""))
        }
    }

    /// Asks the version that is obeyed, and has the other one asked later by `compare`. When a canary fails, the version
    /// in force stands in for it, and what that says is asked for again the next time. `said` tells what a version
    /// answered to whoever listens.
    pub(crate) fn asked<T>(
        &self,
        seat: &Seat,
        subject: Subject<'_>,
        ask: impl Fn(&Loaded, &mut Instance) -> wasmtime::Result<Result<T, String>>,
        said: impl Fn(&T, Looked) -> Said,
        compare: impl FnOnce(&Trial, &T),
    ) -> Result<(T, Looked), Failed> {
        let answer = self.usable(&seat.own, subject, &ask, &said);
        match (answer, &seat.trial, &seat.stand_in) {
            (Ok(answer), Some(trial), _) => {
                compare(trial, &answer.0);
                Ok(answer)
            }
            (Err(Failed), _, Some(live)) => {
                let (answer, looked) = self.usable(live, subject, &ask, &said)?;
                Ok((answer, Looked { passing: true, ..looked }))
            }
            (answer, ..) => answer,
        }
    }

    /// A guest may answer something that cannot be used: that is a failure, though the instance is well.
    fn usable<T>(
        &self,
        post: &Post,
        subject: Subject<'_>,
        ask: impl FnOnce(&Loaded, &mut Instance) -> wasmtime::Result<Result<T, String>>,
        said: impl FnOnce(&T, Looked) -> Said,
    ) -> Result<(T, Looked), Failed> {
        let policy = &post.policy;
        let listener = self.registry.listener(self.index);
        let listener = listener.as_ref().and_then(|listener| listener.as_deref());
        let listener = listener.filter(|_| !policy.is_quarantined());
        let mut tape = self.tape(listener.is_some());
        let taped = |policy: &Loaded, instance: &mut Instance| {
            std::mem::swap(&mut instance.store.data_mut().tape, &mut tape);
            let answer = ask(policy, instance);
            std::mem::swap(&mut instance.store.data_mut().tape, &mut tape);
            answer
        };
        let outcome = match self.call(post, subject.question(), taped) {
            Ok((Ok(answer), looked)) => Ok((answer, looked)),
            Ok((Err(message), _)) => {
                policy.failed(Fault::Answer, &format!("its answer cannot be used: {message}"));
                Err(Failed)
            }
            Err(Failed) => Err(Failed),
        };
        let said = || match &outcome {
            Ok((answer, looked)) => said(answer, *looked),
            Err(Failed) => Said::Failed(policy.why_failed()),
        };
        match (tape, listener) {
            (Tape::Noting(noted), Some(listener)) => {
                let said = said();
                self.hear(&policy.spec.name, || said.clone());
                self.tell(listener, policy, subject, noted, said);
            }
            (tape, _) => {
                self.hear(&policy.spec.name, said);
                if let Tape::Giving(script) = tape {
                    *self.script.borrow_mut() = Some(script);
                }
            }
        }
        outcome
    }

    /// Calls into a policy's instance. After a failure the instance is replaced.
    pub(crate) fn call<T>(
        &self,
        post: &Post,
        q: Option<&Question<'_>>,
        ask: impl FnOnce(&Loaded, &mut Instance) -> wasmtime::Result<T>,
    ) -> Result<(T, Looked), Failed> {
        let policy = &post.policy;
        if policy.is_quarantined() {
            return Err(Failed);
        }
        let mut slot = post.slot.borrow_mut();
        let instance = self.instance(policy, &mut slot)?;
        let state = instance.store.data_mut();
        state.looked = Looked::default();
        state.last_words.clear();
        match q.filter(|_| policy.asks_back.question) {
            Some(q) => state.asked.get_or_insert_default().becomes(q, policy.asks_back),
            None => state.asked = None,
        }
        let began = Instant::now();
        let under_way = self.caller.calls(&mut instance.store, began, post.limit);
        let outcome = self.told(post, instance).and_then(|()| ask(policy, instance));
        drop(under_way);
        post.tally.called(began.elapsed());
        match outcome {
            Ok(answer) => Ok((answer, instance.store.data().looked)),
            Err(error) => {
                let message = explain(&error, &instance.store.data().last_words);
                policy.failed(fault(&error), &message);
                self.replace(policy, &mut slot);
                Err(Failed)
            }
        }
    }

    /// The instance in use: the spare, or a new one, when there is none.
    fn instance<'s>(
        &self,
        policy: &Loaded,
        slot: &'s mut Slot,
    ) -> Result<&'s mut Instance, Failed> {
        if slot.instance.is_none() {
            slot.instance = slot.spare.take();
        }
        if slot.instance.is_none() {
            self.replace(policy, slot);
        }
        slot.instance.as_mut().ok_or(Failed)
    }

    /// The instance has failed: the spare takes its place, and a new spare is made. That takes some ten
    /// microseconds, for the one question that failed anyway.
    pub(crate) fn replace(&self, policy: &Loaded, slot: &mut Slot) {
        slot.instance = slot.spare.take();
        match Instance::start(policy, &self.caller) {
            Ok(fresh) if slot.instance.is_none() => slot.instance = Some(fresh),
            Ok(fresh) => slot.spare = Some(fresh),
            Err(message) => policy.failed(Fault::Trap, &message),
        }
    }

    /// Tells the guest about the nodes, when it does not know them yet, as a call of its own.
    fn told(&self, post: &Post, instance: &mut Instance) -> wasmtime::Result<()> {
        if instance.knows_topology(self.topology_epoch()) {
            return Ok(());
        }
        let topology = self.registry.world.topology.load();
        if instance.knows_topology(topology.epoch) {
            return Ok(());
        }
        instance.tell_topology(topology.epoch, &topology.nodes)?;
        self.caller.goes_on(&mut instance.store, Instant::now(), post.limit);
        Ok(())
    }
}

/// A rewrite whose text may stand for the old one, and what that text is.
fn fitting(
    verdict: RewriteVerdict,
    q: &Question<'_>,
    scan: Scan<'_>,
) -> Result<(RewriteVerdict, Option<Rc<Statement>>), String> {
    let Rewrite::Text(new) = &verdict.rewrite else { return Ok((verdict, None)) };
    let statement = scan(new);
    if howdah_sql::same_shape(q.statement, &statement) {
        Ok((verdict, Some(statement)))
    } else {
        Err("the new text has other parameters or transaction boundaries".into())
    }
}

/// The epochs in which a question is asked.
struct Now {
    topology: u64,
    catalog: u64,
}

impl Now {
    /// How long an answer holds that was found by looking at this.
    fn as_seen_by(&self, looked: Looked) -> Until {
        Until {
            topology: looked.nodes.then_some(self.topology),
            catalog: looked.catalog.then_some(self.catalog),
        }
    }
}

/// What was answered from more than the arguments may be remembered for less.
fn allowed(remember: Remember, looked: Looked) -> Remember {
    match remember {
        _ if looked.passing => Remember::Never,
        Remember::Digest if looked.text => Remember::Text,
        Remember::DigestAndClass if looked.text => Remember::TextAndClass,
        other => other,
    }
}

fn closed(policy: &Loaded) -> Refusal {
    let name = &policy.spec.name;
    Refusal::new("58000", &format!("policy {name} failed, and its on_failure is \"closed\""))
}

/// What a policy's opinion comes to when it is the only one.
fn alone(opinion: &Opinion) -> SessionDecision {
    let mut admission = Admission::default();
    match opinion {
        Opinion::None => {}
        Opinion::Accept(from) => merge(&mut admission, from.clone()),
        Opinion::Refuse(refusal) => return SessionDecision::Refuse(refusal.clone()),
    }
    SessionDecision::Accept(admission)
}

fn merge(into: &mut Admission, from: Admission) {
    let Admission { user, database, cluster, pool_mode, settings, priority, max_wait_ms, class } =
        from;
    into.user = into.user.take().or(user);
    into.database = into.database.take().or(database);
    into.cluster = into.cluster.take().or(cluster);
    into.pool_mode = into.pool_mode.or(pool_mode);
    for (name, value) in settings {
        if !into.settings.iter().any(|(n, _)| *n == name) {
            into.settings.push((name, value));
        }
    }
    into.max_wait_ms = into.max_wait_ms.or(max_wait_ms);
    if into.priority == 0 {
        into.priority = priority;
    }
    if into.class == 0 {
        into.class = class;
    }
}
