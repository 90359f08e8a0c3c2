//! Answers of policies in words, the same everywhere: tools, NOTICEs, cases.

pub use howdah_decision::words::{admitted, cut, decision, refused, rewrite, session};
use howdah_decision::{Again, Decision, Remember, Retry, Rewrite, RewriteVerdict, Target, Verdict};
use howdah_policy::{Said, Source};

use super::record::line;

pub use super::cases::remember_name;

/// How long an answer is kept.
pub fn remembered(remember: Remember) -> &'static str {
    match remember {
        Remember::Never => "not remembered",
        Remember::Text => "remembered for this text",
        Remember::TextAndClass => "remembered for this text and session class",
        Remember::Digest => "remembered for this digest",
        Remember::DigestAndClass => "remembered for this digest and session class",
    }
}

/// Where an answer came from, when it was not remembered.
pub fn source(source: Source) -> &'static str {
    match source {
        Source::Asked => "asked",
        Source::Nobody => "no policy has an opinion",
        Source::Failed => "a policy failed, and its on_failure decided",
        Source::Learned => "a standby refused the like of it before",
    }
}

/// What becomes of a statement that has failed.
pub fn retry(decision: Retry) -> String {
    match decision {
        Retry::NoOpinion => "no opinion".to_owned(),
        Retry::GiveUp => "give up".to_owned(),
        Retry::Replay => "replay the transaction".to_owned(),
        Retry::Again(Again { target, delay_ms }) => {
            format!("again on {} after {delay_ms} ms", place(target))
        }
    }
}

/// Where a statement goes that is sent again.
pub fn place(target: Target) -> &'static str {
    match target {
        Target::Same => "the same node",
        Target::Another => "another node",
        Target::Primary => "the primary",
    }
}

/// A verdict, whole, so that two are the same when their words are; without literals if that is wanted, and without
/// the rows of an answer then. How long it may be remembered is no part of it.
pub fn exactly(said: &Said, literals: bool) -> String {
    match said {
        Said::Route(Verdict { decision: Decision::Answer(table), .. }) if literals => {
            let rows = serde_json::json!(table.rows);
            format!("answer by itself: {rows} of {}", table.columns.join(", "))
        }
        Said::Route(verdict) => decision(&verdict.decision),
        Said::Rewrite(RewriteVerdict { rewrite: Rewrite::Text(new), .. }) => {
            line::text(new, literals)
        }
        Said::Rewrite(verdict) => rewrite(&verdict.rewrite),
        Said::Admit(_) | Said::Refuse(_) | Said::Retry(_) | Said::Failed(_) => self::said(said),
    }
}

/// What a policy said.
pub fn said(said: &Said) -> String {
    match said {
        Said::Route(verdict) => {
            format!("{} ({})", decision(&verdict.decision), remembered(verdict.remember))
        }
        Said::Rewrite(verdict) => {
            format!("{} ({})", rewrite(&verdict.rewrite), remembered(verdict.remember))
        }
        Said::Admit(None) => "no opinion".to_owned(),
        Said::Admit(Some(admission)) => admitted(admission),
        Said::Refuse(refusal) => refused(refusal),
        Said::Retry(decision) => retry(*decision),
        Said::Failed(why) => format!("failed: {why}"),
    }
}
