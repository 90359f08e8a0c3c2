use std::collections::BTreeMap;
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
    /// Set for the programs, besides what is set already.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Programs with their arguments, in order.
    steps: Vec<Vec<String>>,
    /// What the steps make, relative to the folder: a component, or a core module, which becomes one.
    makes: String,
    /// Where the component is put.
    component: String,
}

/// Builds a project, and checks the component.
pub(super) fn build(arguments: &BuildArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let folder = &arguments.directory;
    let project = Project::load(folder)?;
    let makes = folder.join(&project.makes);
    // Compilers do not make folders.
    if let Some(parent) = makes.parent() {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    for step in &project.steps {
        run(step, folder, &project)?;
    }
    let made = std::fs::read(&makes).with_context(|| makes.display().to_string())?;
    let component = howdah_component::component(&made)
        .with_context(|| format!("{} cannot become a component", makes.display()))?;
    put(&folder.join(&project.component), &component)?;
    check::check_one(&self::component(folder)?, arguments.json, out)
}

/// Puts a file in its place as a whole: a proxy may be watching.
fn put(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let aside = path.with_added_extension("new");
    std::fs::write(&aside, contents)
        .and_then(|()| std::fs::rename(&aside, path))
        .with_context(|| path.display().to_string())
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
    let Project { language, needs, environment, .. } = project;
    let status = Command::new(program)
        .args(arguments)
        .envs(environment)
        .current_dir(folder)
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("{program} cannot be started; {language} needs {needs}"))?;
    if !status.success() {
        bail!("{program} failed ({status}); {language} needs {needs}");
    }
    Ok(())
}
