#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use howdah_policy::{Options, PolicyStatus, sha256};
use tempfile::TempDir;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::*;
use crate::config::Policy;
use crate::policies::READ_WRITE_SPLIT;

/// The same policy in another component: it has one more custom section.
fn version(number: u8) -> Vec<u8> {
    [READ_WRITE_SPLIT, &[0, 3, 1, b'v', number]].concat()
}

/// Two policies in files, `a.wasm` and `b.wasm`, which are watched.
struct House {
    directory: TempDir,
    registry: Arc<Registry>,
    swapper: Swapper,
}

fn files(directory: &Path) -> Vec<PolicyFile> {
    let file = |name: &str| Policy {
        name: name.to_owned(),
        source: PolicySource::File(directory.join(format!("{name}.wasm"))),
        cases: Some(directory.join(format!("{name}.toml"))).filter(|cases| cases.exists()),
        ..Policy::default()
    };
    [file("a"), file("b")].iter().map(crate::policies::file).collect()
}

fn registry() -> Arc<Registry> {
    Registry::new(Options { workers: 1 }).unwrap()
}

impl House {
    fn new() -> House {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.wasm", "b.wasm"] {
            std::fs::write(directory.path().join(name), version(1)).unwrap();
        }
        House::of(directory)
    }

    fn of(directory: TempDir) -> House {
        let registry = registry();
        let swapper = start(Arc::clone(&registry)).unwrap();
        swapper.replace(files(directory.path())).unwrap();
        House { directory, registry, swapper }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file as careful programs do.
    fn rename(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path("new"), content).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn status(&self, i: usize) -> PolicyStatus {
        self.registry.status().remove(i)
    }

    fn wait_version(&self, i: usize, number: u8) {
        let wanted = sha256(&version(number));
        wait(&format!("version {number} of policy {i}"), || self.status(i).sha256 == wanted);
    }

    /// When this returns, everything that happened before has been looked at: the other file was replaced after it.
    fn wait_looked(&self, number: u8) {
        self.rename("b.wasm", &version(number));
        self.wait_version(1, number);
    }
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_renamed_file_comes_in() {
    let house = House::new();
    house.rename("a.wasm", &version(2));
    house.wait_version(0, 2);
    assert_eq!(house.status(0).previous, Some(sha256(&version(1))));
}

#[test]
fn the_same_content_changes_nothing() {
    let house = House::new();
    let generation = house.registry.generation();
    house.rename("a.wasm", &version(1));
    house.wait_looked(2);
    assert_eq!(house.registry.generation(), generation + 1, "that of the other policy");
}

#[test]
fn a_file_that_is_being_written_is_waited_for() {
    let house = House::new();
    let new = version(2);
    let mut file = std::fs::File::create(house.path("a.wasm")).unwrap();
    let mut pieces = new.chunks(new.len() / 50);
    wait("the last piece", || {
        let status = house.status(0);
        assert_eq!(status.refused, None, "half a file was taken for a policy");
        assert_eq!(status.sha256, sha256(&version(1)));
        pieces.next().is_none_or(|piece| {
            file.write_all(piece).unwrap();
            false
        })
    });
    house.wait_version(0, 2);
}

#[test]
fn a_bad_file_is_told_of_and_hinders_no_other() {
    let house = House::new();
    house.rename("a.wasm", b"\0asm garbage");
    wait("a complaint", || house.status(0).refused.is_some());
    house.wait_looked(2);
    assert_eq!(house.status(0).sha256, sha256(&version(1)));
    // What was there before is fine again.
    house.rename("a.wasm", &version(1));
    wait("peace", || house.status(0).refused.is_none());
}

#[test]
fn a_deleted_file_leaves_its_policy_in_force() {
    let house = House::new();
    std::fs::remove_file(house.path("a.wasm")).unwrap();
    wait("a complaint", || {
        house.status(0).refused.is_some_and(|why| why.contains("cannot be read"))
    });
    house.wait_looked(2);
    assert_eq!(house.status(0).sha256, sha256(&version(1)));
    house.rename("a.wasm", &version(3));
    house.wait_version(0, 3);
    wait("peace", || house.status(0).refused.is_none());
}

/// Counts errors.
struct Errors(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::ERROR {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn what_is_wrong_is_logged_once() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.wasm", "b.wasm"] {
        std::fs::write(directory.path().join(name), version(1)).unwrap();
    }
    let (touched, _inbox) = channel();
    let (policies, stamps) = (Vec::new(), Vec::new());
    let (registry, passed) = (registry(), RefCell::default());
    let mut thread = Thread { registry, touched, policies, stamps, watcher: None, passed };
    thread.replace(files(directory.path())).unwrap();
    let errors = Arc::new(AtomicUsize::new(0));
    let log = tracing_subscriber::registry().with(Errors(Arc::clone(&errors)));
    tracing::subscriber::with_default(log, || {
        std::fs::remove_file(directory.path().join("a.wasm")).unwrap();
        for _ in 0..3 {
            thread.look(0);
        }
        assert_eq!(errors.load(Ordering::SeqCst), 1);
        std::fs::write(directory.path().join("a.wasm"), "\0asm garbage").unwrap();
        for _ in 0..3 {
            thread.look(0);
        }
        assert_eq!(errors.load(Ordering::SeqCst), 2);
    });
}

/// Kubernetes makes a volume of a ConfigMap of links: `a.wasm` leads to `..data/a.wasm`, and `..data` to a directory
/// with a date in its name. An update makes another directory, swaps `..data` by a rename, and removes the old one.
#[test]
fn a_swapped_directory_link_comes_in() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let make = |name: &str, number: u8| {
        std::fs::create_dir(root.join(name)).unwrap();
        for file in ["a.wasm", "b.wasm"] {
            std::fs::write(root.join(name).join(file), version(number)).unwrap();
        }
    };
    make("..2026_1", 1);
    symlink("..2026_1", root.join("..data")).unwrap();
    for file in ["a.wasm", "b.wasm"] {
        symlink(Path::new("..data").join(file), root.join(file)).unwrap();
    }
    let house = House::of(directory);
    for number in 2..4 {
        let name = format!("..2026_{number}");
        make(&name, number);
        symlink(&name, root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        std::fs::remove_dir_all(root.join(format!("..2026_{}", number - 1))).unwrap();
        house.wait_version(0, number);
        house.wait_version(1, number);
        assert_eq!(house.status(0).refused, None);
    }
}

#[test]
fn a_directory_that_is_made_anew_is_found() {
    let house = House::new();
    let directory = house.directory.path();
    let aside = directory.with_extension("aside");
    std::fs::rename(directory, &aside).unwrap();
    wait("a complaint", || house.status(0).refused.is_some());
    std::fs::create_dir(directory).unwrap();
    for name in ["a.wasm", "b.wasm"] {
        std::fs::write(house.path(name), version(2)).unwrap();
    }
    house.wait_version(0, 2);
    std::fs::remove_dir_all(aside).unwrap();
}

#[test]
fn what_was_rolled_back_stays_out_until_its_content_changes() {
    let house = House::new();
    house.rename("a.wasm", &version(2));
    house.wait_version(0, 2);
    house.registry.rollback("a").unwrap();
    house.rename("a.wasm", &version(2));
    house.wait_looked(2);
    assert_eq!(house.status(0).sha256, sha256(&version(1)));
    assert_eq!(house.status(0).rolled_back, Some(sha256(&version(2))));
    house.rename("a.wasm", &version(3));
    house.wait_version(0, 3);
    assert_eq!(house.status(0).rolled_back, None);
}

#[test]
fn nothing_is_left_when_nobody_swaps_policies_any_more() {
    let House { directory: _directory, registry, swapper } = House::new();
    let left = Arc::downgrade(&registry);
    drop((registry, swapper));
    wait("the end of all", || left.upgrade().is_none());
}

/// A case that the built-in policy passes, or not.
fn case(expect: &str) -> String {
    format!("[[case]]\nname = \"a deletion\"\nsql = \"DELETE FROM t\"\nexpect = \"{expect}\"\n")
}

/// Two policies, of which the first has a case that it passes.
fn house_with_a_case() -> House {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.wasm", "b.wasm"] {
        std::fs::write(directory.path().join(name), version(1)).unwrap();
    }
    std::fs::write(directory.path().join("a.toml"), case("primary")).unwrap();
    House::of(directory)
}

fn wait_complaint(house: &House, about: &str) {
    wait("a complaint", || house.status(0).refused.is_some_and(|why| why.contains(about)));
}

#[test]
fn cases_that_change_alone_are_asked_and_put_nobody_out() {
    let house = house_with_a_case();
    let generation = house.registry.generation();
    let failing = "line 1, \"a deletion\": expected replica, got primary";
    house.rename("a.toml", case("replica").as_bytes());
    wait_complaint(&house, failing);
    // Nor does a reload.
    house.swapper.replace(files(house.directory.path())).unwrap();
    wait_complaint(&house, failing);
    house.rename("a.toml", case("primary").as_bytes());
    wait("peace", || house.status(0).refused.is_none());
    std::fs::remove_file(house.path("a.toml")).unwrap();
    wait_complaint(&house, "cannot be read");
    assert_eq!(house.registry.generation(), generation);
    assert_eq!(house.status(0).sha256, sha256(&version(1)));
}

#[test]
fn a_version_that_failed_comes_in_when_its_cases_are_mended() {
    let house = house_with_a_case();
    house.rename("a.toml", case("replica").as_bytes());
    wait_complaint(&house, "expected replica");
    house.rename("a.wasm", &version(2));
    house.wait_looked(2);
    assert_eq!(house.status(0).sha256, sha256(&version(1)));
    house.rename("a.toml", case("primary").as_bytes());
    house.wait_version(0, 2);
    wait("peace", || house.status(0).refused.is_none());
}
