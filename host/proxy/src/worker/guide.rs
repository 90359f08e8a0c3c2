//! What sessions ask about statements: the scanner with the catalog, and the policies.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use howdah_cluster::{ClusterId, NodeId, Token};
use howdah_decision::{Facts, Failure, Observation, Parameter, Refusal, Retry, Rewrite, Source};
use howdah_policy::{Answer, Background, Chain, FailedAt, Interest, Question, Who};
use howdah_session::{Explained, Guide, Parameters, Prepared, Seen, StatementId, Told};
use howdah_sql::{Catalog, Own, PinReason, Shapes, Statement};
use howdah_wire::backend::ErrorReport;
use howdah_wire::frontend::{Bind, Bound};
use lru::LruCache;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::Ctx;
use super::causal;
use super::explain::Explaining;
use super::failovers;
use super::traced::Traced;
use crate::figures::{Figures, Ran, kept, micros};
use crate::monitor::{Arming, Schema, watch_definitions};

/// Statements of one database that a worker keeps, by text. Of more, the least recently used are forgotten.
const MAX_STATEMENTS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// Longer texts are not kept.
const MAX_TEXT: usize = 4_096;

/// What a worker knows of one database.
pub(crate) struct Database {
    pub(crate) cluster: ClusterId,
    pub(crate) name: String,
    /// Among those of its worker.
    pub(crate) number: u32,
    /// What became of its statements.
    pub(crate) figures: RefCell<Figures>,
    schema: Arc<Schema>,
    hasher: DefaultHashBuilder,
    known: RefCell<Known>,
}

/// Statements scanned with one catalog.
struct Known {
    epoch: u64,
    shapes: Shapes,
    /// By a hash of text and types.
    statements: LruCache<u64, Rc<Prepared>>,
}

impl Known {
    fn new(epoch: u64) -> Known {
        Known { epoch, shapes: Shapes::default(), statements: LruCache::sparse(MAX_STATEMENTS) }
    }

    /// Forgets what has been scanned with another catalog.
    fn renew(&mut self, epoch: u64) {
        if self.epoch != epoch {
            *self = Known::new(epoch);
        }
    }
}

impl Database {
    pub(crate) fn new(ctx: &Ctx, cluster: ClusterId, name: &str, number: u32) -> Rc<Database> {
        let schema = ctx.shared.monitor.schema(cluster, name);
        watch_definitions(&ctx.shared.monitor, cluster, name, &schema);
        Rc::new(Database {
            cluster,
            name: name.to_owned(),
            number,
            figures: RefCell::default(),
            schema,
            hasher: DefaultHashBuilder::default(),
            known: RefCell::new(Known::new(0)),
        })
    }

    /// Statements that it keeps, and the bytes of their texts.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let known = self.known.borrow();
        let bytes: usize = known.statements.iter().map(|(_, prepared)| prepared.query.len()).sum();
        let (shapes, shape_bytes) = known.shapes.kept();
        (known.statements.len() + shapes, bytes + shape_bytes)
    }

    pub(crate) fn catalog(&self) -> Arc<Schema> {
        Arc::clone(&self.schema)
    }

    fn scan(&self, ctx: &Ctx, text: &[u8]) -> Rc<Statement> {
        // Clients that turn standard_conforming_strings off are scanned as if it were on: a backslash then ends a
        // string too early, which can only make a read look like something else.
        let known = &mut *self.known.borrow_mut();
        known.renew(self.schema.loads());
        let statement = known.shapes.scan(text, || self.schema.catalog.load_full());
        if statement.pin() == Some(PinReason::UnknownFunction) {
            ctx.shared.monitor.catalogs.doubted(self.cluster, &self.name);
        }
        statement
    }

    fn prepare(&self, ctx: &Ctx, query: &[u8], types: &[u8]) -> Rc<Prepared> {
        let epoch = self.schema.loads();
        let hash = self.hasher.hash_one((query, types));
        let mut known = self.known.borrow_mut();
        known.renew(epoch);
        if let Some(prepared) = known.statements.get(&hash)
            && *prepared.query == *query
            && *prepared.types == *types
        {
            return Rc::clone(prepared);
        }
        drop(known);
        let prepared = Rc::new(Prepared {
            id: StatementId::of(query, types),
            query: query.into(),
            types: types.into(),
            statement: self.scan(ctx, query),
            scanned: epoch,
            proven: Cell::new(None),
        });
        if query.len() <= MAX_TEXT {
            self.known.borrow_mut().statements.put(hash, Rc::clone(&prepared));
        }
        prepared
    }
}

/// The guide of one session.
pub(crate) struct SessionGuide {
    pub(crate) ctx: Rc<Ctx>,
    pub(crate) database: Rc<Database>,
    pub(crate) who: Arc<Who>,
    /// What the client knew of its settings when the last batch began; none before the first.
    pub(crate) told: Option<Parameters>,
    pub(crate) class: u32,
    pub(crate) chain: Rc<Chain>,
    pub(crate) interest: Interest,
    /// A definition of this session by which calls may leave something behind is about to come true.
    pub(crate) arming: Option<Arming>,
    /// Which client it is.
    pub(crate) id: u64,
    /// The node whose server the session has.
    pub(crate) node: Option<NodeId>,
    /// Where the batch has failed that is to be sent again.
    pub(crate) failed: Option<NodeId>,
    /// When it was sent first, while policies have a say in what becomes of it.
    pub(crate) sent: Option<Instant>,
    /// The batch under way: when it had arrived, and how long it has waited for servers.
    pub(crate) began: Option<Instant>,
    pub(crate) waited: Duration,
    /// Whether its server is a standby.
    pub(crate) on_standby: bool,
    /// What is kept of its text, if nothing is known of it yet.
    pub(crate) text: Option<Box<[u8]>>,
    /// What is noted of it, if it is traced.
    pub(super) traced: Option<Box<Traced>>,
    /// What `howdah.explain` needs.
    pub(crate) explaining: Explaining,
    /// What the session has just been told to follow.
    pub(crate) follows: Option<Token>,
}

impl SessionGuide {
    /// Policies are told of the application_name that the client has set since it connected. What it said then is known,
    /// and may be shown to servers in another way.
    fn heed(&mut self, told: &Parameters) {
        const NAME: &str = "application_name";
        if self.told.as_ref().is_some_and(|known| known.is(told)) {
            return;
        }
        if let Some(known) = &self.told
            && known.get(NAME) != told.get(NAME)
        {
            let name = told.get(NAME).unwrap_or_default().to_owned();
            Arc::make_mut(&mut self.who).application_name = name;
        }
        self.told = Some(told.clone());
    }

    /// The catalog is of the session's own cluster; a policy may have sent it to another one.
    fn is_at_home(&self) -> bool {
        let snapshot = self.ctx.shared.monitor.snapshot();
        let spec = self.node.and_then(|node| snapshot.spec(node));
        spec.is_some_and(|spec| spec.cluster == self.database.cluster)
    }

    fn question<'a>(
        &'a self,
        sql: &'a str,
        statement: &'a Statement,
        extra: Facts,
        background: &'a dyn Background,
    ) -> Question<'a> {
        Question {
            sql,
            statement,
            extra,
            class: self.class,
            who: &self.who,
            interest: self.interest,
            background,
        }
    }
}

/// What policies may ask about a statement.
pub(super) struct Asked<'a> {
    pub(super) database: &'a Database,
    pub(super) bind: Option<&'a Bind<'a>>,
}

impl Background for Asked<'_> {
    fn parameters(&self) -> Option<Vec<Parameter>> {
        // A malformed message is for the server to complain of.
        let values = self.bind?.values().ok()?;
        let parameter = |bound: Bound<'_>| match bound.value {
            None => Parameter::Null,
            Some(value) if bound.binary => Parameter::Binary(value.to_vec()),
            Some(value) => Parameter::Text(String::from_utf8_lossy(value).into_owned()),
        };
        Some(values.into_iter().map(parameter).collect())
    }

    fn catalog(&self) -> Option<Arc<dyn Catalog + Send + Sync>> {
        Some(self.database.schema.catalog.load_full())
    }

    fn catalog_epoch(&self) -> u64 {
        self.database.schema.catalog.load().epoch
    }
}

impl Guide for SessionGuide {
    type Answer = Answer;

    fn refresh(&mut self, told: &Parameters) {
        self.explaining.forget();
        self.begin_trace();
        self.heed(told);
        let chain = self.ctx.policies.chain(self.id);
        if !Rc::ptr_eq(&chain, &self.chain) {
            self.interest = chain.interest(&self.who.user, &self.who.database, &self.who.cluster);
            self.chain = chain;
        }
    }

    fn scan(&mut self, text: &[u8]) -> Rc<Statement> {
        self.database.scan(&self.ctx, text)
    }

    fn prepare(&mut self, query: &[u8], types: &[u8]) -> Rc<Prepared> {
        self.database.prepare(&self.ctx, query, types)
    }

    fn route(
        &mut self,
        text: &[u8],
        statement: &Statement,
        extra: Facts,
        bind: Option<&Bind<'_>>,
    ) -> Rc<Answer> {
        let text = howdah_sql::lossy(text);
        let asked = Asked { database: &self.database, bind };
        let question = self.question(&text, statement, extra, &asked);
        if !self.explaining.on() {
            let since = self.traced.as_ref().map(|_| Instant::now());
            let answer = self.ctx.policies.route(&self.chain, &question);
            self.trace_policy(since);
            return answer;
        }
        let known = self.ctx.policies.remembers(&self.chain, &question);
        let answer = self.ctx.policies.route(&self.chain, &question);
        self.explaining.answered(&answer, known);
        self.explaining.saw(&text);
        answer
    }

    fn rewrite(&mut self, text: &[u8], statement: &Statement, extra: Facts) -> Rewrite {
        if !self.chain.rewrites() {
            return Rewrite::Unchanged;
        }
        let Ok(text) = std::str::from_utf8(text) else { return Rewrite::Unchanged };
        let scan = |text: &str| self.database.scan(&self.ctx, text.as_bytes());
        let asked = Asked { database: &self.database, bind: None };
        let question = self.question(text, statement, extra, &asked);
        let rewrite = || self.ctx.policies.rewrite(&self.chain, &question, &scan);
        if !self.explaining.on() {
            return rewrite();
        }
        let (verdict, heard) = self.ctx.policies.listen(rewrite);
        self.explaining.rewritten(&verdict, &heard);
        verdict
    }

    fn edition(&self) -> u64 {
        self.database.schema.edition()
    }

    fn schema_changed(&mut self) {
        let Database { cluster, name, schema, .. } = &*self.database;
        self.ctx.shared.monitor.catalogs.changed(*cluster, name, schema);
    }

    fn settled(&self) -> Option<u64> {
        self.database.schema.settled()
    }

    fn content(&self) -> u64 {
        self.database.schema.content()
    }

    fn arm(&mut self, armed: bool) {
        if armed != self.arming.is_some() {
            self.arming = armed.then(|| {
                let Database { cluster, name, schema, .. } = &*self.database;
                Arming::new(&self.ctx.shared.monitor, *cluster, name, schema)
            });
        }
    }

    fn catalog(&self) -> u64 {
        self.database.schema.loads()
    }

    fn learn_write(&mut self, statement: &Statement) {
        for extra in [Facts::NONE, Facts::EXTENDED] {
            let question = self.question("", statement, extra, &());
            self.ctx.policies.learn_primary(&self.chain, &question);
        }
    }

    fn retries(&self) -> bool {
        self.chain.retries(self.interest)
    }

    fn retry(
        &mut self,
        text: &[u8],
        statement: &Statement,
        extra: Facts,
        failure: &Failure,
    ) -> Retry {
        self.failed = self.node;
        let snapshot = self.ctx.shared.monitor.snapshot();
        let spec = self.node.and_then(|node| snapshot.spec(node));
        let state = self.node.and_then(|node| snapshot.state(node));
        let at = FailedAt {
            node: spec.map_or("", |spec| &spec.name),
            role: state.map(|state| state.role).unwrap_or_default(),
            elapsed: self.sent.map(|sent| sent.elapsed()).unwrap_or_default(),
        };
        let text = howdah_sql::lossy(text);
        let asked = Asked { database: &self.database, bind: None };
        let question = self.question(&text, statement, extra, &asked);
        self.ctx.policies.retry(&self.chain, &question, failure, &at)
    }

    fn affords_another(&mut self) -> bool {
        let affords = self.ctx.budget.spend(Instant::now());
        if affords {
            self.ctx.counters().retried.add(1);
        } else {
            tracing::debug!(client = self.id, "too much is sent again already");
        }
        affords
    }

    fn wraps(&self) -> bool {
        self.ctx.shared.wraps(self.database.cluster)
    }

    fn proves(&self) -> bool {
        let Database { cluster, schema, .. } = &*self.database;
        schema.catalog.load().proves && self.ctx.shared.proves(*cluster) && self.is_at_home()
    }

    fn replays(&self) -> bool {
        self.ctx.shared.replays(self.database.cluster) && self.is_at_home()
    }

    fn begun(&mut self) {
        self.began = Some(Instant::now());
        self.waited = Duration::ZERO;
        self.text = None;
        self.sample_trace();
    }

    fn runs(&mut self, statement: &Statement, text: &[u8]) {
        self.heed_wish(text);
        let key = (self.database.number, statement.digest);
        self.text = self.ctx.statements.borrow().lacks(key).then(|| kept(text));
    }

    fn ended(&mut self, seen: &Seen<Answer>) {
        let Some(began) = self.began.take() else { return };
        let source = match seen.answer.as_ref().map(|answer| answer.source) {
            Some(howdah_policy::Source::Asked) => Source::Policy,
            Some(howdah_policy::Source::Nobody) => Source::Nobody,
            Some(howdah_policy::Source::Failed) => Source::Failure,
            Some(howdah_policy::Source::Learned) => Source::Learned,
            None => Source::Bound,
        };
        let ran = Ran {
            latency: micros(began.elapsed()),
            waited: micros(self.waited),
            rows: seen.rows,
            bytes: seen.bytes,
            sqlstate: seen.sqlstate,
            on_standby: self.node.map(|_| self.on_standby),
        };
        self.end_trace(seen, source);
        let at = self.node.ok_or(self.database.cluster);
        self.ctx.counters().ran(at, seen.kind.into(), source.into(), &ran);
        self.database.figures.borrow_mut().add(&ran);
        if seen.digest != 0 {
            let key = (self.database.number, seen.digest);
            self.ctx.statements.borrow_mut().ran(key, seen.kind, self.text.take(), &ran);
        }
        if !self.chain.observes(self.interest) {
            return;
        }
        let observation = Observation {
            session: self.id,
            class: self.class,
            kind: seen.kind,
            digest: seen.digest,
            node: self.node.and_then(|node| self.ctx.names.get(usize::from(node.0)).cloned()),
            source,
            latency_us: ran.latency,
            waited_us: ran.waited,
            rows: ran.rows,
            bytes: ran.bytes,
            sqlstate: ran.sqlstate,
        };
        if self.ctx.policies.observe(&self.chain, self.interest, observation) {
            self.ctx.observed.notify_one();
        }
    }

    fn own_setting(&mut self, own: &Own) -> Result<Told, Refusal> {
        match &*own.name {
            causal::TOKEN => {
                self.follows = Some(causal::token(own)?);
                Ok(Told::Done("SET"))
            }
            failovers::FAILOVERS => {
                failovers::tell(own, &self.ctx.shared.monitor, self.database.cluster)
            }
            _ => self.explaining.setting(own),
        }
    }

    fn explain(&mut self, what: &Explained<'_, Answer>) -> Option<ErrorReport> {
        self.explaining.on().then(|| self.explaining.notice(what, self.node, &self.ctx))
    }
}
