//! Asking, on one worker thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use howdah_decision::{
    Admission, Client, Decision, Refusal, Remember, Rewrite, RewriteVerdict, SessionDecision,
    Verdict,
};
use howdah_sql::Statement;

use crate::chain::{Answer, Chain, Post, Question, Seat, Slot, Source, strictest};
use crate::convert::{self, Opinion};
use crate::host::Looked;
use crate::instance::{Instance, explain};
use crate::lines::Lines;
use crate::loaded::Loaded;
use crate::registry::Registry;
use crate::spec::OnFailure;
use crate::trial::{Asked, Case};

/// The policies as one worker thread sees them.
pub struct Worker {
    registry: Arc<Registry>,
    index: usize,
    current: RefCell<Option<Lines>>,
}

/// Tells what a text is.
pub type Scan<'a> = &'a dyn Fn(&str) -> Rc<Statement>;

/// A question that got no usable answer.
struct Failed;

impl Worker {
    pub(crate) fn new(registry: Arc<Registry>, index: usize) -> Worker {
        Worker { registry, index, current: RefCell::default() }
    }

    /// What a session obeys in the newest generation. One atomic load when nothing has changed and no version is on
    /// trial.
    pub fn chain(&self, session: u64) -> Rc<Chain> {
        let newest = self.registry.number.load(Ordering::Acquire);
        let mut current = self.current.borrow_mut();
        match &mut *current {
            Some(lines) if lines.number() == newest => lines.of(session),
            before => {
                let generation = self.registry.current.load_full();
                let mut lines = Lines::new(generation, self.index, before.as_ref());
                let chain = lines.of(session);
                *before = Some(lines);
                chain
            }
        }
    }

    /// Asks about a new client. Admissions are merged: the first policy that says something counts.
    pub fn open(&self, chain: &Chain, client: &Client, cluster: &str) -> SessionDecision {
        let interest = chain.interest(&client.user, &client.database, cluster);
        let mut merged = Admission::default();
        for (i, seat) in chain.seats.iter().enumerate() {
            if interest.0 & (1 << i) == 0 || !seat.has(|hooks| hooks.session.is_some()) {
                continue;
            }
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
            let case = |opinion: &Opinion| {
                Some(Case::Open(client.clone(), cluster.to_owned(), alone(opinion)))
            };
            match self.asked(seat, None, ask, case) {
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
        let known = chain.answers.borrow().recall(q);
        if let Some(answer) = known
            && self.possible(&answer.verdict.decision).is_ok()
            && (answer.source == Source::Learned || !chain.samples())
        {
            if let Some(seat) = chain.seats.first() {
                seat.own.policy.counters.remembered.fetch_add(1, Ordering::Relaxed);
            }
            return answer;
        }
        let answer = Rc::new(self.ask_route(chain, q));
        chain.answers.borrow_mut().keep(q, answer.verdict.remember, &answer);
        answer
    }

    pub(crate) fn ask_route(&self, chain: &Chain, q: &Question<'_>) -> Answer {
        let mut remember = Remember::Digest;
        for (i, seat) in chain.seats.iter().enumerate() {
            if q.interest.0 & (1 << i) == 0 || !seat.has(|hooks| hooks.route.is_some()) {
                continue;
            }
            let policy = &seat.own.policy;
            let ask = |_: &Loaded, instance: &mut Instance| {
                let Some(route) = &instance.guest.route else {
                    let decision = Decision::NoOpinion;
                    return Ok(Ok(Verdict { decision, remember: Remember::Digest }));
                };
                let (kind, facts) = (convert::kind(q.statement.kind), convert::facts(q.facts()));
                let digest = q.statement.digest;
                let answer =
                    route.call_route(&mut instance.store, q.sql, kind, digest, facts, q.class)?;
                Ok(convert::verdict(answer).and_then(|verdict| {
                    self.possible(&verdict.decision)?;
                    Ok(verdict)
                }))
            };
            let case = |verdict: &Verdict| {
                Asked::of(q).map(|asked| Case::Route(asked, verdict.decision.clone()))
            };
            let named = |decision, source| Answer {
                verdict: Verdict { decision, remember: Remember::Never },
                policy: Some(policy.spec.name.as_str().into()),
                source,
            };
            match self.asked(seat, Some(q), ask, case) {
                Ok((verdict, looked)) => {
                    remember = strictest(remember, allowed(verdict.remember, looked));
                    if verdict.decision != Decision::NoOpinion {
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
        let known = chain.rewrites.borrow().recall(q);
        if let Some(known) = known
            && !chain.samples()
        {
            return known.rewrite.clone();
        }
        let verdict = Rc::new(self.ask_rewrite(chain, q, scan));
        chain.rewrites.borrow_mut().keep(q, verdict.remember, &verdict);
        verdict.rewrite.clone()
    }

    pub(crate) fn ask_rewrite(
        &self,
        chain: &Chain,
        q: &Question<'_>,
        scan: Scan<'_>,
    ) -> RewriteVerdict {
        let mut changed: Option<(Box<str>, Rc<Statement>)> = None;
        let mut remember = Remember::Digest;
        for (i, seat) in chain.seats.iter().enumerate() {
            if q.interest.0 & (1 << i) == 0 || !seat.has(|hooks| hooks.rewrite.is_some()) {
                continue;
            }
            let policy = &seat.own.policy;
            let q = match &changed {
                None => *q,
                Some((sql, statement)) => Question { sql, statement, ..*q },
            };
            let ask = |policy: &Loaded, instance: &mut Instance| {
                let Some(rewrite) = &instance.guest.rewrite else {
                    let rewrite = Rewrite::Unchanged;
                    return Ok(Ok((RewriteVerdict { rewrite, remember: Remember::Digest }, None)));
                };
                let (kind, facts) = (convert::kind(q.statement.kind), convert::facts(q.facts()));
                let (store, digest) = (&mut instance.store, q.statement.digest);
                let answer = rewrite.call_rewrite(store, q.sql, kind, digest, facts, q.class)?;
                let limit = policy.spec.limits.rewrite;
                Ok(convert::rewrite(answer, limit).and_then(|verdict| fitting(verdict, &q, scan)))
            };
            let case = |(verdict, _): &(RewriteVerdict, _)| {
                Asked::of(&q).map(|asked| Case::Rewrite(asked, verdict.rewrite.clone()))
            };
            match self.asked(seat, Some(&q), ask, case) {
                Ok(((verdict, statement), looked)) => {
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
        chain.answers.borrow_mut().keep(q, Remember::Digest, &answer);
    }

    /// Whether there is such a node or cluster.
    fn possible(&self, decision: &Decision) -> Result<(), String> {
        match decision {
            Decision::Node(name) => {
                let topology = self.registry.topology.load();
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
        let topology = self.registry.topology.load();
        if topology.nodes.iter().any(|node| node.cluster == name) {
            Ok(())
        } else {
            Err(format!("there is no cluster \"{name}\""))
        }
    }

    /// Asks the version that is obeyed, has the other one asked later, and falls back to the version in force when a
    /// canary fails.
    fn asked<T>(
        &self,
        seat: &Seat,
        q: Option<&Question<'_>>,
        ask: impl Fn(&Loaded, &mut Instance) -> wasmtime::Result<Result<T, String>>,
        case: impl FnOnce(&T) -> Option<Case>,
    ) -> Result<(T, Looked), Failed> {
        let answer = self.usable(&seat.own, q, &ask);
        match (answer, &seat.trial, &seat.stand_in) {
            (Ok(answer), Some(trial), _) => {
                trial.compare(case(&answer.0));
                Ok(answer)
            }
            (Err(Failed), _, Some(live)) => {
                let (answer, looked) = self.usable(live, q, &ask)?;
                Ok((answer, Looked { stand_in: true, ..looked }))
            }
            (answer, ..) => answer,
        }
    }

    /// A guest may answer something that cannot be used: that is a failure, though the instance is well.
    fn usable<T>(
        &self,
        post: &Post,
        q: Option<&Question<'_>>,
        ask: impl FnOnce(&Loaded, &mut Instance) -> wasmtime::Result<Result<T, String>>,
    ) -> Result<(T, Looked), Failed> {
        match self.call(post, q, ask)? {
            (Ok(answer), looked) => Ok((answer, looked)),
            (Err(message), _) => {
                post.policy.failed(&format!("its answer cannot be used: {message}"));
                Err(Failed)
            }
        }
    }

    /// Calls into a policy's instance. After a failure the instance is replaced.
    fn call<T>(
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
        let began = Instant::now();
        self.registry.ticker.called();
        let ticks = policy.ticks();
        let state = instance.store.data_mut();
        state.looked = Looked::default();
        state.last_words.clear();
        state.asked = match q {
            Some(q) if policy.asks_back => Some((q.sql.as_bytes().into(), Arc::clone(q.who))),
            _ => None,
        };
        let outcome = self.told(instance, ticks).and_then(|()| {
            instance.store.set_epoch_deadline(ticks);
            ask(policy, instance)
        });
        policy.counters.calls.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        policy.counters.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        match outcome {
            Ok(answer) => Ok((answer, instance.store.data().looked)),
            Err(error) => {
                policy.failed(&explain(&error, &instance.store.data().last_words));
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
    fn replace(&self, policy: &Loaded, slot: &mut Slot) {
        slot.instance = slot.spare.take();
        match Instance::start(policy, &self.registry.ticker) {
            Ok(fresh) if slot.instance.is_none() => slot.instance = Some(fresh),
            Ok(fresh) => slot.spare = Some(fresh),
            Err(message) => policy.failed(&message),
        }
    }

    fn told(&self, instance: &mut Instance, ticks: u64) -> wasmtime::Result<()> {
        let epoch = self.registry.topology_epoch.load(Ordering::Acquire);
        if epoch == 0 {
            return Ok(());
        }
        let topology = self.registry.topology.load();
        instance.tell_topology(topology.epoch, &topology.nodes, ticks)
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

/// What was answered from more than the arguments may be remembered for less.
fn allowed(remember: Remember, looked: Looked) -> Remember {
    match remember {
        _ if looked.who || looked.stand_in => Remember::Never,
        Remember::Digest if looked.tag => Remember::Text,
        Remember::DigestAndClass if looked.tag => Remember::TextAndClass,
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
    let Admission { user, database, cluster, pool_mode, settings, class } = from;
    into.user = into.user.take().or(user);
    into.database = into.database.take().or(database);
    into.cluster = into.cluster.take().or(cluster);
    into.pool_mode = into.pool_mode.or(pool_mode);
    for (name, value) in settings {
        if !into.settings.iter().any(|(n, _)| *n == name) {
            into.settings.push((name, value));
        }
    }
    if into.class == 0 {
        into.class = class;
    }
}
