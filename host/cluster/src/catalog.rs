//! Which functions, views and operators of a database are volatile.

use std::collections::{HashMap, HashSet};

use howdah_sql::Volatility;

/// Lists functions: schema, name, worst volatility of all of that name (`i` < `s` < `v`).
/// Volatile ones are left out: what is not listed is unknown, which counts as volatile.
pub const FUNCTIONS: &str = "SELECT n.nspname, p.proname, max(p.provolatile::text) \
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
    GROUP BY 1, 2";

/// Lists views (and materialised ones: harmless) whose definition calls a volatile function, directly or through
/// other views or the operators they use. `pg_depend` knows what a rule refers to, but not built-in
/// objects, which are pinned; those are found by name in the definition's text.
pub const VIEWS: &str = "WITH RECURSIVE volatile_view(oid) AS ( \
    SELECT DISTINCT r.ev_class FROM pg_catalog.pg_rewrite r \
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid \
      LEFT JOIN pg_catalog.pg_proc p ON d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.refobjid \
      LEFT JOIN pg_catalog.pg_operator o ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = d.refobjid \
      LEFT JOIN pg_catalog.pg_proc q ON q.oid = o.oprcode \
      WHERE p.provolatile = 'v' OR q.provolatile = 'v' \
    UNION SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'v' AND c.oid >= 16384 \
      AND EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.oid < 16384 AND p.provolatile = 'v' \
        AND pg_catalog.strpos(pg_catalog.pg_get_viewdef(c.oid), p.proname || '(') > 0) \
    UNION SELECT r.ev_class FROM volatile_view v \
      JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = v.oid \
      JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid) \
    SELECT DISTINCT n.nspname, c.relname FROM volatile_view v JOIN pg_catalog.pg_class c ON c.oid = v.oid \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'v'";

/// Lists operators whose function is volatile.
pub const OPERATORS: &str = "SELECT DISTINCT o.oprname FROM pg_catalog.pg_operator o \
    JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode WHERE p.provolatile = 'v'";

/// Most names that are kept of a database; what does not fit is unknown. PostgreSQL itself brings some 2,700.
pub const MAX_NAMES: usize = 200_000;

/// What is known of one database. Immutable.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By name: the worst over all schemas, and by schema.
    functions: HashMap<Box<str>, Named>,
    views: HashSet<(Box<str>, Box<str>)>,
    view_names: HashSet<Box<str>>,
    operators: HashSet<Box<str>>,
    /// Grows with every load.
    pub epoch: u64,
}

#[derive(Clone, Debug)]
struct Named {
    /// An unqualified call means a function of any schema, as `search_path` may be anything.
    worst: u8,
    schemas: Vec<(Box<str>, u8)>,
}

impl Catalog {
    /// From the rows of [`FUNCTIONS`], [`VIEWS`] and [`OPERATORS`].
    pub fn new(
        epoch: u64,
        functions: impl Iterator<Item = (String, String, u8)>,
        views: impl Iterator<Item = (String, String)>,
        operators: impl Iterator<Item = String>,
    ) -> Catalog {
        let mut catalog = Catalog { epoch, ..Catalog::default() };
        for (schema, name, volatility) in functions.take(MAX_NAMES) {
            let named = catalog
                .functions
                .entry(name.into())
                .or_insert_with(|| Named { worst: b'i', schemas: Vec::new() });
            named.worst = named.worst.max(volatility);
            named.schemas.push((schema.into(), volatility));
        }
        for (schema, name) in views.take(MAX_NAMES) {
            catalog.view_names.insert(name.as_str().into());
            catalog.views.insert((schema.into(), name.into()));
        }
        catalog.operators = operators.take(MAX_NAMES).map(Into::into).collect();
        catalog
    }

    /// Whether it was never loaded.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }
}

/// As in `pg_proc.provolatile`.
fn volatility(code: u8) -> Volatility {
    match code {
        b'i' => Volatility::Immutable,
        b's' => Volatility::Stable,
        _ => Volatility::Volatile,
    }
}

impl howdah_sql::Catalog for Catalog {
    fn function(&self, schema: Option<&str>, name: &str) -> Volatility {
        let Some(named) = self.functions.get(name) else { return Volatility::Unknown };
        let Some(schema) = schema else { return volatility(named.worst) };
        let found = named.schemas.iter().find(|(s, _)| **s == *schema);
        found.map_or(Volatility::Unknown, |(_, code)| volatility(*code))
    }

    fn relation_is_volatile(&self, schema: Option<&str>, name: &str) -> bool {
        if !self.view_names.contains(name) {
            return false;
        }
        schema.is_none_or(|schema| self.views.iter().any(|(s, n)| **s == *schema && **n == *name))
    }

    fn operator_is_volatile(&self, symbol: &str) -> bool {
        !self.operators.is_empty() && self.operators.contains(symbol)
    }
}
