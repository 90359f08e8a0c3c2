//! Reading the configuration again: on demand, and when one of its files changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use notify::RecommendedWatcher;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::config::{Cluster, Config, MAX_SET, Source};
use crate::paths::{self, LOOK, SETTLED, Stamp};
use crate::policies;
use crate::run::Proxy;

/// The files that a configuration was read from.
pub struct Files {
    /// What each was when it was looked at last.
    seen: BTreeMap<PathBuf, Option<Stamp>>,
    touched: mpsc::Receiver<()>,
    /// Ends when it is dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl Files {
    /// Watches the file itself, and the certificates and keys that it names, of which several may be one file.
    pub fn watch(source: &Source, config: &Config) -> Files {
        let seen = look(source.file().into_iter().chain(config.tls_files()));
        let (touch, touched) = mpsc::channel(1);
        let watcher = paths::watcher(seen.keys().map(PathBuf::as_path), move || {
            // One notice that waits is enough.
            let _ = touch.try_send(());
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "the configuration is not watched all the time");
        });
        Files { seen, touched, _watcher: watcher.ok() }
    }

    /// Watches what another configuration names. What has changed since it was read is still news.
    pub fn follow(&mut self, source: &Source, config: &Config) {
        let mut new = Files::watch(source, config);
        for (path, stamp) in &mut new.seen {
            if let Some(known) = self.seen.remove(path) {
                *stamp = known;
            }
        }
        *self = new;
    }

    /// Returns when a file is not the one that it was, and has settled. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            // With or without a notice.
            let _ = timeout(LOOK, self.touched.recv()).await;
            while let Ok(Some(())) = timeout(SETTLED, self.touched.recv()).await {}
            let found = look(self.seen.keys().map(PathBuf::as_path));
            if found != self.seen {
                self.seen = found;
                return;
            }
        }
    }
}

fn look<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeMap<PathBuf, Option<Stamp>> {
    paths.map(|path| (path.to_owned(), Stamp::of(path))).collect()
}

/// A change of the configuration that an operator wants.
pub(crate) struct Change {
    /// A key and its value, none for the file's; without any the file is read again.
    pub(crate) key: Option<(String, Option<String>)>,
    /// Where the operator is told what is wrong with it.
    pub(crate) tell: oneshot::Sender<Result<(), Vec<String>>>,
}

/// Makes a change of a configuration. Anything wrong: everything stays as it was.
pub(crate) fn change(proxy: &Proxy, source: &mut Source, change: Change) {
    let Change { key, tell } = change;
    let mut changed = source.clone();
    let done = match key {
        None => Ok(()),
        Some((key, None)) => match changed.set.remove(&key) {
            Some(_) => Ok(()),
            None => Err(vec![format!("{key} has not been set")]),
        },
        Some(_) if changed.file().is_none() => {
            Err(vec!["there is no configuration file whose keys could be changed".to_owned()])
        }
        Some(_) if changed.set.len() >= MAX_SET => {
            Err(vec!["too many keys have been set".to_owned()])
        }
        Some((key, Some(value))) => may_change(proxy, &mut changed, key, value),
    };
    let done = done.and_then(|()| take(proxy, &changed));
    match &done {
        Ok(()) => *source = changed,
        Err(lines) => complain(lines),
    }
    // The operator may have gone.
    let _ = tell.send(done);
}

/// Notes a key, if it is one that can change now.
fn may_change(
    proxy: &Proxy,
    source: &mut Source,
    key: String,
    value: String,
) -> Result<(), Vec<String>> {
    source.set.insert(key.clone(), value);
    let new = source.load().map_err(|mistakes| lines(&mistakes))?;
    let old = proxy.shared.config.load_full();
    let later = Config::restart_needed(&old, &new);
    if !later.is_empty() || with_renewed_tls(&old.clusters, &new.clusters) != new.clusters {
        return Err(vec![format!("{key} changes only with a restart")]);
    }
    Ok(())
}

fn lines<T: ToString>(mistakes: &[T]) -> Vec<String> {
    mistakes.iter().map(ToString::to_string).collect()
}

fn complain(lines: &[String]) {
    for line in lines {
        tracing::error!("{line}");
    }
    tracing::error!("the configuration was not reloaded; the old one stays");
}

/// Reads the configuration again. Anything wrong: the old one stays.
pub fn reload(proxy: &Proxy, source: &Source) {
    if let Err(lines) = take(proxy, source) {
        complain(&lines);
    }
}

/// Reads the configuration again, and puts it in force.
fn take(proxy: &Proxy, source: &Source) -> Result<(), Vec<String>> {
    let mut new = source.load().map_err(|mistakes| lines(&mistakes))?;
    let old = proxy.shared.config.load_full();
    if *old == new {
        return Ok(());
    }
    let mut later = Config::restart_needed(&old, &new);
    let clusters = with_renewed_tls(&old.clusters, &new.clusters);
    if clusters != new.clusters {
        later.push("cluster");
    }
    if !later.is_empty() {
        tracing::warn!(settings = later.join(", "), "these settings change only with a restart");
    }
    for warning in &new.warnings {
        tracing::warn!("{warning}");
    }
    if old.policies != new.policies {
        proxy.swapper.replace(policies::files(&new)).map_err(|errors| lines(&errors))?;
    }
    if let Err(error) = crate::logging::set_level(&new.log) {
        tracing::warn!(%error, "the level of the log was not changed");
    }
    new.listen.clone_from(&old.listen);
    new.reuse_port = old.reuse_port;
    new.clusters = clusters;
    new.control.clone_from(&old.control);
    new.compiled_policies.clone_from(&old.compiled_policies);
    new.workers = old.workers;
    new.traces.clone_from(&old.traces);
    new.kv.clone_from(&old.kv);
    proxy.shared.reconfigure(new);
    tracing::info!("configuration reloaded");
    Ok(())
}

/// Clusters as they were, but for the encryption to their servers.
fn with_renewed_tls(old: &[Cluster], new: &[Cluster]) -> Vec<Cluster> {
    let renewed = |cluster: &Cluster| {
        let now = new.iter().find(|now| now.name == cluster.name);
        Cluster { tls: now.map_or(&cluster.tls, |now| &now.tls).clone(), ..cluster.clone() }
    };
    old.iter().map(renewed).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Origin;

    #[test]
    fn a_certificate_and_its_key_may_be_one_file() {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let both = made.cert.pem() + &made.signing_key.serialize_pem();
        std::fs::write(directory.path().join("both.pem"), both).unwrap();
        let file = directory.path().join("howdah.toml");
        let text = "[cluster.main]\nnodes = [\"a\"]\n[tls]\ncert_file = \"both.pem\"\nkey_file = \"both.pem\"\n";
        std::fs::write(&file, text).unwrap();
        let source = Source::of(Origin::File(file));
        let config = source.load().unwrap();
        let mut files = Files::watch(&source, &config);
        files.follow(&source, &config);
        let found = look(files.seen.keys().map(PathBuf::as_path));
        assert_eq!(found.len(), 2);
        assert_eq!(files.seen, found, "nothing has changed");
    }
}
