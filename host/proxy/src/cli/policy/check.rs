use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use howdah_policy::{Description, PolicyError, PolicySpec};
use serde_json::{Value, json};

use super::arguments::CheckArguments;
use super::{Found, alone, code, configured, inspect, print_json};
use crate::policies::trial::Trial;
use crate::policies::{PolicyFile, tested};

/// A policy, and what is wrong with it.
struct Checked {
    name: String,
    origin: String,
    found: Option<Description>,
    error: Option<String>,
}

/// Loads policies as the proxy would.
pub(super) fn check(arguments: &CheckArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let checked: Vec<Checked> = match &arguments.config {
        Some(config) => configured(config)?.iter().map(of_configuration).collect(),
        None => {
            let one = |path: &_| checked(alone(path, &arguments.set), path, |_| Ok(()));
            arguments.files.iter().map(|path| one(path.as_path())).collect()
        }
    };
    if arguments.json {
        let policies: Vec<Value> = checked.iter().map(Checked::as_json).collect();
        print_json(&json!({ "policies": policies }), out)?;
    } else {
        checked.iter().try_for_each(|one| one.print(out))?;
    }
    Ok(code(checked.iter().all(|one| one.error.is_none())))
}

/// The component that `howdah policy build` has made.
pub(super) fn check_one(path: &Path, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let files = vec![path.to_owned()];
    check(&CheckArguments { files, config: None, set: Vec::new(), json }, out)
}

fn of_configuration(file: &PolicyFile) -> Checked {
    let found = file.read().and_then(|spec| match Description::of(&spec.bytes) {
        Ok(description) => Ok((spec, description)),
        Err(message) => {
            let (policy, origin) = (spec.name, spec.origin);
            Err(PolicyError { policy, origin, message })
        }
    });
    checked(found, Path::new(&file.spec.name), |spec| tested(file, spec))
}

fn checked(
    found: Result<Found, PolicyError>,
    path: &Path,
    more: impl Fn(&PolicySpec) -> Result<(), PolicyError>,
) -> Checked {
    let (spec, description) = match found {
        Ok(found) => found,
        Err(error) => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let (origin, error) = (error.origin, Some(error.message));
            return Checked { name, origin, found: None, error };
        }
    };
    let (name, origin) = (spec.name.clone(), spec.origin.clone());
    let loaded = Trial::new(vec![spec.clone()]).map(|_| ()).map_err(|errors| {
        errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ")
    });
    let error = loaded.and_then(|()| more(&spec).map_err(|error| error.message)).err();
    Checked { name, origin, found: Some(description), error }
}

impl Checked {
    fn as_json(&self) -> Value {
        let mut value = match &self.found {
            Some(found) => inspect::as_json(found),
            None => json!({}),
        };
        value["name"] = json!(self.name);
        value["origin"] = json!(self.origin);
        value["usable"] = json!(self.error.is_none());
        value["error"] = json!(self.error);
        value
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Checked { name, origin, .. } = self;
        match &self.error {
            Some(error) => writeln!(out, "{name} ({origin}): cannot be used: {error}")?,
            None => writeln!(out, "{name} ({origin}): can be used")?,
        }
        self.found.as_ref().map_or(Ok(()), |found| inspect::print(found, out))
    }
}
