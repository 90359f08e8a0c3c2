//! What sessions ask about statements: the scanner with the catalog, and the policies.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use howdah_cluster::ClusterId;
use howdah_decision::{Facts, Rewrite};
use howdah_policy::{Answer, Chain, Interest, Question, Who};
use howdah_session::{Guide, Prepared, StatementId};
use howdah_sql::{ScanOptions, Statement};
use std::hash::BuildHasher;

use super::Ctx;
use crate::monitor::Schema;

/// Statements of one database that a worker keeps, by text. When full it is emptied.
const MAX_STATEMENTS: usize = 8_192;
/// Longer texts are not kept.
const MAX_TEXT: usize = 4_096;

/// What a worker knows of one database.
pub(crate) struct Database {
    pub(crate) cluster: ClusterId,
    pub(crate) name: String,
    schema: Arc<Schema>,
    hasher: DefaultHashBuilder,
    known: RefCell<Known>,
}

/// Statements scanned with one catalog.
#[derive(Default)]
struct Known {
    epoch: u64,
    statements: HashTable<(u64, Rc<Prepared>)>,
}

impl Database {
    pub(crate) fn new(ctx: &Ctx, cluster: ClusterId, name: &str) -> Rc<Database> {
        let schema = ctx.shared.monitor.schema(cluster, name);
        Rc::new(Database {
            cluster,
            name: name.to_owned(),
            schema,
            hasher: DefaultHashBuilder::default(),
            known: RefCell::default(),
        })
    }

    fn scan(&self, text: &[u8]) -> Rc<Statement> {
        // Clients that turn standard_conforming_strings off are scanned as if it were on: a backslash then ends a
        // string too early, which can only make a read look like something else.
        Rc::new(howdah_sql::scan(text, ScanOptions::default(), &**self.schema.catalog.load()))
    }

    fn prepare(&self, query: &[u8], types: &[u8]) -> Rc<Prepared> {
        let mut known = self.known.borrow_mut();
        let epoch = self.schema.catalog.load().epoch;
        if known.epoch != epoch {
            *known = Known { epoch, ..Known::default() };
        }
        let hash = self.hasher.hash_one((query, types));
        let same = |(_, p): &(u64, Rc<Prepared>)| *p.query == *query && *p.types == *types;
        if let Some((_, prepared)) = known.statements.find(hash, same) {
            return Rc::clone(prepared);
        }
        let prepared = Rc::new(Prepared {
            id: StatementId::of(query, types),
            query: query.into(),
            types: types.into(),
            statement: self.scan(query),
            proven: Cell::new(None),
        });
        if query.len() <= MAX_TEXT {
            if known.statements.len() >= MAX_STATEMENTS {
                known.statements.clear();
            }
            known.statements.insert_unique(hash, (hash, Rc::clone(&prepared)), |(hash, _)| *hash);
        }
        prepared
    }
}

/// The guide of one session.
pub(crate) struct SessionGuide {
    pub(crate) ctx: Rc<Ctx>,
    /// The number of the session.
    pub(crate) id: u64,
    pub(crate) database: Rc<Database>,
    pub(crate) who: Arc<Who>,
    pub(crate) class: u32,
    pub(crate) chain: Rc<Chain>,
    pub(crate) interest: Interest,
}

impl SessionGuide {
    fn question<'a>(
        &'a self,
        sql: &'a str,
        statement: &'a Statement,
        extra: Facts,
    ) -> Question<'a> {
        Question {
            sql,
            statement,
            extra,
            class: self.class,
            who: &self.who,
            interest: self.interest,
        }
    }
}

impl Guide for SessionGuide {
    type Answer = Answer;

    fn refresh(&mut self) {
        let chain = self.ctx.policies.chain(self.id);
        if !Rc::ptr_eq(&chain, &self.chain) {
            self.interest = chain.interest(&self.who.user, &self.who.database, &self.who.cluster);
            self.chain = chain;
        }
    }

    fn scan(&mut self, text: &[u8]) -> Rc<Statement> {
        self.database.scan(text)
    }

    fn prepare(&mut self, query: &[u8], types: &[u8]) -> Rc<Prepared> {
        self.database.prepare(query, types)
    }

    fn route(&mut self, text: &[u8], statement: &Statement, extra: Facts) -> Rc<Answer> {
        let text = String::from_utf8_lossy(text);
        self.ctx.policies.route(&self.chain, &self.question(&text, statement, extra))
    }

    fn rewrite(&mut self, text: &[u8], statement: &Statement, extra: Facts) -> Rewrite {
        if !self.chain.rewrites() {
            return Rewrite::Unchanged;
        }
        let Ok(text) = std::str::from_utf8(text) else { return Rewrite::Unchanged };
        let scan = |text: &str| self.database.scan(text.as_bytes());
        self.ctx.policies.rewrite(&self.chain, &self.question(text, statement, extra), &scan)
    }

    fn edition(&self) -> u64 {
        self.database.schema.edition()
    }

    fn schema_changed(&mut self) {
        let Database { cluster, name, schema, .. } = &*self.database;
        self.ctx.shared.monitor.catalogs.changed(*cluster, name, schema);
    }

    fn learn_write(&mut self, statement: &Statement) {
        for extra in [Facts::NONE, Facts::EXTENDED] {
            self.ctx.policies.learn_primary(&self.chain, &self.question("", statement, extra));
        }
    }
}
