//! What a node is asked, and what its answers mean.

use tokio::time::Instant;

use crate::upstream::{Client, Rows};

/// Domains there are.
const DOMAINS: &str =
    "SELECT oid FROM pg_catalog.pg_type WHERE typtype = 'd' AND oid >= 16384 ORDER BY oid";
/// Definitions are not watched where there are more.
const MAX_DOMAINS: usize = 1_000;

/// The question as it is prepared.
const NAME: &str = "howdah_definitions";

/// What is asked: eight counts of looks in tables, four before and four after, whether such are counted, and what has to stay
/// as it is. 2691, 3455 and 2666 are the indexes pg_proc_proname_args_nsp_index, pg_class_tblspc_relfilenode_index and
/// pg_constraint_contypid_index, 2660 is pg_cast_oid_index: it has entries also for casts that have been there for a moment.
fn question(domains: &[&str]) -> String {
    // Most databases have none.
    let domains = match domains {
        [] => "NULL".to_owned(),
        domains => format!(
            "ARRAY(SELECT xmin FROM pg_catalog.pg_type WHERE oid = ANY('{{{}}}') ORDER BY oid)",
            domains.join(",")
        ),
    };
    format!(
        "SELECT \
        pg_catalog.pg_stat_get_xact_numscans(2691), pg_catalog.pg_stat_get_xact_numscans(3455), \
        pg_catalog.pg_stat_get_xact_numscans(2666), pg_catalog.pg_stat_get_xact_tuples_returned(2660), \
        pg_catalog.to_regproc('pg_catalog.pg_backend_pid'), pg_catalog.pg_filenode_relation(0, 1), \
        pg_catalog.concat('{{1}}')::information_schema.cardinal_number[], \
        pg_catalog.pg_stat_get_xact_numscans(2691), pg_catalog.pg_stat_get_xact_numscans(3455), \
        pg_catalog.pg_stat_get_xact_numscans(2666), pg_catalog.current_setting('track_counts'), \
        'now'::timestamptz, pg_catalog.pg_is_in_recovery(), \
        ARRAY(SELECT oid FROM pg_catalog.pg_cast WHERE oid >= 16384 ORDER BY oid), \
        pg_catalog.pg_stat_get_xact_tuples_returned(2660), {domains}, \
        (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
            ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)::int8"
    )
}

/// What relations, columns, constraints, rules, triggers, policies, defaults, domains, operators and schemas there are, but
/// for those of temporary tables, in which versions. VACUUM and ANALYZE make no new ones (heapam.c, `heap_inplace_update`).
const COMPARE: &str = "SELECT pg_catalog.count(*), \
        pg_catalog.sum(pg_catalog.hashtextextended( \
            pg_catalog.concat(kind, relation, ' ', oid, ' ', version), 0)) FROM (\
    SELECT 'r' AS kind, oid, xmin AS version, oid AS relation FROM pg_catalog.pg_class UNION ALL \
    SELECT 'c', oid, xmin, conrelid FROM pg_catalog.pg_constraint UNION ALL \
    SELECT 'w', oid, xmin, ev_class FROM pg_catalog.pg_rewrite UNION ALL \
    SELECT 't', oid, xmin, tgrelid FROM pg_catalog.pg_trigger UNION ALL \
    SELECT 'p', oid, xmin, polrelid FROM pg_catalog.pg_policy UNION ALL \
    SELECT 'a', attnum::int8::oid, xmin, attrelid FROM pg_catalog.pg_attribute \
        WHERE attrelid >= 16384 AND attnum > 0 UNION ALL \
    SELECT 'y', oid, xmin, 0 FROM pg_catalog.pg_type WHERE typtype = 'd' UNION ALL \
    SELECT 'o', oid, xmin, 0 FROM pg_catalog.pg_operator UNION ALL \
    SELECT 'm', oid, xmin, 0 FROM pg_catalog.pg_amop UNION ALL \
    SELECT 'f', oid, xmin, 0 FROM pg_catalog.pg_foreign_data_wrapper UNION ALL \
    SELECT 's', oid, xmin, 0 FROM pg_catalog.pg_foreign_server UNION ALL \
    SELECT 'n', oid, xmin, 0 FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_' UNION ALL \
    SELECT 'd', oid, xmin, adrelid FROM pg_catalog.pg_attrdef) AS all_of_them \
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relation AND c.relpersistence = 't')";

/// How often definitions may change while the question is prepared.
const MOST_CHANGES: usize = 3;
/// Of the time, relations are compared for one part in so many at most.
const SHARE: u32 = 10;

/// What an answer tells of the time since the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing has changed.
    Same,
    /// All is as it was, but there may have been something else in between.
    Again,
    /// Relations have to be compared, which cannot be done yet.
    Doubt,
    /// Something is not what it was.
    Change,
}

/// A connection for the question, and what has been answered there last.
pub(super) struct Line {
    client: Client,
    last: Answer,
    /// What [`COMPARE`] has said last, and when it may be asked again.
    relations: Rows,
    rested: Instant,
    /// It has still to be asked: they may have changed.
    in_doubt: bool,
    /// Something has changed: the question has to be prepared anew, for the domains that there are.
    out_of_date: bool,
}

impl Line {
    /// Prepares the question over a new connection, where what it has to look up is looked up once.
    ///
    /// # Errors
    /// The server does not answer as it should, or definitions change all the time.
    pub(super) async fn new(client: Client, deadline: Instant) -> Result<(Line, u64), String> {
        let (line, looked, lsn) = Line::prepared(client, deadline).await?;
        if !looked[0] || !looked[1] {
            return Err("it does not count what it looks up".to_owned());
        }
        Ok((line, lsn))
    }

    /// What has become of definitions since the last call, and where the WAL is. When something has changed, it is not known
    /// what else does until the question has been prepared anew.
    ///
    /// # Errors
    /// See [`Line::new`]. The connection is of no use any more.
    pub(super) async fn ask(&mut self, deadline: Instant) -> Result<(Found, u64), String> {
        let Told { answer, looked, lsn } = told(&mut self.client, deadline).await?;
        let [functions, relations, constraints] = looked;
        let before = std::mem::replace(&mut self.last, answer);
        // Temporary tables come and go with their schemas, and statistics of others change.
        self.in_doubt |= relations || constraints || before.analysed != self.last.analysed;
        let settled = before.standby == self.last.standby && before.defined == self.last.defined;
        let found = match (functions || !settled, self.in_doubt) {
            (true, _) => Found::Change,
            (false, false) if before.entries != self.last.entries => Found::Again,
            (false, false) => Found::Same,
            (false, true) if Instant::now() < self.rested => Found::Doubt,
            (false, true) if self.has_same_relations(deadline).await? => Found::Again,
            (false, true) => Found::Change,
        };
        self.out_of_date = found == Found::Change;
        Ok((found, lsn))
    }

    async fn has_same_relations(&mut self, deadline: Instant) -> Result<bool, String> {
        let began = Instant::now();
        let now = query(&mut self.client, COMPARE, deadline).await?;
        self.rested = Instant::now() + began.elapsed() * SHARE;
        self.in_doubt = false;
        Ok(now == self.relations)
    }

    pub(super) fn is_out_of_date(&self) -> bool {
        self.out_of_date
    }

    /// When relations may be compared again.
    pub(super) fn rested(&self) -> Instant {
        self.rested
    }

    /// Whether the node was a standby when it answered last.
    pub(super) fn is_to_standby(&self) -> bool {
        self.last.standby
    }

    /// Prepares the question anew.
    ///
    /// # Errors
    /// See [`Line::new`].
    pub(super) async fn renewed(self, deadline: Instant) -> Result<(Line, u64), String> {
        let (line, _, lsn) = Line::prepared(self.client, deadline).await?;
        Ok((line, lsn))
    }

    /// What the first answer has looked up is in the middle.
    async fn prepared(
        mut client: Client,
        deadline: Instant,
    ) -> Result<(Line, [bool; 3], u64), String> {
        let domains = query(&mut client, DOMAINS, deadline).await?;
        if domains.len() > MAX_DOMAINS {
            return Err(format!("there are more than {MAX_DOMAINS} domains"));
        }
        let list: Vec<_> = domains.iter().flatten().flatten().map(String::as_str).collect();
        let prepared = client.prepare(NAME, &question(&list), deadline).await;
        prepared.map_err(|error| error.to_string())?;
        let Told { answer: mut last, looked: first, .. } = told(&mut client, deadline).await?;
        let relations = query(&mut client, COMPARE, deadline).await?;
        if query(&mut client, DOMAINS, deadline).await? != domains {
            return Err("domains come and go".to_owned());
        }
        for _ in 0..MOST_CHANGES {
            let Told { answer, looked, lsn } = told(&mut client, deadline).await?;
            if looked == [false; 3] && answer == last {
                let (rested, in_doubt, out_of_date) = (Instant::now(), false, false);
                let line = Line { client, last, relations, rested, in_doubt, out_of_date };
                return Ok((line, first, lsn));
            }
            last = answer;
        }
        Err("it looks up everything each time, or definitions change all the time".to_owned())
    }
}

/// What must not change.
#[derive(PartialEq, Eq)]
struct Answer {
    analysed: String,
    standby: bool,
    /// Casts and domains.
    defined: [Option<String>; 2],
    /// From how many entries of an index the list of casts was made.
    entries: i64,
}

/// The same with the rest.
struct Told {
    answer: Answer,
    /// Functions, files and constraints were looked up in the tables.
    looked: [bool; 3],
    lsn: u64,
}

async fn query(client: &mut Client, sql: &str, deadline: Instant) -> Result<Rows, String> {
    client.query(sql, deadline).await.map_err(|error| error.to_string())
}

/// Asks the question.
async fn told(client: &mut Client, deadline: Instant) -> Result<Told, String> {
    let rows = client.execute(NAME, deadline).await.map_err(|error| error.to_string())?;
    let (told, counts) = read(rows).ok_or_else(|| "its answer makes no sense".to_owned())?;
    if !counts {
        return Err("it does not count what it looks up: track_counts is off".to_owned());
    }
    Ok(told)
}

/// Also, whether it is counted what is looked up.
fn read(rows: Rows) -> Option<(Told, bool)> {
    let row: [Option<String>; 17] = rows.into_iter().next()?.try_into().ok()?;
    let [a, b, c, d, _, _, _, e, f, g, counts, analysed, standby, casts, h, domains, lsn] = row;
    let looked = [(a, e), (b, f), (c, g)].map(|(before, after)| before != after);
    let entries = h?.parse::<i64>().ok()? - d?.parse::<i64>().ok()?;
    let (standby, defined) = (standby? == "t", [casts, domains]);
    let answer = Answer { analysed: analysed?, standby, defined, entries };
    Some((Told { answer, looked, lsn: lsn?.parse().ok()? }, counts? == "on"))
}
