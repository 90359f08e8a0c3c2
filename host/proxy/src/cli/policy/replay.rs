use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use howdah_policy::SettingValue;
use serde_json::{Value, json};

use super::arguments::{ReplayArguments, Set};
use super::{all, alone, code, print_json};
use crate::policies::record::line::{FORMAT, Line, RecordedCall, Version};
use crate::policies::replay::{Now, Replay};
use crate::policies::show;

/// Differences that are shown one by one, and bytes of a text in them.
const MAX_SHOWN: usize = 50;
const MAX_TEXT: usize = 1_024;
/// Most workers that a recording may have: as many threads as the largest machines run.
const MAX_WORKERS: usize = 1_024;

/// A call that is answered otherwise than before.
struct Difference {
    line: usize,
    hook: &'static str,
    /// The statement, or whose session it is.
    about: String,
    before: String,
    now: String,
    missing: Vec<String>,
}

/// What came of it.
struct Report {
    policy: String,
    calls: usize,
    differences: Vec<Difference>,
}

/// Asks a policy what a recording says.
pub(super) fn replay(arguments: &ReplayArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (policy, workers) = whose(arguments)?;
    let mut player = Player {
        newer: Asked::new(&arguments.file, &arguments.set, workers)?,
        against: match &arguments.against {
            Some(file) => Some(Asked::new(file, &arguments.set, workers)?),
            None => None,
        },
        versions: BTreeMap::new(),
        literals: true,
        report: Report { policy, calls: 0, differences: Vec::new() },
    };
    read(&arguments.recording, |number, line| player.line(number, line))?;
    let report = player.report;
    match arguments.json {
        true => print_json(&report.as_json(), out)?,
        false => report.print(out)?,
    }
    Ok(code(report.differences.is_empty()))
}

/// Hands each line of a recording over, with its number. An error tells where.
fn read(
    recording: &Path,
    mut each: impl FnMut(usize, Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let shown = recording.display();
    let file = std::fs::File::open(recording).with_context(|| shown.to_string())?;
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let place = || format!("{shown}:{number}");
        let line: Line = serde_json::from_str(&line.with_context(place)?).with_context(place)?;
        match line {
            Line::Recording { format, .. } if format != FORMAT => {
                bail!("{}: this howdah reads format {FORMAT}, not {format}", place());
            }
            line => each(number, line).with_context(place)?,
        }
    }
    Ok(())
}

/// The policy whose calls are asked again, and how many workers it had.
fn whose(arguments: &ReplayArguments) -> anyhow::Result<(String, usize)> {
    let (mut policies, mut workers) = (BTreeSet::new(), 0);
    read(&arguments.recording, |_, line| {
        if let Line::Call(call) = line {
            if call.worker >= MAX_WORKERS {
                bail!("there is no worker {}", call.worker);
            }
            workers = workers.max(call.worker + 1);
            policies.insert(call.policy);
        }
        Ok(())
    })?;
    let known = || policies.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let policy = match &arguments.policy {
        Some(name) if policies.contains(name) => name.clone(),
        Some(name) => bail!("the recording has no calls of {name}; it has those of {}", known()),
        None if policies.contains(&stem) => stem,
        None => match (policies.first(), policies.len()) {
            (None, _) => bail!("{}: no policy was asked anything", arguments.recording.display()),
            (Some(only), 1) => only.clone(),
            _ => bail!("the recording has calls of {}: choose with --policy", known()),
        },
    };
    Ok((policy, workers))
}

/// A version that is asked.
struct Asked<'a> {
    replay: Replay,
    set: &'a [Set],
}

impl<'a> Asked<'a> {
    fn new(file: &Path, set: &'a [Set], workers: usize) -> anyhow::Result<Asked<'a>> {
        let replay = Replay::new(alone(file, &[])?.0, workers).map_err(|error| anyhow!(error))?;
        Ok(Asked { replay, set })
    }

    /// What it says to a call, in words, with the settings of then but for those of the command line.
    fn ask(
        &mut self,
        call: &RecordedCall,
        settings: &BTreeMap<String, SettingValue>,
        literals: bool,
    ) -> anyhow::Result<(String, Vec<String>)> {
        let set = self.set.iter().map(|Set { name, value }| (name.clone(), value.clone()));
        let settings = settings.clone().into_iter().chain(set).collect();
        self.replay.configure(settings).map_err(|errors| all(&errors))?;
        let Now { said, missing } = self.replay.ask(call).map_err(|error| anyhow!(error))?;
        let none = || format!("it has no hook {}", call.asked.hook());
        Ok((said.map_or_else(none, |said| show::exactly(&said, literals)), missing))
    }
}

/// Goes through a recording.
struct Player<'a> {
    newer: Asked<'a>,
    against: Option<Asked<'a>>,
    /// Settings by the hash of a version.
    versions: BTreeMap<String, BTreeMap<String, SettingValue>>,
    literals: bool,
    report: Report,
}

impl Player<'_> {
    fn line(&mut self, number: usize, line: Line) -> anyhow::Result<()> {
        match line {
            Line::Recording { literals, .. } => self.literals = literals,
            Line::Nodes(nodes) => {
                let nodes = nodes.into_iter().map(|node| node.node());
                let nodes: Vec<_> =
                    nodes.collect::<Result<_, _>>().map_err(|error| anyhow!(error))?;
                for asked in [Some(&mut self.newer), self.against.as_mut()].into_iter().flatten() {
                    asked.replay.nodes(nodes.clone());
                }
            }
            Line::Version(Version { policy, sha256, settings }) => {
                if policy == self.report.policy {
                    self.versions.insert(sha256, settings);
                }
            }
            Line::Call(call) if call.policy == self.report.policy => self.call(number, *call)?,
            Line::Call(_) => {}
        }
        Ok(())
    }

    fn call(&mut self, line: usize, call: RecordedCall) -> anyhow::Result<()> {
        let settings = self.versions.get(&call.sha256);
        let settings = settings.context("nothing is said of this version before")?;
        let (now, missing) = self.newer.ask(&call, settings, self.literals)?;
        let before = match &mut self.against {
            Some(against) => against.ask(&call, settings, self.literals)?.0,
            None => call.answer.clone(),
        };
        self.report.calls += 1;
        if before != now {
            let hook = call.asked.hook();
            let about = match call.asked.sql() {
                Some(sql) => sql.to_owned(),
                None => {
                    let who = call.who.who();
                    format!("session of {} in {}", who.user, who.database)
                }
            };
            let difference = Difference { line, hook, about, before, now, missing };
            self.report.differences.push(difference);
        }
        Ok(())
    }
}

impl Report {
    fn as_json(&self) -> Value {
        let one = |d: &Difference| {
            json!({
                "line": d.line,
                "hook": d.hook,
                "about": d.about,
                "before": d.before,
                "now": d.now,
                "missing": d.missing,
            })
        };
        json!({
            "policy": self.policy,
            "calls": self.calls,
            "differ": self.differences.len(),
            "differences": self.differences.iter().map(one).collect::<Vec<_>>(),
        })
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for one in self.differences.iter().take(MAX_SHOWN) {
            writeln!(out, "{}: {}: {}", one.line, one.hook, cut(&one.about))?;
            writeln!(out, "    - {}\n    + {}", cut(&one.before), cut(&one.now))?;
            if !one.missing.is_empty() {
                writeln!(out, "    the recording does not have {}", cut(&one.missing.join(", ")))?;
            }
        }
        let differ = self.differences.len();
        if differ > MAX_SHOWN {
            writeln!(out, "… and {} more; --json shows all", differ - MAX_SHOWN)?;
        }
        writeln!(out, "{} calls of {}, {differ} answered otherwise", self.calls, self.policy)
    }
}

fn cut(text: &str) -> String {
    show::cut(text, MAX_TEXT)
}
