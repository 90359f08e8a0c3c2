//! Policies without a proxy: a registry, a worker, and whoever asks.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use howdah_decision::{
    Client, Decision, Facts, Failure, Kind, Node, Observation, Outcome, Parameter, Retry, Rewrite,
    Role, Safety, SessionDecision,
};
use howdah_policy::{
    Background, Binary, Chain, FailedAt, Grants, Limits, OnFailure, Options, PolicySpec, Question,
    Registry, Rollout, Scope, SettingValue, Who, Worker,
};
use howdah_sql::{NoCatalog, ScanOptions, Statement, Volatility};

use crate::{policy, wait};

/// The policy that misbehaves.
pub fn hostile() -> Binary {
    static BYTES: OnceLock<Binary> = OnceLock::new();
    BYTES.get_or_init(|| std::fs::read(policy("hostile")).unwrap().into()).clone()
}

/// The policy that sends everything to the primary.
pub fn primary_only() -> Binary {
    static BYTES: OnceLock<Binary> = OnceLock::new();
    BYTES.get_or_init(|| std::fs::read(policy("user-to-replica")).unwrap().into()).clone()
}

/// The same component with another word of the same length in its names.
pub fn renamed(bytes: &[u8], from: &str, to: &str) -> Binary {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    let mut found = 0;
    while let Some(next) = bytes[at..].windows(from.len()).position(|w| w == from.as_bytes()) {
        at += next;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        found += 1;
    }
    assert!(found > 0, "{from} is not in the component");
    bytes.into()
}

/// A policy of these bytes with these settings.
pub fn spec(bytes: Binary, settings: &[(&str, &str)]) -> PolicySpec {
    let text = |(name, value): &(&str, &str)| {
        ((*name).to_owned(), SettingValue::Text((*value).to_owned()))
    };
    PolicySpec {
        name: "bad".into(),
        bytes,
        origin: "a test".into(),
        settings: settings.iter().map(text).collect::<BTreeMap<_, _>>(),
        limits: Limits { time: Duration::from_secs(1), memory: 8 << 20, ..Limits::default() },
        on_failure: OnFailure::Fallback,
        grants: Grants::ALL,
        kv_space: None,
        scope: Scope::default(),
        sha256: None,
        rollout: Rollout::Live,
    }
}

/// The policy that misbehaves here and so. Only one that never ends has little time: on a busy machine the others may
/// need more.
pub fn misbehaving(hook: &str, mode: &str) -> PolicySpec {
    let mut spec = spec(hostile(), &[("hook", hook), ("mode", mode)]);
    if mode == "loop" {
        spec.limits.time = Duration::from_millis(20);
    }
    spec
}

/// A policy that is well.
pub fn well() -> PolicySpec {
    PolicySpec { name: "well".into(), ..spec(primary_only(), &[]) }
}

/// A registry with a worker, and whoever asks.
pub struct House {
    /// Its policies.
    pub registry: Arc<Registry>,
    /// Its only worker.
    pub worker: Worker,
    /// Who asks.
    pub who: Arc<Who>,
    /// What is known of the database, and bound.
    pub background: Known,
}

/// A database whose catalog has been loaded so many times; and what is bound to parameters.
#[derive(Default)]
pub struct Known {
    /// How often the catalog has been loaded.
    pub loads: u64,
    /// What is bound to parameters.
    pub bound: Option<Vec<Parameter>>,
}

impl Background for Known {
    fn parameters(&self) -> Option<Vec<Parameter>> {
        self.bound.clone()
    }

    fn catalog(&self) -> Option<Arc<dyn howdah_sql::Catalog + Send + Sync>> {
        let volatile = self.loads > 1;
        Some(Arc::new(One(if volatile { Volatility::Volatile } else { Volatility::Immutable })))
    }

    fn catalog_epoch(&self) -> u64 {
        self.loads
    }
}

/// A catalog of which every function is like this.
struct One(Volatility);

impl howdah_sql::Catalog for One {
    fn function(&self, _: Option<&str>, _: &str) -> Volatility {
        self.0
    }

    fn relation_is_volatile(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn operator_is_volatile(&self, _: &str) -> bool {
        false
    }
}

impl House {
    /// Without policies.
    pub fn empty() -> House {
        let registry = Registry::new(Options { workers: 1 }).unwrap();
        let worker = registry.worker(0);
        let who = Who { user: "alice".into(), database: "shop".into(), ..Who::default() };
        House { registry, worker, who: Arc::new(who), background: Known::default() }
    }

    /// With these policies.
    pub fn of(specs: Vec<PolicySpec>) -> House {
        let house = House::empty();
        house.registry.apply(specs).unwrap();
        house
    }

    /// With these nodes, which are up or not.
    pub fn with_nodes(self, nodes: &[(&str, bool)]) -> House {
        let node = |(name, up): &(&str, bool)| Node {
            name: (*name).into(),
            cluster: "main".into(),
            role: Role::Replica,
            up: *up,
            lag_bytes: None,
            lag_ms: None,
            labels: Vec::new(),
        };
        self.registry.topology(1, nodes.iter().map(node).collect());
        self
    }

    /// Asks about a statement.
    pub fn ask<T>(&self, sql: &str, class: u32, ask: impl FnOnce(&Chain, &Question<'_>) -> T) -> T {
        let chain = self.worker.chain(0);
        let statement = scan(sql);
        let interest = chain.interest(&self.who.user, &self.who.database, "main");
        let who = &self.who;
        let extra = Facts::NONE;
        let background = &self.background;
        ask(
            &chain,
            &Question { sql, statement: &statement, extra, class, who, interest, background },
        )
    }

    /// Where a statement goes.
    pub fn route(&self, sql: &str) -> Decision {
        self.ask(sql, 0, |chain, q| self.worker.route(chain, q).verdict.decision.clone())
    }

    /// What becomes of its text.
    pub fn rewrite(&self, sql: &str) -> Rewrite {
        self.ask(sql, 0, |chain, q| self.worker.rewrite(chain, q, &scan))
    }

    /// Whether a client is let in.
    pub fn open(&self) -> SessionDecision {
        let client = Client {
            id: 1,
            user: "alice".into(),
            database: "shop".into(),
            application_name: String::new(),
            address: "::1".into(),
            parameters: Vec::new(),
        };
        self.worker.open(&self.worker.chain(0), &client, "main")
    }

    /// What becomes of a statement that has failed.
    pub fn retry(&self, safety: Safety) -> Retry {
        let sqlstate = Some(*b"57P01");
        let (outcome, replayable, attempt) = (Outcome::Unknown, false, 1);
        let failure = Failure { sqlstate, safety, outcome, replayable, attempt };
        let at = FailedAt { node: "a", role: Role::Replica, elapsed: Duration::ZERO };
        self.ask("SELECT 1", 0, |chain, q| self.worker.retry(chain, q, &failure, &at))
    }

    /// This many statements have been answered, and the policies are told.
    pub fn observe(&self, statements: usize) {
        let seen = Observation {
            session: 1,
            class: 0,
            kind: Kind::Read,
            digest: 7,
            node: Some("a".into()),
            source: howdah_decision::Source::Policy,
            latency_us: 5,
            waited_us: 1,
            rows: 2,
            bytes: 30,
            sqlstate: None,
        };
        let chain = self.worker.chain(0);
        let interest = chain.interest("", "", "main");
        for _ in 0..statements {
            self.worker.observe(&chain, interest, seen.clone());
        }
        while self.worker.batches() > 0 {
            self.worker.report();
        }
    }

    /// Waits until a policy is told that time has passed.
    pub fn tick_soon(&self) {
        let calls = || self.registry.status()[0].calls;
        let before = calls();
        wait("a tick", || {
            self.worker.tick();
            calls() > before
        });
    }

    /// What the first policy's one value is.
    pub fn value(&self, sql: &str) -> String {
        first(&self.route(sql))
    }

    /// How often the first policy has failed.
    pub fn failures(&self) -> u64 {
        self.registry.status()[0].failures
    }

    /// How it has failed last.
    pub fn last_failure(&self) -> String {
        self.registry.status()[0].last_failure.clone().unwrap_or_default()
    }
}

/// What a text is.
pub fn scan(sql: &str) -> Rc<Statement> {
    Rc::new(howdah_sql::scan(sql.as_bytes(), ScanOptions::default(), &NoCatalog))
}

/// The first value of a table.
pub fn first(decision: &Decision) -> String {
    let Decision::Answer(table) = decision else { panic!("{decision:?} is no table") };
    table.rows[0][0].clone().unwrap()
}
