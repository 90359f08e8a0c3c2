//! Policies, what they have decided, and how their versions differ.

use super::super::table::{Row, float, int, row, text, truth};
use super::{Operated, Show};
use crate::policies::show::{self, remember_name};

pub(super) const POLICIES: Show = Show {
    name: "POLICIES",
    about: "Policies in their order: which version decides, what it costs, and the version on trial.",
    columns: &[
        text("policy", "Its name."),
        text("hooks", "What it is asked."),
        text("sha256", "Of the component in force."),
        text("origin", "Where that came from."),
        int("generation", "Of all policies together."),
        int("calls", "Calls so far."),
        float("us_per_call", "Time of a call, in microseconds."),
        int("remembered", "Answers given from memory."),
        int("failures", "Calls that failed."),
        truth("quarantined", "It is not asked any more."),
        text("last_failure", "How the last call failed."),
        text("trial", "How the version on trial is tried: shadow or canary."),
        text("trial_sha256", "Of its component."),
        float("trial_share", "Sessions that obey it, of 1."),
        int("trial_calls", "Its calls."),
        int("trial_failures", "Those that failed."),
        int("agreed", "Questions that both versions answered alike."),
        int("disagreed", "Questions that they answered differently."),
        int("skipped", "Questions to which the other version gave no answer."),
        text("previous", "Of the component that a rollback would put back."),
        text("rolled_back", "Of the component that was rolled back."),
        text("refused", "Why the version that was offered last is not in force."),
    ],
    rows: |operated| Box::pin(async { policies(operated) }),
};

pub(super) const DISAGREEMENTS: Show = Show {
    name: "DISAGREEMENTS",
    about: "How the version on trial differs from the one in force: the last cases.",
    columns: &[
        text("policy", "Its name."),
        text("hook", "What was asked."),
        text("digest", "Of the statement."),
        text("live", "What the version in force said."),
        text("candidate", "What the version on trial said."),
    ],
    rows: |operated| Box::pin(async { disagreements(operated) }),
};

pub(super) const VERDICTS: Show = Show {
    name: "VERDICTS",
    about: "Verdicts that are remembered, by worker.",
    columns: &[
        int("worker", "Whose memory it is."),
        text("digest", "Of the statement; none where the verdict holds for one text."),
        text("text", "That text, without its literals."),
        text("verdict", "Where it goes."),
        text("policy", "Who said so."),
        text("source", "Where the verdict came from."),
        text("remember", "What it is remembered for."),
        int("class", "The class of sessions that it is for; none for all."),
    ],
    rows: |operated| Box::pin(verdicts(operated)),
};

pub(super) const KV: Show = Show {
    name: "KV",
    about: "Values that policies share.",
    columns: &[
        text("space", "Whose they are."),
        int("keys", "How many."),
        int("bytes", "Their size."),
    ],
    rows: |operated| Box::pin(async { kv(operated) }),
};

fn policies(operated: &Operated) -> Vec<Row> {
    let generation = operated.registry.generation();
    let row = |status: howdah_policy::PolicyStatus| {
        let trial = status.trial.as_ref();
        row![
            status.name.as_str(),
            status.hooks.join(", "),
            status.sha256.as_str(),
            status.origin.as_str(),
            generation,
            status.calls,
            (status.calls > 0).then(|| status.nanoseconds as f64 / status.calls as f64 / 1e3),
            status.remembered,
            status.failures,
            status.quarantined,
            status.last_failure.clone(),
            trial.map(|trial| trial.rollout.name()),
            trial.map(|trial| trial.sha256.as_str()),
            trial.map(|trial| trial.rollout.share()),
            trial.map(|trial| trial.calls),
            trial.map(|trial| trial.failures),
            trial.map(|trial| trial.agreed),
            trial.map(|trial| trial.disagreed),
            trial.map(|trial| trial.skipped),
            status.previous.clone(),
            status.rolled_back.clone(),
            status.refused.clone(),
        ]
    };
    operated.registry.status().into_iter().map(row).collect()
}

fn disagreements(operated: &Operated) -> Vec<Row> {
    let mut rows = Vec::new();
    for status in operated.registry.status() {
        for one in status.trial.iter().flat_map(|trial| &trial.disagreements) {
            let digest = format!("{:016x}", one.digest);
            rows.push(row![
                status.name.as_str(),
                one.hook,
                digest,
                one.live.as_str(),
                one.candidate.as_str()
            ]);
        }
    }
    rows
}

async fn verdicts(operated: &Operated) -> Vec<Row> {
    let told = operated.shared.ask(|ctx| {
        let chain = ctx.policies.chain(0);
        let row = |known: howdah_policy::Known<howdah_policy::Answer>| {
            let text = known.text.as_deref();
            row![
                ctx.index,
                known.digest.map(|digest| format!("{digest:016x}")),
                text.map(|text| howdah_sql::without_literals(
                    text,
                    howdah_sql::ScanOptions::default()
                )),
                show::decision(&known.answer.verdict.decision),
                known.answer.policy.as_deref(),
                show::source(known.answer.source),
                remember_name(known.answer.verdict.remember),
                known.class,
            ]
        };
        chain.known(MOST_VERDICTS).into_iter().map(row).collect::<Vec<Row>>()
    });
    told.await.into_iter().flatten().collect()
}

/// Most verdicts of a worker that are shown: it does nothing else meanwhile.
const MOST_VERDICTS: usize = 1_000;

fn kv(operated: &Operated) -> Vec<Row> {
    let row = |space: howdah_policy::SpaceStatus| row![space.name, space.keys, space.bytes];
    operated.registry.spaces().into_iter().map(row).collect()
}
