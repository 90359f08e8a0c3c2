use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{ANY, Step};
use crate::config::mistake::suggestion;
use crate::config::parts::{Cluster, Policy, PolicySource, User};
use crate::config::value::At;
use crate::config::written::{self, BUILT_IN};
use crate::policies;

impl Step<'_> {
    pub(super) fn policies(
        &self,
        written: Vec<At<written::WholePolicy>>,
        users: &BTreeMap<String, User>,
        clusters: &[Cluster],
    ) -> Vec<Policy> {
        if written.is_empty() {
            return vec![Policy::default()];
        }
        let users: Vec<&str> = users.keys().map(String::as_str).collect();
        let cluster_names: Vec<&str> =
            clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let homes: Vec<&str> =
            clusters.iter().flat_map(|cluster| &cluster.databases).map(String::as_str).collect();
        let mut names = BTreeSet::new();
        let mut policies = Vec::new();
        for At { at, value: (policy, limits, canary, settings) } in written {
            let Some(name) = policy.name else {
                self.mistakes.add_missing(at, "the name of the policy is missing");
                continue;
            };
            if !names.insert(name.value.clone()) {
                self.mistakes.add(name.at, format!("there is a policy \"{}\" already", name.value));
            }
            // Where everybody is let in, or every database is served, any name may be meant.
            let any_database = homes.contains(&ANY);
            self.known(&policy.users, "user", &users, users.is_empty());
            self.known(&policy.databases, "database", &homes, any_database);
            self.known(&policy.clusters, "cluster", &cluster_names, false);
            let values = |list: Vec<At<String>>| list.into_iter().map(|one| one.value).collect();
            let source = self.source(&policy.path);
            let sha256 = policy.sha256.as_ref().and_then(|pin| self.pinned(pin, &source));
            policies.push(Policy {
                name: name.value,
                source,
                cases: policy.cases.as_ref().map(|path| self.file(path)),
                sha256,
                mode: policy.mode,
                canary,
                on_failure: policy.on_failure,
                grants: policy.grants,
                kv_space: policy.kv_space,
                users: values(policy.users),
                databases: values(policy.databases),
                clusters: values(policy.clusters),
                limits,
                settings,
            });
        }
        policies
    }

    /// A hash, which the component must have.
    fn pinned(&self, pin: &At<String>, source: &PolicySource) -> Option<String> {
        let wanted = pin.value.to_ascii_lowercase();
        if wanted.len() != 64 || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = "sha256: expected 64 hexadecimal digits, as sha256sum prints them";
            self.mistakes.add(pin.at, message);
            return None;
        }
        if let Err(message) = policies::pinned(&wanted, source) {
            self.mistakes.add(pin.at, message);
        }
        Some(wanted)
    }

    fn known(&self, names: &[At<String>], what: &str, known: &[&str], any: bool) {
        let unknown = |name: &&At<String>| !any && !known.contains(&name.value.as_str());
        for name in names.iter().filter(unknown) {
            let end = suggestion(&name.value, known);
            self.mistakes.add(name.at, format!("there is no {what} \"{}\"{end}", name.value));
        }
    }

    fn source(&self, path: &At<PathBuf>) -> PolicySource {
        if path.value == Path::new(BUILT_IN) {
            return PolicySource::BuiltIn;
        }
        PolicySource::File(self.file(path))
    }

    /// A file that must be there.
    fn file(&self, path: &At<PathBuf>) -> PathBuf {
        let full = self.surroundings.path(&path.value);
        match std::fs::metadata(&full) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => self.mistakes.add(path.at, format!("{} is not a file", full.display())),
            Err(error) => {
                self.mistakes.add(path.at, format!("cannot read {}: {error}", full.display()))
            }
        }
        full
    }
}
