use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::config::{AuthMethod, Config, Others, Policy, PolicySource, show_address};

/// Prints every mistake of a file, or what it means. Success when there is no mistake.
pub(super) fn check(path: &Path, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match Config::load(path) {
        Ok(config) => {
            summary(&config, out)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            for mistake in &mistakes {
                writeln!(out, "{mistake}")?;
            }
            match mistakes.len() {
                1 => writeln!(out, "1 mistake")?,
                many => writeln!(out, "{many} mistakes")?,
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What a configuration means, in a few lines.
fn summary(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let listen: Vec<String> = config.listen.iter().map(show_address).collect();
    writeln!(out, "listens at {} with {}", listen.join(", "), count(config.workers, "worker"))?;
    writeln!(out, "lets in {}", clients(config))?;
    for (rule, number) in config.rules.iter().zip(1..) {
        writeln!(out, "  rule {number}: {rule}")?;
    }
    for cluster in &config.clusters {
        let nodes: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
        let databases = match cluster.databases.as_slice() {
            [] => "no database by name".to_owned(),
            [one] if one == "*" => "all databases".to_owned(),
            some => format!("databases {}", some.join(", ")),
        };
        writeln!(out, "cluster {}: {}; {databases}", cluster.name, nodes.join(", "))?;
    }
    let policies: Vec<String> = config.policies.iter().map(policy).collect();
    writeln!(out, "asks {}", policies.join(", then "))?;
    for warning in &config.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(out, "no mistakes")
}

fn clients(config: &Config) -> String {
    let how = match config.auth.method {
        AuthMethod::Trust if config.auth.trust_remote => "without a password (trust)".to_owned(),
        AuthMethod::Trust => "without a password (trust), from this machine only".to_owned(),
        AuthMethod::Cert => "with a certificate (cert)".to_owned(),
        method => format!("with a password ({method})"),
    };
    let users = count(config.users.len(), "user");
    let who = match (&config.auth.query, config.others) {
        (Some(_), _) if config.users.is_empty() => "whom auth.query knows".to_owned(),
        (Some(_), _) => format!("{users} and whom auth.query knows"),
        (None, Others::Admitted) => "everybody".to_owned(),
        (None, Others::Refused) => users,
    };
    match config.rules.len() {
        0 => format!("{who}, {how}"),
        rules => format!("{who}, by {}", count(rules, "rule")),
    }
}

fn policy(policy: &Policy) -> String {
    match &policy.source {
        PolicySource::BuiltIn => format!("{} (built-in)", policy.name),
        PolicySource::File(path) => format!("{} ({})", policy.name, path.display()),
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
