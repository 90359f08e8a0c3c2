use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use howdah_policy::Who;
use serde_json::{Value, json};

use super::arguments::{ReplayArguments, Set};
use super::{all, alone, code, print_json};
use crate::policies::record::Recorded;
use crate::policies::show;
use crate::policies::trial::Trial;

/// Differences that are shown one by one.
const MAX_SHOWN: usize = 50;

/// A question that is answered otherwise than before.
struct Difference {
    line: usize,
    sql: String,
    before: String,
    now: String,
}

/// Asks a policy the questions of a recording.
pub(super) fn replay(arguments: &ReplayArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let newer = trial(&arguments.file, &arguments.set)?;
    let against = arguments.against.as_deref().map(|file| trial(file, &arguments.set));
    let against = against.transpose()?;
    let shown = arguments.recording.display();
    let file = std::fs::File::open(&arguments.recording).with_context(|| shown.to_string())?;
    let (mut questions, mut differences) = (0, Vec::new());
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let place = || format!("{shown}:{}", number + 1);
        let recorded: Recorded =
            serde_json::from_str(&line.with_context(place)?).with_context(place)?;
        let now = ask(&newer, &recorded).with_context(place)?;
        let before = match &against {
            Some(against) => ask(against, &recorded).with_context(place)?,
            None => recorded.answer,
        };
        questions += 1;
        if before != now {
            differences.push(Difference { line: number + 1, sql: recorded.sql, before, now });
        }
    }
    match arguments.json {
        true => print_json(&as_json(questions, &differences), out)?,
        false => print(questions, &differences, out)?,
    }
    Ok(code(differences.is_empty()))
}

fn trial(file: &Path, set: &[Set]) -> anyhow::Result<Trial> {
    Trial::new(vec![alone(file, set)?.0]).map_err(|errors| all(&errors))
}

/// What a policy says, in words. A policy that fails says that.
fn ask(trial: &Trial, recorded: &Recorded) -> anyhow::Result<String> {
    let who = Who {
        user: recorded.user.clone(),
        database: recorded.database.clone(),
        cluster: recorded.cluster.clone(),
        application_name: recorded.application.clone(),
    };
    let (answer, failure) = trial.ask_again(recorded, who).map_err(|error| anyhow!(error))?;
    Ok(match failure {
        Some(why) => format!("failed: {why}"),
        None => show::decision(&answer.verdict.decision),
    })
}

fn as_json(questions: usize, differences: &[Difference]) -> Value {
    let one =
        |d: &Difference| json!({ "line": d.line, "sql": d.sql, "before": d.before, "now": d.now });
    json!({
        "questions": questions,
        "differ": differences.len(),
        "differences": differences.iter().map(one).collect::<Vec<_>>(),
    })
}

fn print(questions: usize, differences: &[Difference], out: &mut dyn Write) -> std::io::Result<()> {
    for Difference { line, sql, before, now } in differences.iter().take(MAX_SHOWN) {
        writeln!(out, "{line}: {sql}\n    - {before}\n    + {now}")?;
    }
    if differences.len() > MAX_SHOWN {
        writeln!(out, "… and {} more; --json shows all", differences.len() - MAX_SHOWN)?;
    }
    writeln!(out, "{questions} questions, {} answered otherwise", differences.len())
}
