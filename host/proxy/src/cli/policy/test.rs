use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::arguments::TestArguments;
use super::{all, alone, code, print_json};
use crate::policies::cases::{Cases, Report, Tested};

/// Asks a policy the questions of its cases.
pub(super) fn test(arguments: &TestArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (spec, _) = alone(&arguments.file, &arguments.set)?;
    let cases = Cases::load(&path(arguments)?).map_err(|error| anyhow!(error))?;
    let report = cases.run(&spec).map_err(|errors| all(&errors))?;
    if arguments.json {
        print_json(&as_json(&cases, &report), out)?;
    } else {
        print(&cases, &report, out)?;
    }
    Ok(code(report.failed() == 0))
}

fn path(arguments: &TestArguments) -> anyhow::Result<PathBuf> {
    let beside = || Cases::beside(&arguments.file);
    arguments.cases.clone().or_else(beside).with_context(|| {
        let own = arguments.file.with_extension("cases.toml");
        format!(
            "there are no cases: neither {} nor a cases.toml beside it; name a file with --cases",
            own.display()
        )
    })
}

fn as_json(cases: &Cases, report: &Report) -> Value {
    let one = |tested: &Tested| {
        let unlike = tested.unlike.iter();
        let unlike: Vec<Value> =
            unlike.map(|u| json!({ "expected": u.expected, "got": u.got })).collect();
        json!({
            "name": tested.place.name,
            "line": tested.place.line,
            "asked": tested.asked,
            "passed": unlike.is_empty(),
            "unlike": unlike,
        })
    };
    json!({
        "file": cases.path.display().to_string(),
        "passed": report.tested.len() - report.failed(),
        "failed": report.failed(),
        "cases": report.tested.iter().map(one).collect::<Vec<_>>(),
    })
}

fn print(cases: &Cases, report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let file = cases.path.display();
    for tested in report.tested.iter().filter(|tested| !tested.unlike.is_empty()) {
        writeln!(out, "{file}:{}: {}", tested.place.line, tested.place.name)?;
        if tested.asked != tested.place.name {
            writeln!(out, "    {}", tested.asked)?;
        }
        for unlike in &tested.unlike {
            writeln!(out, "    expected  {}", unlike.expected)?;
            writeln!(out, "    got       {}", unlike.got)?;
        }
    }
    let failed = report.failed();
    let passed = report.tested.len() - failed;
    match failed {
        0 => writeln!(out, "{passed} cases passed"),
        _ => writeln!(out, "{passed} cases passed, {failed} failed"),
    }
}
