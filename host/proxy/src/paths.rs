//! Where watched files are, and whether they are still the same.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// A file that has not changed for this long is taken to be complete: editors write in several steps.
pub(crate) const SETTLED: Duration = Duration::from_millis(100);
/// Between two looks at watched files though nothing was noticed: network file systems tell nothing, and a directory that
/// was removed and made again is not the one that is watched.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// Links that are followed along one path; the system follows 40 (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What tells one state of a file from another without reading it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Device and number: another file of the same name differs, even when it has the same size and time.
    file: (u64, u64),
    size: u64,
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds of the last change of contents, name or owner.
    changed: (i64, i64),
}

impl Stamp {
    /// None: there is no such file.
    pub(crate) fn of(path: &Path) -> Option<Stamp> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Stamp {
            file: (meta.dev(), meta.ino()),
            size: meta.len(),
            modified: meta.modified().ok(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// Calls `touched` whenever something happens that may give one of these paths another file, until it is dropped: editors
/// and deployments replace files and links rather than write into them. A directory that cannot be watched is left out.
pub(crate) fn watcher<'a>(
    paths: impl Iterator<Item = &'a Path>,
    touched: impl Fn() + Send + 'static,
) -> notify::Result<RecommendedWatcher> {
    let notice = move |event: notify::Result<notify::Event>| {
        let read_only = matches!(&event, Ok(event) if event.kind.is_access());
        if !read_only {
            touched();
        }
    };
    let mut watcher = notify::recommended_watcher(notice)?;
    for directory in directories(paths) {
        if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
            tracing::debug!(directory = %directory.display(), %error, "cannot be watched for new files");
        }
    }
    Ok(watcher)
}

/// The directories in which a change may give one of these paths another file: that of the file, and that of each
/// symbolic link on the way to it.
fn directories<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for path in paths {
        let mut links = MAX_LINKS;
        follow(path, &mut links, &mut found);
    }
    found
}

fn follow(path: &Path, links: &mut usize, found: &mut BTreeSet<PathBuf>) {
    found.insert(parent(path));
    let mut walked = PathBuf::new();
    for component in path.components() {
        walked.push(component);
        if let Ok(target) = std::fs::read_link(&walked)
            && *links > 0
        {
            *links -= 1;
            found.insert(parent(&walked));
            follow(&parent(&walked).join(target), links, found);
        }
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/1")).unwrap();
        std::fs::write(root.join("releases/1/router.wasm"), "").unwrap();
        symlink("releases/1", root.join("current")).unwrap();
        std::fs::create_dir(root.join("etc")).unwrap();
        symlink(root.join("current/router.wasm"), root.join("etc/router.wasm")).unwrap();
        let path = root.join("etc/router.wasm");
        let found = directories([path.as_path()].into_iter());
        for expected in ["etc", "", "current"] {
            assert!(found.contains(&root.join(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn a_circle_of_links_ends() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert!(directories([a.as_path()].into_iter()).contains(directory.path()));
        assert_eq!(Stamp::of(&a), None);
    }
}
