//! Which functions, views and operators of a database are volatile.

use std::collections::{HashMap, HashSet};

use howdah_sql::{PinReason, Volatility};

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

/// Lists the functions that have a body: name and body, of which at most 65,537 characters. That of a
/// function in standard SQL is not in `prosrc`.
pub const BODIES: &str = "SELECT p.proname, CASE \
      WHEN p.prosrc = '' AND p.prokind IN ('f', 'p') THEN pg_catalog.pg_get_functiondef(p.oid) \
      ELSE pg_catalog.left(p.prosrc, 65537) END \
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
    WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c') LIMIT 20000";

/// Lists functions that are called without being named: what names or does it, and the function. An empty name stands
/// for all that writes: triggers, defaults, constraints, indexes. Else it is a relation with a rule or a policy.
pub const USES: &str = "SELECT '', p.proname FROM pg_catalog.pg_trigger t \
      JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid WHERE p.oid >= 16384 \
    UNION SELECT '', p.proname FROM pg_catalog.pg_event_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.evtfoid \
    UNION SELECT '', 'currval' FROM pg_catalog.pg_attrdef \
      WHERE pg_catalog.pg_get_expr(adbin, adrelid) ~ '(curr|last)val\\(' \
    UNION SELECT '', 'currval' FROM pg_catalog.pg_constraint \
      WHERE contype = 'c' AND pg_catalog.pg_get_constraintdef(oid) ~ '(curr|last)val\\(' \
    UNION SELECT coalesce(r.relname, q.relname, ''), p.proname FROM pg_catalog.pg_depend d \
      JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid \
      LEFT JOIN pg_catalog.pg_rewrite w ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid \
      LEFT JOIN pg_catalog.pg_class r ON r.oid = w.ev_class \
      LEFT JOIN pg_catalog.pg_policy y ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND y.oid = d.objid \
      LEFT JOIN pg_catalog.pg_class q ON q.oid = y.polrelid \
      WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid >= 16384 AND d.classid IN ( \
        'pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_policy'::pg_catalog.regclass, \
        'pg_catalog.pg_attrdef'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass, \
        'pg_catalog.pg_class'::pg_catalog.regclass)";

/// Functions that read what sequences have given to the session.
const READERS: [&str; 2] = ["currval", "lastval"];

/// Longer bodies are not looked through: the session stays after a call.
const MAX_BODY: usize = 65_536;

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
    /// Functions that may leave something behind in a session, by name, whatever their schema.
    pins: HashMap<Box<str>, PinReason>,
    /// Relations whose rules or policies call such functions.
    relation_pins: HashMap<Box<str>, PinReason>,
    /// Some trigger, default or constraint calls one.
    writing_pins: Option<PinReason>,
    /// Some trigger, default or constraint reads what sequences have given to the session.
    writing_reads_sequences: bool,
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

    /// Takes in the rows of [`BODIES`] and [`USES`]: what calls leave behind in a session.
    pub fn with_bodies(
        mut self,
        bodies: impl Iterator<Item = (String, String)>,
        uses: impl Iterator<Item = (String, String)>,
    ) -> Catalog {
        let mut calls: Vec<(Box<str>, Vec<Box<str>>)> = Vec::new();
        for (name, text) in bodies {
            let body = howdah_sql::body(text.as_bytes());
            let long = (text.len() > MAX_BODY).then_some(PinReason::Function);
            match body.pin.or(long) {
                Some(reason) => self.pin_function(name.into(), reason),
                None => calls.push((name.into(), body.calls)),
            }
        }
        // Whoever calls such a function is such a function.
        loop {
            let known = self.pins.len();
            for (name, called) in &calls {
                let reason = called.iter().find_map(|name| self.pins.get(name).copied());
                if let Some(reason) = reason {
                    self.pin_function(name.clone(), reason);
                }
            }
            if self.pins.len() == known {
                break;
            }
        }
        let reads = |function: &str, called: &[Box<str>]| {
            READERS.contains(&function) || called.iter().any(|name| READERS.contains(&&**name))
        };
        for (user, function) in uses {
            let called = calls.iter().find(|(name, _)| **name == *function);
            let called = called.map(|(_, called)| &**called).unwrap_or_default();
            self.writing_reads_sequences |= user.is_empty() && reads(&function, called);
            let Some(reason) = self.pins.get(function.as_str()) else { continue };
            match user.is_empty() {
                true => self.writing_pins = Some(*reason),
                false => drop(self.relation_pins.insert(user.into(), *reason)),
            }
        }
        self
    }

    /// Of two functions with the same name the one that leaves more behind counts.
    fn pin_function(&mut self, name: Box<str>, reason: PinReason) {
        let held = self.pins.entry(name).or_insert(reason);
        if held.can_be_checked() {
            *held = reason;
        }
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

    fn function_pins(&self, _: Option<&str>, name: &str) -> Option<PinReason> {
        self.pins.get(name).copied()
    }

    fn writing_reads_sequences(&self) -> bool {
        self.writing_reads_sequences
    }

    fn writing_pins(&self) -> Option<PinReason> {
        self.writing_pins
    }

    fn relation_pins(&self, name: &str) -> Option<PinReason> {
        self.relation_pins.get(name).copied()
    }
}
