use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::arguments::BuildArguments;
use super::check;

/// The file in a project's folder that says how it is built.
const FILE: &str = "howdah-policy.toml";

/// How a project is built.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    language: String,
    /// What must be installed, for people.
    needs: String,
    /// Programs with their arguments, in order.
    steps: Vec<Vec<String>>,
    /// What comes out, relative to the folder.
    component: String,
}

/// Builds a project, and checks the component.
pub(super) fn build(arguments: &BuildArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let folder = &arguments.directory;
    let project = Project::load(folder)?;
    for step in &project.steps {
        run(step, folder, &project)?;
    }
    check::check_one(&component(folder)?, arguments.json, out)
}

/// The component that a project makes, when it has been made.
pub(super) fn component(folder: &Path) -> anyhow::Result<PathBuf> {
    let component = folder.join(Project::load(folder)?.component);
    let component = component.strip_prefix(".").unwrap_or(&component).to_owned();
    if !component.is_file() {
        bail!("there is no {}: howdah policy build {}", component.display(), folder.display());
    }
    Ok(component)
}

impl Project {
    fn load(folder: &Path) -> anyhow::Result<Project> {
        let file = folder.join(FILE);
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!("{}: howdah policy new makes a folder with such a file", file.display())
        })?;
        toml::from_str(&text).with_context(|| file.display().to_string())
    }
}

/// Runs a step. What it prints goes to standard error: standard output is for what is found.
fn run(step: &[String], folder: &Path, project: &Project) -> anyhow::Result<()> {
    let Some((program, arguments)) = step.split_first() else { return Ok(()) };
    let Project { language, needs, .. } = project;
    let status = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("{program} cannot be started; {language} needs {needs}"))?;
    if !status.success() {
        bail!("{} failed ({status}); {language} needs {needs}", step.join(" "));
    }
    Ok(())
}
