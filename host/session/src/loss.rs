//! What becomes of a batch, or a transaction, whose server has gone.

use howdah_decision::{Decision, Outcome, Safety};
use howdah_sql::{Effect, Statement};
use howdah_wire::backend::{ErrorReport, TransactionStatus};

use crate::expect::Expect;
use crate::session::{Phase, Session};
use crate::{Buffers, Guide};

impl<A: AsRef<Decision>> Session<A> {
    /// The leased server's connection has ended, or is given up; what has been read from it is of no use but for one thing
    /// ([`Session::hear_proof`]). Call without the server, then `advance` without it.
    pub fn server_lost<G: Guide<Answer = A>>(&mut self, io: &mut Buffers, guide: &mut G) {
        self.tally_from(io);
        if self.is_wrapped() && self.hear_rest(io, guide) {
            return;
        }
        self.hear_proof(io);
        io.server_in.clear();
        io.server_out.clear();
        let report = self.last_words.take();
        if self.is_replaying() {
            self.last_words = report;
            if !self.replays(io, guide, Outcome::Unknown) {
                self.replay_failed();
            }
            return;
        }
        let unsent = self.phase == Phase::Setup;
        let sqlstate = report.as_ref().map(|report| *report.sqlstate());
        let safety = if unsent { Safety::Unsent } else { self.safety(sqlstate) };
        let possible = unsent || (self.retained.is_some() && self.resendable);
        if possible && self.shall_go_again(io, guide, sqlstate, safety, true) {
            return self.go_again(io);
        }
        if unsent {
            let report = report.unwrap_or_else(|| self.loss_report());
            self.phase = Phase::Server;
            return self.refuse(io, &report);
        }
        self.last_words = report;
        if !self.ends_without_server(io, guide) && !self.replays(io, guide, Outcome::Unknown) {
            self.lose(io);
        }
    }

    /// The transaction, or whatever was under way, is lost.
    pub(crate) fn lose(&mut self, io: &mut Buffers) {
        let report = self.loss_report().caused_by(self.last_words.take());
        let open = self.status != TransactionStatus::Idle && report.sqlstate() == b"40001";
        let status = if open { TransactionStatus::Failed } else { TransactionStatus::Idle };
        self.tell_loss(io, report, status);
    }

    /// The client gets this error, and goes on with this status.
    pub(crate) fn tell_loss(
        &mut self,
        io: &mut Buffers,
        report: ErrorReport,
        status: TransactionStatus,
    ) {
        let (cut, answered) = (self.is_cut(), self.answer_due());
        let ready = self.pending.iter().any(Expect::ends_with_ready) || self.copying;
        self.take_all_back();
        self.forget_server();
        if cut {
            self.phase = Phase::Broken;
            return;
        }
        let open = status != TransactionStatus::Idle;
        self.status = status;
        self.phase = if open { Phase::Rollback } else { Phase::Batch };
        if !answered {
            self.owed = Some(report);
            return;
        }
        self.tally_error(Some(*report.sqlstate()));
        self.tally_done();
        report.write(&mut io.client_out);
        match ready {
            true => self.write_ready(io),
            false => self.phase = Phase::Sync,
        }
    }

    /// Whether the client has got a part of a message.
    pub(crate) fn is_cut(&self) -> bool {
        self.server_stream.0 > 0 && self.server_stream.1
    }

    /// Whether the client waits for an answer.
    pub(crate) fn answer_due(&self) -> bool {
        !self.pending.is_empty() || self.awaiting_ready || self.copying
    }

    /// Whether the server has something to say without being sent more.
    pub fn awaits_server(&self) -> bool {
        !self.copying && self.answer_due()
    }

    /// What a client is told when its server has gone, by the class of what was under way.
    fn loss_report(&self) -> ErrorReport {
        let sent = |pick: fn(&Statement) -> bool| {
            self.pending.iter().any(|e| match e {
                Expect::Query(Some(s)) | Expect::Execute(Some(s)) => pick(s),
                Expect::Query(None) | Expect::FunctionCall | Expect::Commit { .. } => true,
                _ => false,
            })
        };
        let ends = |s: &Statement| s.effects.contains(&Effect::End) || s.boundaries != 0;
        // Without Sync nothing has been committed, as in an open transaction.
        let unsynced = self.unsynced && !self.awaiting_ready;
        let open = self.status != TransactionStatus::Idle || unsynced;
        if open && !sent(ends) && !self.ending.is_over() {
            return ErrorReport::error(b"40001", "the server of this transaction was lost")
                .detail("Nothing of the transaction has been committed.")
                .hint("Roll back and run the transaction again.");
        }
        if (open && self.status != TransactionStatus::Failed)
            || (!open && sent(|s| !crate::batch::is_replayable(s)))
        {
            return ErrorReport::error(
                b"08007",
                "the server was lost before it confirmed; the outcome is unknown",
            )
            .hint("Check whether the change is there before running it again.");
        }
        ErrorReport::error(b"08006", "the server was lost while it answered")
            .hint("Nothing was changed; run the statement again.")
    }
}
