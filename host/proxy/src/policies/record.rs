//! Questions of production, written to a file, so that another version of a policy can be asked them.
//!
//! What was answered from memory is not recorded: it is the same question and the same answer once more.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use howdah_decision::{Facts, Kind};
use howdah_policy::{Answer, Question};
use howdah_sql::{ScanOptions, Statement};
use serde::{Deserialize, Serialize};

use super::show;
use crate::config::Policies;

/// Questions that wait to be written. When a disk is slower than what happens, further ones are not recorded.
const MAX_WAITING: usize = 4_096;
/// What has been recorded is in the file after this.
const FLUSH: Duration = Duration::from_secs(1);

/// A routing question with the answer that it got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The text, as rewritten.
    pub sql: String,
    /// Who asked, and where.
    pub user: String,
    /// See there.
    pub database: String,
    /// See there.
    pub cluster: String,
    /// `application_name`.
    pub application: String,
    /// The session's class.
    pub class: u32,
    /// What the host knew of it: kind.
    pub kind: String,
    /// Facts; the catalog was known.
    pub facts: Vec<String>,
    /// Digest, in hexadecimal digits.
    pub digest: String,
    /// The answer in words.
    pub answer: String,
    /// Whose it was.
    pub policy: Option<String>,
}

/// Takes questions, and never waits.
pub struct Recorder {
    lines: SyncSender<Recorded>,
    literals: bool,
}

impl Recorder {
    /// Begins to record, if that is wanted. The file is for its owner's eyes alone, and is appended to.
    ///
    /// # Errors
    /// The file cannot be written, or there is no thread.
    pub fn start(wanted: &Policies) -> std::io::Result<Option<Recorder>> {
        let Some(path) = wanted.record.clone() else { return Ok(None) };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let left = wanted.record_size.0.saturating_sub(file.metadata()?.len());
        let (lines, inbox) = sync_channel(MAX_WAITING);
        std::thread::Builder::new().name("howdah-record".into()).spawn(move || {
            if let Err(error) = write(&inbox, &mut BufWriter::new(file), left, &path) {
                tracing::error!(file = %path.display(), %error, "questions are not recorded any more");
            }
        })?;
        Ok(Some(Recorder { lines, literals: wanted.record_literals }))
    }

    /// Records a question.
    pub fn record(&self, q: &Question<'_>, answer: &Answer) {
        let sql = match self.literals {
            true => q.sql.to_owned(),
            false => howdah_sql::without_literals(q.sql, ScanOptions::default()),
        };
        let recorded = Recorded {
            sql,
            user: q.who.user.clone(),
            database: q.who.database.clone(),
            cluster: q.who.cluster.clone(),
            application: q.who.application_name.clone(),
            class: q.class,
            kind: q.statement.kind.name().to_owned(),
            facts: q.statement.facts.with(q.extra).names().map(str::to_owned).collect(),
            digest: format!("{:016x}", q.statement.digest),
            answer: show::decision(&answer.verdict.decision),
            policy: answer.policy.as_deref().map(str::to_owned),
        };
        // A full queue means that the disk is slower than what happens: the question is not recorded.
        let _ = self.lines.try_send(recorded);
    }
}

impl Recorded {
    /// The statement as the host knew it then.
    ///
    /// # Errors
    /// A word that is not known.
    pub fn statement(&self, scanned: Statement) -> Result<(Statement, Facts), String> {
        let kind =
            Kind::named(&self.kind).ok_or_else(|| format!("there is no kind {}", self.kind))?;
        let mut facts = Facts::NONE;
        for name in &self.facts {
            let fact = Facts::named(name).ok_or_else(|| format!("there is no fact {name}"))?;
            facts = facts.with(fact);
        }
        let digest = u64::from_str_radix(&self.digest, 16).map_err(|_| "the digest is none")?;
        let extra = Facts::EXTENDED.with(Facts::IN_TRANSACTION);
        let own = Statement { kind, facts: facts.without(extra), digest, ..scanned };
        let extra = if facts.has(Facts::EXTENDED) { Facts::EXTENDED } else { Facts::NONE };
        Ok((own, extra))
    }
}

/// Writes lines until there is no room, or nobody who sends any.
fn write(
    inbox: &Receiver<Recorded>,
    out: &mut impl Write,
    mut left: u64,
    path: &Path,
) -> std::io::Result<()> {
    loop {
        match inbox.recv_timeout(FLUSH) {
            Ok(recorded) => {
                let mut line = serde_json::to_vec(&recorded)?;
                line.push(b'\n');
                if line.len() as u64 > left {
                    let file = path.display();
                    tracing::warn!(%file, "policies.record_size is reached: nothing more is recorded");
                    return out.flush();
                }
                left -= line.len() as u64;
                out.write_all(&line)?;
            }
            Err(RecvTimeoutError::Timeout) => out.flush()?,
            Err(RecvTimeoutError::Disconnected) => return out.flush(),
        }
    }
}
