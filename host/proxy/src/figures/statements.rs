use std::cmp::Reverse;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use howdah_cluster::ClusterId;
use howdah_decision::Kind;
use howdah_sql::ScanOptions;

use super::counters::Ran;
use super::histogram::Distribution;

/// Bytes that are kept of a statement's text: enough to know it again.
const MAX_TEXT: usize = 1_024;
/// So many parts of a full table are made free at once, one of them, so that a new statement mostly finds room.
const PARTS: usize = 8;
/// After so long, what a statement has cost counts half when it is decided which ones are kept.
const HALF_LIFE: Duration = Duration::from_secs(600);

/// Which statement: the number of its database, and its digest.
pub(crate) type Key = (u32, u64);

/// What one worker knows of statements. When there are more than it may keep, those go that have taken least time lately.
pub(crate) struct Statements {
    most: usize,
    rows: HashMap<Key, Box<Row>>,
    forgotten: u64,
    /// Weights are those of this time.
    weighed: Instant,
}

/// A statement, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The beginning of a text with its digest, as it came.
    text: Box<[u8]>,
    pub(crate) kind: Kind,
    pub(crate) figures: Figures,
    /// Microseconds that it has taken, older ones for less.
    weight: f64,
}

/// What became of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) errors: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// How often it ran on a primary, and on a standby.
    pub(crate) on_primary: u64,
    pub(crate) on_standby: u64,
    /// Microseconds that it has waited for servers.
    pub(crate) waited: u64,
    /// Microseconds that it took at most.
    pub(crate) longest: u64,
    /// How long it took, waits included.
    pub(crate) latencies: Distribution,
}

impl Figures {
    /// How often it ran, or was refused.
    pub(crate) fn calls(&self) -> u64 {
        self.latencies.count()
    }

    pub(crate) fn add(&mut self, ran: &Ran) {
        self.errors += u64::from(ran.sqlstate.is_some());
        self.rows += ran.rows;
        self.bytes += ran.bytes;
        self.on_primary += u64::from(ran.on_standby == Some(false));
        self.on_standby += u64::from(ran.on_standby == Some(true));
        self.waited += ran.waited;
        self.longest = self.longest.max(ran.latency);
        self.latencies.add(ran.latency);
    }
}

impl AddAssign<&Figures> for Figures {
    fn add_assign(&mut self, other: &Figures) {
        self.errors += other.errors;
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.on_primary += other.on_primary;
        self.on_standby += other.on_standby;
        self.waited += other.waited;
        self.longest = self.longest.max(other.longest);
        self.latencies += &other.latencies;
    }
}

impl Row {
    fn add(&mut self, ran: &Ran) {
        self.figures.add(ran);
        self.weight += ran.latency as f64;
    }

    /// The text with `''` and `0` for all literals, as far as it is kept.
    pub(crate) fn text(&self) -> String {
        let raw = String::from_utf8_lossy(&self.text);
        let whole = self.text.len() < MAX_TEXT;
        // The last character may be half of one.
        let raw = if whole { &raw } else { raw.trim_end_matches(char::REPLACEMENT_CHARACTER) };
        let text = howdah_sql::without_literals(raw, ScanOptions::default());
        if whole { text } else { text + "…" }
    }
}

/// A statement of some database.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) cluster: ClusterId,
    pub(crate) database: String,
    pub(crate) digest: u64,
    pub(crate) row: Row,
}

/// What workers know of the same statement becomes one; those come first that have taken most time.
pub(crate) fn merged(all: impl IntoIterator<Item = Statement>) -> Vec<Statement> {
    let mut merged = HashMap::<(u16, String, u64), Statement>::new();
    for statement in all {
        let key = (statement.cluster.0, statement.database.clone(), statement.digest);
        match merged.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().row.figures += &statement.row.figures,
            Entry::Vacant(none) => drop(none.insert(statement)),
        }
    }
    let mut all: Vec<Statement> = merged.into_values().collect();
    all.sort_unstable_by_key(|one| (Reverse(one.row.figures.latencies.sum), one.digest));
    all
}

/// As much of a text as is kept.
pub(crate) fn kept(text: &[u8]) -> Box<[u8]> {
    text.get(..MAX_TEXT).unwrap_or(text).into()
}

impl Statements {
    /// Keeps so many at most; 0: none.
    pub(crate) fn new(most: usize) -> Statements {
        Statements { most, rows: HashMap::new(), forgotten: 0, weighed: Instant::now() }
    }

    /// Keeps so many from now on.
    pub(crate) fn resize(&mut self, most: usize) {
        self.most = most;
        if self.rows.len() > most {
            self.make_room(self.rows.len() - most, Instant::now());
        }
    }

    /// Whether it wants to know a statement's text when that has run.
    pub(crate) fn lacks(&self, key: Key) -> bool {
        self.most > 0 && !self.rows.contains_key(&key)
    }

    /// A statement has run. `text`: what [`kept`] has left of it, if it was lacking when it began.
    pub(crate) fn ran(&mut self, key: Key, kind: Kind, text: Option<Box<[u8]>>, ran: &Ran) {
        if let Some(row) = self.rows.get_mut(&key) {
            return row.add(ran);
        }
        let (true, Some(text)) = (self.most > 0, text) else { return };
        if self.rows.len() >= self.most {
            self.make_room(self.most.div_ceil(PARTS), Instant::now());
        }
        let mut row = Row { text, kind, figures: Figures::default(), weight: 0.0 };
        row.add(ran);
        self.rows.insert(key, Box::new(row));
    }

    /// Forgets the lightest.
    fn make_room(&mut self, many: usize, now: Instant) {
        let passed = now.duration_since(self.weighed).as_secs_f64();
        let factor = 0.5_f64.powf(passed / HALF_LIFE.as_secs_f64());
        self.weighed = now;
        self.rows.values_mut().for_each(|row| row.weight *= factor);
        let mut weights: Vec<f64> = self.rows.values().map(|row| row.weight).collect();
        let many = many.min(weights.len());
        if many == 0 {
            return;
        }
        let (_, limit, _) = weights.select_nth_unstable_by(many - 1, f64::total_cmp);
        let (limit, mut left) = (*limit, many);
        self.rows.retain(|_, row| {
            let goes = left > 0 && row.weight <= limit;
            left -= usize::from(goes);
            !goes
        });
        self.forgotten += many as u64;
    }

    /// Forgets all, and what it has forgotten.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.forgotten = 0;
    }

    /// All that are kept.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Key, &Row)> {
        self.rows.iter().map(|(key, row)| (*key, &**row))
    }

    /// How many had to go.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn took(latency: u64) -> Ran {
        Ran { latency, ..Ran::default() }
    }

    fn run(statements: &mut Statements, digest: u64, latency: u64) {
        let text = statements.lacks((0, digest)).then(|| kept(b"SELECT 1"));
        statements.ran((0, digest), Kind::Read, text, &took(latency));
    }

    #[test]
    fn the_heavy_ones_are_kept() {
        let mut statements = Statements::new(16);
        // Four take long, one is short and runs often, and there are thousands of others.
        for digest in 0..4 {
            run(&mut statements, digest, 1_000_000);
        }
        for digest in 0..10_000 {
            run(&mut statements, 4, 500);
            run(&mut statements, 1_000 + digest, 400);
            assert!(statements.rows.len() <= 16);
        }
        for digest in 0..5 {
            assert!(!statements.lacks((0, digest)), "{digest}");
        }
        assert_eq!(statements.rows[&(0, 4)].figures.calls(), 10_000);
        assert_eq!(statements.rows.len() as u64 + statements.forgotten(), 10_005);
    }

    #[test]
    fn what_was_heavy_long_ago_goes() {
        let mut statements = Statements::new(2);
        run(&mut statements, 1, 1_000);
        statements.make_room(0, statements.weighed + 20 * HALF_LIFE);
        run(&mut statements, 2, 10);
        run(&mut statements, 3, 5);
        assert!(statements.lacks((0, 1)) && !statements.lacks((0, 2)));
    }

    #[test]
    fn it_can_be_made_smaller_and_off() {
        let mut statements = Statements::new(10);
        (1..=10).for_each(|digest| run(&mut statements, digest, digest));
        statements.resize(2);
        let mut left: Vec<u64> = statements.rows().map(|((_, digest), _)| digest).collect();
        left.sort_unstable();
        assert_eq!(left, [9, 10]);
        statements.resize(0);
        assert!(!statements.lacks((0, 1)));
        run(&mut statements, 1, 1);
        statements.ran((0, 1), Kind::Read, Some(kept(b"")), &took(1));
        assert_eq!(statements.rows().count(), 0);
    }

    #[test]
    fn what_became_of_a_statement_is_added() {
        let (mut one, mut other) = (Figures::default(), Figures::default());
        one.add(&Ran { rows: 2, bytes: 9, on_standby: Some(true), ..took(100) });
        one.add(&Ran { waited: 40, on_standby: Some(false), ..took(50) });
        other.add(&Ran { sqlstate: Some(*b"42P01"), ..took(200) });
        one += &other;
        assert_eq!((one.calls(), one.errors, one.rows, one.bytes), (3, 1, 2, 9));
        assert_eq!((one.on_primary, one.on_standby), (1, 1));
        assert_eq!((one.waited, one.longest, one.latencies.sum), (40, 200, 350));
    }

    #[test]
    fn what_workers_know_becomes_one_and_the_heaviest_comes_first() {
        let statement = |database: &str, digest, latency| {
            let mut figures = Figures::default();
            figures.add(&took(latency));
            let row = Row { text: kept(b""), kind: Kind::Read, figures, weight: 0.0 };
            Statement { cluster: ClusterId(0), database: database.to_owned(), digest, row }
        };
        let all = [
            statement("a", 1, 50),
            statement("a", 2, 70),
            statement("b", 1, 60),
            statement("a", 1, 30),
        ];
        let merged = merged(all);
        let seen: Vec<_> = merged
            .iter()
            .map(|one| (one.database.as_str(), one.digest, one.row.figures.latencies.sum))
            .collect();
        assert_eq!(seen, [("a", 1, 80), ("a", 2, 70), ("b", 1, 60)]);
        assert_eq!(merged[0].row.figures.calls(), 2);
    }

    #[test]
    fn texts_are_shown_without_literals_and_cut() {
        let row = |text: &str| Row {
            text: kept(text.as_bytes()),
            kind: Kind::Read,
            figures: Figures::default(),
            weight: 0.0,
        };
        let text = "SELECT  'secret', -12 -- why\nFROM t WHERE a = $1";
        assert_eq!(row(text).text(), "SELECT '', -0 FROM t WHERE a = $1");
        // Cut within a character, and within a literal.
        let shown = row(&format!("SELECT ab{}", "é".repeat(1_000))).text();
        assert_eq!(shown, format!("SELECT ab{}…", "é".repeat(507)));
        let shown = row(&format!("SELECT a, '{}'", "secret".repeat(1_000))).text();
        assert_eq!(shown, "SELECT a,…");
    }
}
