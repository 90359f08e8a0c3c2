//! Reading the configuration again: on demand, and when one of its files changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::{Config, Source};
use crate::paths::{self, Stamp};
use crate::policies;
use crate::run::Proxy;

/// Files are read when nothing has happened to them for this long: editors write in several steps.
const SETTLED: Duration = Duration::from_millis(100);
/// Between two looks though nothing was noticed: network file systems tell nothing.
const LOOK: Duration = Duration::from_secs(5);

/// The files that a configuration was read from, as they are.
pub struct Files {
    paths: Vec<PathBuf>,
    stamps: Vec<Option<Stamp>>,
    touched: mpsc::Receiver<()>,
    /// Ends when it is dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl Files {
    /// Watches the file itself, and the certificate and key that it names.
    pub fn watch(source: &Source, config: &Config) -> Files {
        let certificates = config.tls.iter().flat_map(|tls| [&*tls.cert_file, &*tls.key_file]);
        let paths: Vec<PathBuf> =
            source.file().into_iter().chain(certificates).map(Path::to_owned).collect();
        let (touch, touched) = mpsc::channel(1);
        let watcher = watcher(&paths, touch)
            .inspect_err(|error| {
                tracing::warn!(%error, "the configuration is not watched all the time");
            })
            .ok();
        Files { stamps: stamps(&paths), paths, touched, _watcher: watcher }
    }

    /// Watches what another configuration names. What has changed since it was read is still news.
    pub fn follow(&mut self, source: &Source, config: &Config) {
        let mut new = Files::watch(source, config);
        for (path, stamp) in new.paths.iter().zip(&mut new.stamps) {
            if let Some(known) = self.paths.iter().position(|known| known == path) {
                *stamp = self.stamps[known].take();
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
            let found = stamps(&self.paths);
            if found != self.stamps {
                self.stamps = found;
                return;
            }
        }
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| Stamp::of(path)).collect()
}

fn watcher(paths: &[PathBuf], touch: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let notice = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // One notice that waits is enough.
            let _ = touch.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(notice)?;
    for directory in paths::directories(paths.iter().map(PathBuf::as_path)) {
        watcher.watch(&directory, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Reads the configuration again. Anything wrong: the old one stays.
pub fn reload(proxy: &Proxy, source: &Source) {
    let mut new = match source.load() {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in mistakes {
                tracing::error!("{mistake}");
            }
            tracing::error!("the configuration was not reloaded; the old one stays");
            return;
        }
    };
    let old = proxy.shared.config.load_full();
    if *old == new {
        return;
    }
    let mut later = Config::restart_needed(&old, &new);
    if old.clusters != new.clusters {
        later.push("cluster");
    }
    if !later.is_empty() {
        tracing::warn!(settings = later.join(", "), "these settings change only with a restart");
    }
    for warning in &new.warnings {
        tracing::warn!("{warning}");
    }
    if old.policies != new.policies
        && let Err(errors) = proxy.swapper.replace(policies::files(&new))
    {
        for error in errors {
            tracing::error!("{error}");
        }
        tracing::error!("the configuration was not reloaded; the old one stays");
        return;
    }
    if let Err(error) = crate::logging::set_level(&new.log) {
        tracing::warn!(%error, "the level of the log was not changed");
    }
    new.listen.clone_from(&old.listen);
    new.clusters.clone_from(&old.clusters);
    new.control.clone_from(&old.control);
    new.compiled_policies.clone_from(&old.compiled_policies);
    new.workers = old.workers;
    new.kv.clone_from(&old.kv);
    proxy.shared.reconfigure(new);
    tracing::info!("configuration reloaded");
}
