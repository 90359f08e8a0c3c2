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
/// function in standard SQL is not in `prosrc`. Languages other than SQL and PL/pgSQL may keep anything, as may a volatile
/// function of a library, and stand here with a body that does; libraries of extensions are trusted to keep nothing that
/// matters, but for what the scan knows by name.
pub const BODIES: &str = "SELECT p.proname, CASE \
      WHEN l.lanname NOT IN ('sql', 'plpgsql') THEN 'setseed()' \
      WHEN p.prosrc = '' AND p.prokind IN ('f', 'p') THEN pg_catalog.pg_get_functiondef(p.oid) \
      ELSE pg_catalog.left(p.prosrc, 65537) END \
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
    WHERE p.oid >= 16384 AND p.prokind <> 'a' AND (l.lanname NOT IN ('c', 'internal') OR (p.provolatile = 'v' \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.objid = p.oid \
        AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass))) LIMIT 20000";

/// Lists what uses what without its being named: user, used. Users are operators, aggregates, and relations by their rules
/// and policies. An empty name stands for all that writes, by triggers, defaults, constraints and indexes, and a dot for all
/// that runs at all, by casts, types and the like. Built-in functions are found by name, for `pg_depend` does not know
/// who uses them.
pub const USES: &str = "WITH depends AS ( \
    SELECT t.relname AS class, d.objid, p.proname AS used FROM pg_catalog.pg_depend d \
      JOIN pg_catalog.pg_class t ON t.oid = d.classid \
      JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid \
      WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid >= 16384 \
    UNION ALL SELECT t.relname, d.objid, o.oprname FROM pg_catalog.pg_depend d \
      JOIN pg_catalog.pg_class t ON t.oid = d.classid \
      JOIN pg_catalog.pg_operator o ON o.oid = d.refobjid \
      WHERE d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid >= 16384 \
    UNION ALL SELECT 'pg_rewrite', d.objid, c.relname FROM pg_catalog.pg_depend d \
      JOIN pg_catalog.pg_class c ON c.oid = d.refobjid \
      WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid >= 16384), \
  texts AS ( \
    SELECT c.relname AS of, pg_catalog.pg_get_ruledef(r.oid) AS text FROM pg_catalog.pg_rewrite r \
      JOIN pg_catalog.pg_class c ON c.oid = r.ev_class WHERE r.oid >= 16384 \
    UNION ALL SELECT c.relname, pg_catalog.concat(pg_catalog.pg_get_expr(y.polqual, y.polrelid), \
        pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid)) FROM pg_catalog.pg_policy y \
      JOIN pg_catalog.pg_class c ON c.oid = y.polrelid \
    UNION ALL SELECT '', pg_catalog.pg_get_expr(adbin, adrelid) FROM pg_catalog.pg_attrdef \
    UNION ALL SELECT '', pg_catalog.pg_get_expr(typdefaultbin, 0) FROM pg_catalog.pg_type \
      WHERE typdefaultbin IS NOT NULL \
    UNION ALL SELECT CASE WHEN contypid = 0 THEN '' ELSE '.' END, pg_catalog.pg_get_constraintdef(oid) \
      FROM pg_catalog.pg_constraint WHERE contype = 'c' AND oid >= 16384) \
  SELECT '', p.proname FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid WHERE p.oid >= 16384 \
  UNION SELECT '', p.proname FROM pg_catalog.pg_event_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.evtfoid \
  UNION SELECT o.oprname, p.proname FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode \
    WHERE o.oid >= 16384 \
  UNION SELECT f.proname, p.proname FROM pg_catalog.pg_aggregate a \
    JOIN pg_catalog.pg_proc f ON f.oid = a.aggfnoid JOIN pg_catalog.pg_proc p ON p.oid IN (a.aggtransfn, a.aggfinalfn, \
      a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn) \
    WHERE f.oid >= 16384 \
  UNION SELECT CASE \
      WHEN d.class IN ('pg_rewrite', 'pg_policy') THEN coalesce(r.relname, q.relname, '.') \
      WHEN d.class IN ('pg_attrdef', 'pg_class') OR k.conrelid > 0 THEN '' \
      ELSE '.' END, d.used FROM depends d \
    LEFT JOIN pg_catalog.pg_rewrite w ON d.class = 'pg_rewrite' AND w.oid = d.objid \
    LEFT JOIN pg_catalog.pg_class r ON r.oid = w.ev_class \
    LEFT JOIN pg_catalog.pg_policy y ON d.class = 'pg_policy' AND y.oid = d.objid \
    LEFT JOIN pg_catalog.pg_class q ON q.oid = y.polrelid \
    LEFT JOIN pg_catalog.pg_constraint k ON d.class = 'pg_constraint' AND k.oid = d.objid \
    WHERE d.class NOT IN ('pg_proc', 'pg_operator', 'pg_trigger', 'pg_event_trigger', 'pg_language', 'pg_am', \
        'pg_foreign_data_wrapper', 'pg_publication_rel', 'pg_statistic_ext') \
      AND r.relname IS DISTINCT FROM d.used \
  UNION SELECT t.of, found[1] FROM texts t, \
    pg_catalog.regexp_matches(t.text, '\\m(currval|lastval|set_config|setseed|pg_(?:try_)?advisory_lock(?:_shared)?)\\(', 'g') found";

/// Lists languages that keep variables of their own in the memory of a process.
pub const LANGUAGES: &str = "SELECT lanname FROM pg_catalog.pg_language \
    WHERE lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')";

/// The names that [`USES`] has for all that writes, and for all that runs.
const WRITING: &str = "";
const ANYTHING: &str = ".";

/// Words by which a body writes.
const WRITERS: [&str; 6] = ["insert", "update", "delete", "merge", "copy", "truncate"];

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
    /// What may leave something behind in a session, by name, whatever its schema: functions, operators, relations by
    /// their rules and policies.
    pins: HashMap<Box<str>, PinReason>,
    /// Some trigger, default or constraint reads what sequences have given to the session.
    writing_reads_sequences: bool,
    /// Everybody may call the functions that are asked in front of a COMMIT.
    pub proves: bool,
    /// There are [`LANGUAGES`]: what has been left on a connection may outlast DISCARD ALL.
    pub languages: bool,
    /// A hash of what was loaded: databases with the same definitions have the same, in one process.
    pub content: u64,
    /// Grows with every load that says something else; 0 before the first.
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

    /// Whether it tells what the other one does.
    pub fn says_the_same(&self, other: &Catalog) -> bool {
        (self.content, self.proves) == (other.content, other.proves)
    }

    /// Takes in the rows of [`BODIES`] and [`USES`]: what calls leave behind in a session.
    pub fn with_bodies(
        mut self,
        bodies: impl Iterator<Item = (String, String)>,
        uses: impl Iterator<Item = (String, String)>,
    ) -> Catalog {
        let bodies: Vec<_> = bodies.collect();
        let mut users: Vec<(Box<str>, HashSet<Box<str>>)> = Vec::new();
        for (user, used) in uses {
            // Of built-in functions the scan knows by itself which calls matter: they must not become known by name.
            let call = format!("{used}(");
            let mut names = HashSet::from([used.into()]);
            if let Some(reason) = howdah_sql::body(call.as_bytes()).pin {
                self.pin(call.as_str().into(), reason);
                names.insert(call.into());
            }
            users.push((user.into(), names));
        }
        // Of what bodies name, only what may matter is kept.
        let mut known: HashSet<Box<str>> = users.iter().map(|(user, _)| user.clone()).collect();
        known.extend(bodies.iter().map(|(name, _)| name.as_str().into()));
        known.extend(READERS.map(Into::into));
        for (name, text) in bodies {
            let mut body = howdah_sql::body(text.as_bytes());
            let long = (text.len() > MAX_BODY).then_some(PinReason::Function);
            if let Some(reason) = body.pin.or(long) {
                self.pin(name.as_str().into(), reason);
            }
            if WRITERS.iter().any(|word| body.names.contains(*word)) {
                body.names.insert(WRITING.into());
            }
            body.names.retain(|name| known.contains(name) || **name == *WRITING);
            users.push((name.into(), body.names));
        }
        self.spread(&users);
        let mut readers: HashSet<&str> = READERS.into();
        loop {
            let before = readers.len();
            let reads =
                |used: &HashSet<Box<str>>| used.iter().any(|name| readers.contains(&**name));
            let more: Vec<&str> =
                users.iter().filter(|(_, used)| reads(used)).map(|(user, _)| &**user).collect();
            readers.extend(more);
            if readers.len() == before {
                break;
            }
        }
        self.writing_reads_sequences = readers.contains(WRITING);
        self
    }

    /// Whoever uses what leaves something behind leaves it too.
    fn spread(&mut self, users: &[(Box<str>, HashSet<Box<str>>)]) {
        loop {
            let mut changed = false;
            for (user, used) in users {
                let reasons: Vec<_> =
                    used.iter().filter_map(|name| self.pins.get(name)).copied().collect();
                for reason in reasons {
                    changed |= self.pin(user.clone(), reason);
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Of two things with the same name the one that leaves more behind counts. Tells whether something has changed.
    fn pin(&mut self, name: Box<str>, reason: PinReason) -> bool {
        let held = self.pins.get(&name).copied();
        let more = held.is_none_or(|held| held.can_be_checked() && !reason.can_be_checked());
        if more {
            self.pins.insert(name, reason);
        }
        more
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

    fn pins(&self, name: &str) -> Option<PinReason> {
        self.pins.get(name).copied()
    }

    fn unknown_pins(&self) -> Option<PinReason> {
        (self.epoch > 0).then_some(PinReason::UnknownFunction)
    }

    fn anything_pins(&self) -> Option<PinReason> {
        self.pins.get(ANYTHING).copied()
    }

    fn writing_reads_sequences(&self) -> bool {
        self.writing_reads_sequences
    }

    fn writing_pins(&self) -> Option<PinReason> {
        self.pins.get(WRITING).copied()
    }
}
