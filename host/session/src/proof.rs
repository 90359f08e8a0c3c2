//! Whether a transaction was committed whose COMMIT was sent and never answered.
//!
//! In front of COMMIT goes [`QUERY`], in the same packet. Its answer arrives before the commit can, and identifies the
//! transaction. What it tells of the server's life holds as long as the connection, so the next time only the rest is
//! asked ([`CALLS`]). The server that serves now is asked about itself ([`Survivor`]); [`Proof::judge`] compares the two.

use howdah_decision::Outcome;
use howdah_wire::backend::{DataRow, FunctionCallResponse};

/// Asked inside the client's transaction: the transaction's id, where the WAL is, and which life of which server this is.
/// Nothing in it depends on the client's settings, and nothing of it fails on a standby.
pub const QUERY: &str = "SELECT pg_catalog.pg_current_xact_id_if_assigned(), l, \
    CASE WHEN l IS NOT NULL THEN pg_catalog.pg_walfile_name(l) END, pg_catalog.pg_last_wal_replay_lsn(), \
    pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.pg_postmaster_start_time()), 'YYYYMMDDHH24MISSUS') \
    FROM (SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() \
        THEN pg_catalog.pg_current_wal_insert_lsn() END AS l OFFSET 0) AS s";

/// The functions in [`QUERY`]. Where not everybody may call them it is not asked: an error would abort the transaction.
pub const FUNCTIONS: [&str; 8] = [
    "pg_catalog.pg_current_xact_id_if_assigned()",
    "pg_catalog.pg_walfile_name(pg_catalog.pg_lsn)",
    "pg_catalog.pg_last_wal_replay_lsn()",
    "pg_catalog.to_char(timestamp, text)",
    "pg_catalog.timezone(text, timestamptz)",
    "pg_catalog.pg_postmaster_start_time()",
    "pg_catalog.pg_is_in_recovery()",
    "pg_catalog.pg_current_wal_insert_lsn()",
];

/// Where the life is known already: the OIDs of `pg_current_xact_id_if_assigned()` and, behind it, of
/// `pg_current_wal_insert_lsn()` (pg_proc.dat). A call by its OID costs a quarter of [`QUERY`]: nothing is parsed or planned.
pub(crate) const CALLS: [(Asks, u32); 2] = [(Asks::Xid, 5060), (Asks::Lsn, 2852)];

/// What one question asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// All of it: [`QUERY`].
    All,
    /// The transaction's id.
    Xid,
    /// Where the WAL is.
    Lsn,
}

/// One life of a server, from its start or its last recovery on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The timeline that it writes.
    pub timeline: u32,
    /// Where its last recovery ended (`pg_last_wal_replay_lsn()`); none when it was started without one.
    pub recovered: Option<u64>,
    /// When it was started, in microseconds.
    pub started: Box<str>,
}

/// What is known of a transaction before its COMMIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Its id; none when it has written nothing.
    pub xid: Option<u64>,
    /// Where the WAL ended then: its commit record lies behind.
    pub lsn: u64,
    /// Its server.
    pub life: Life,
}

/// `pg_xact_status()` of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was committed.
    Committed,
    /// It was rolled back, or died.
    Aborted,
    /// It is open, or was when the server died.
    InProgress,
    /// The server does not remember it any more, or has not given that id to any transaction.
    Unknown,
}

/// The primary that serves now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// It belongs to the same cluster (`system_identifier`).
    pub same_system: bool,
    /// Its present life.
    pub life: Life,
    /// Where it left the timeline before its own, when that was seen.
    pub forked: Option<u64>,
    /// Something in it was committed after the loss, and then replayed: it has recovered twice.
    pub recovered_again: bool,
    /// The database has relations of which nothing is in the WAL.
    pub unlogged: bool,
}

/// What follows from the lives of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is decided.
    Decided(Outcome),
    /// The transaction's status decides. In progress means that it still may be committed.
    Alive,
    /// The transaction's status decides. In progress means that it died with its server.
    Recovered,
}

impl Proof {
    /// From the row that [`QUERY`] gives; none from a standby.
    pub(crate) fn read(row: &[u8]) -> Option<Proof> {
        let row = DataRow::read(row).ok()?;
        let values = row.values().map(|value| value.map(std::str::from_utf8).transpose().ok());
        Proof::of(values.map_while(|value| value))
    }

    /// The same, from its values.
    pub fn of<'a>(mut values: impl Iterator<Item = Option<&'a str>>) -> Option<Proof> {
        let mut next = || values.next();
        let (xid, at, file) = (next()?, next()??, next()??);
        let (recovered, started) = (next()?, next()??);
        Some(Proof {
            xid: xid.map(str::parse).transpose().ok()?,
            lsn: lsn(at)?,
            life: Life {
                timeline: u32::from_str_radix(file.get(..8)?, 16).ok()?,
                recovered: match recovered {
                    Some(end) => Some(lsn(end)?),
                    None => None,
                },
                started: started.into(),
            },
        })
    }

    /// A transaction in this life, of which nothing else is known yet.
    pub(crate) fn begun(life: Life) -> Proof {
        Proof { xid: None, lsn: 0, life }
    }

    /// Adds what a call has given. None: it is not what it should be.
    pub(crate) fn told(&mut self, asked: Asks, body: &[u8]) -> Option<()> {
        let value = FunctionCallResponse::read(body).ok()?.value;
        let value = value.map(std::str::from_utf8).transpose().ok()?;
        match asked {
            Asks::All => return None,
            Asks::Xid => self.xid = value.map(str::parse).transpose().ok()?,
            Asks::Lsn => self.lsn = lsn(value?)?,
        }
        Some(())
    }

    /// Decides, as far as that goes without the transaction's status.
    pub fn judge(&self, now: &Survivor) -> Judgement {
        let unknown = Judgement::Decided(Outcome::Unknown);
        if !now.same_system {
            return unknown;
        }
        if now.life == self.life {
            return Judgement::Alive;
        }
        let same_timeline = now.life.timeline == self.life.timeline;
        let next_timeline = now.life.timeline.checked_sub(1) == Some(self.life.timeline);
        let end = match now.life.recovered {
            // The end of the first recovery counts: afterwards the id may be another transaction's.
            Some(end) if same_timeline && self.life.recovered < Some(end) => {
                (!now.recovered_again || end < self.lsn).then_some(end)
            }
            // The same life that began when it was promoted.
            Some(end) if next_timeline && now.forked == Some(end) => Some(end),
            _ => None,
        };
        match end {
            None => unknown,
            Some(end) if end < self.lsn => Judgement::Decided(Outcome::NotCommitted),
            // Of what is only in unlogged relations nothing may have been replayed, and its id be given again.
            Some(_) if now.unlogged => unknown,
            Some(_) => Judgement::Recovered,
        }
    }
}

impl Judgement {
    /// What the transaction's status adds. None: it is to be asked for again.
    pub fn with(self, status: Status) -> Option<Outcome> {
        match (self, status) {
            (Judgement::Decided(outcome), _) => Some(outcome),
            (_, Status::Committed) => Some(Outcome::Committed),
            (_, Status::Aborted) | (Judgement::Recovered, Status::InProgress) => {
                Some(Outcome::NotCommitted)
            }
            (Judgement::Alive, Status::InProgress) => None,
            (_, Status::Unknown) => Some(Outcome::Unknown),
        }
    }
}

/// A position in the WAL from its text (pg_lsn.c).
pub fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let half = |text| u32::from_str_radix(text, 16).ok().map(u64::from);
    Some(half(high)? << 32 | half(low)?)
}
