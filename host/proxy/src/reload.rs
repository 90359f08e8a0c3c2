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

    /// Something has happened that may have changed a file. Without a watcher nobody ever says so.
    async fn notice(&mut self) {
        if self.touched.recv().await.is_none() {
            std::future::pending().await
        }
    }

    /// Returns when a file is not the one that it was, and has settled. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            // With or without a notice.
            let _ = timeout(LOOK, self.notice()).await;
            while timeout(SETTLED, self.notice()).await.is_ok() {}
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
    let done = changed(source, key.as_ref()).and_then(|changed| {
        let new = load(&changed)?;
        if let Some((key, Some(_))) = key
            && !later(&proxy.shared.config.load(), &new).is_empty()
        {
            return Err(vec![format!("{key} changes only with a restart")]);
        }
        put_in_force(proxy, new)?;
        Ok(changed)
    });
    let done = done.map(|changed| *source = changed);
    if let Err(lines) = &done {
        complain(lines);
    }
    // The operator may have gone.
    let _ = tell.send(done);
}

/// The source with a key set, or not any more.
fn changed(source: &Source, key: Option<&(String, Option<String>)>) -> Result<Source, Vec<String>> {
    let mut changed = source.clone();
    match key {
        None => {}
        Some((key, None)) => {
            let set = changed.set.remove(key);
            set.ok_or_else(|| vec![format!("{key} has not been set")])?;
        }
        Some(_) if changed.file().is_none() => {
            let why = "there is no configuration file whose keys could be changed";
            return Err(vec![why.to_owned()]);
        }
        Some(_) if changed.set.len() >= MAX_SET => {
            return Err(vec!["too many keys have been set".to_owned()]);
        }
        Some((key, Some(value))) => drop(changed.set.insert(key.clone(), value.clone())),
    }
    Ok(changed)
}

fn load(source: &Source) -> Result<Config, Vec<String>> {
    source.load().map_err(|mistakes| lines(&mistakes))
}

/// What differs, and waits for a restart.
fn later(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut later = Config::restart_needed(old, new);
    if with_renewed_tls(&old.clusters, &new.clusters) != new.clusters {
        later.push("cluster");
    }
    later
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
    if let Err(lines) = load(source).and_then(|new| put_in_force(proxy, new)) {
        complain(&lines);
    }
}

/// From now on this configuration holds, but for what waits for a restart.
fn put_in_force(proxy: &Proxy, mut new: Config) -> Result<(), Vec<String>> {
    let old = proxy.shared.config.load_full();
    if *old == new {
        return Ok(());
    }
    let later = later(&old, &new);
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
    new.clusters = with_renewed_tls(&old.clusters, &new.clusters);
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

    #[tokio::test(start_paused = true)]
    async fn files_that_cannot_be_watched_are_looked_at_now_and_then() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("howdah.toml");
        std::fs::write(&file, "a").unwrap();
        let seen = look([file.as_path()].into_iter());
        let mut files = Files { seen, touched: mpsc::channel(1).1, _watcher: None };
        assert!(timeout(LOOK * 10, files.notice()).await.is_err(), "nobody notices anything");
        std::fs::write(&file, "other").unwrap();
        let began = tokio::time::Instant::now();
        files.changed().await;
        assert!(began.elapsed() >= LOOK);
    }

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
