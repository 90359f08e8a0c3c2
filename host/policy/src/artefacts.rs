//! Compiled components on disk, so that a restart does not compile them again.
//!
//! Machine code that is read from here runs in this process, and nothing can tell good code from bad. What makes it
//! safe is that nobody can put a file here who could not do as he likes with this process anyway: the directory and the
//! files belong to the user of the process and are writable by nobody else. That is verified on what has been opened,
//! not on names, and links are not followed. A sum guards against files that were cut off or have rotted; whether the
//! code is for this engine, wasmtime checks by itself.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::shortcut;

/// Largest file that is read: machine code is some times larger than the component, of which 64 MiB are allowed.
const MAX_SIZE: u64 = 1 << 30;
/// Length of the sum before the code.
const SUM: usize = 32;

/// A directory of compiled components that only this user can write.
pub(crate) struct Artefacts {
    directory: OwnedFd,
    /// When there are more files, the oldest go.
    most: usize,
}

impl Artefacts {
    /// Opens the directory, and makes it when it is not there. The error is for people.
    pub(crate) fn open(path: &Path, most: usize) -> Result<Artefacts, String> {
        let failed = |error: Errno| format!("{}: {error}", path.display());
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        if !private(&directory, FileType::Directory).map_err(failed)? {
            let path = path.display();
            return Err(format!(
                "{path}: it must belong to the user that runs howdah, and be closed to others: chmod 700 {path}"
            ));
        }
        Ok(Artefacts { directory, most })
    }

    /// What was kept of a component, if it is sound.
    pub(crate) fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = name(engine, sha256);
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty()).ok()?;
        if !private(&file, FileType::RegularFile).ok()? {
            tracing::warn!(sha256, "a compiled policy is not this user's alone; it is not used");
            return None;
        }
        let mut bytes = Vec::new();
        File::from(file).take(MAX_SIZE).read_to_end(&mut bytes).ok()?;
        let (sum, code) = bytes.split_at_checked(SUM)?;
        if *sum != *Sha256::digest(code) {
            return None;
        }
        load_code(engine, code)
    }

    /// Keeps a component. That it cannot be kept costs time at the next start, and nothing else.
    pub(crate) fn keep(&self, engine: &Engine, sha256: &str, component: &Component) {
        let kept = component.serialize().map_err(|error| format!("{error:#}")).and_then(|code| {
            self.write(&name(engine, sha256), &code).map_err(|error| error.to_string())
        });
        if let Err(error) = kept {
            tracing::warn!(sha256, error, "a compiled policy was not kept");
        }
        self.tidy();
    }

    /// Writes a file under another name first, so that no reader sees a part of it.
    fn write(&self, name: &str, code: &[u8]) -> std::io::Result<()> {
        let aside = format!("{name}.{}", std::process::id());
        // Of a process that had this number and was killed.
        let _ = rustix::fs::unlinkat(&self.directory, &aside, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, &aside, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        rustix::fs::renameat(&self.directory, &aside, &self.directory, name)?;
        Ok(())
    }

    /// Removes the oldest files.
    fn tidy(&self) {
        let Ok(entries) = Dir::read_from(&self.directory) else { return };
        let mut files: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().to_owned();
                let stat = rustix::fs::statat(&self.directory, &name, AtFlags::SYMLINK_NOFOLLOW);
                let stat = stat.ok().filter(|stat| {
                    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                })?;
                Some(((stat.st_mtime, stat.st_mtime_nsec), name))
            })
            .collect();
        files.sort();
        let surplus = files.len().saturating_sub(self.most);
        for (_, name) in files.into_iter().take(surplus) {
            // Another process may have been quicker.
            let _ = rustix::fs::unlinkat(&self.directory, name, AtFlags::empty());
        }
    }
}

/// Whether something is what it should be, belongs to the user of the process, and is closed to all others.
fn private(fd: &OwnedFd, kind: FileType) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(fd)?;
    let others = Mode::RWXG | Mode::RWXO;
    Ok(FileType::from_raw_mode(stat.st_mode) == kind
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && !Mode::from_raw_mode(stat.st_mode).intersects(others))
}

/// The name of a file: what was compiled, and for which engine.
fn name(engine: &Engine, sha256: &str) -> String {
    let mut hasher = DefaultHasher::new();
    shortcut::VERSION.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{sha256}-{:016x}", hasher.finish())
}

#[allow(unsafe_code)]
fn load_code(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: the code must be what `Component::serialize` gave. Only the user of this process can have written the file
    // (`private`, on the file that was read, in a directory of which the same holds), this program writes nothing else
    // under such a name, and the sum tells that nothing was lost since. A user who wants to run other code in his own
    // process can do that without us, as he can replace the program.
    unsafe { Component::deserialize(engine, code) }.ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;
    use crate::engine::engine;

    /// Few enough to be made quickly.
    const MOST: usize = 4;
    /// The smallest component.
    const NOTHING: &[u8] = b"\0asm\x0d\0\x01\0";

    struct House {
        directory: tempfile::TempDir,
        engine: Engine,
        artefacts: Artefacts,
    }

    impl House {
        /// A directory in which the component "a" is kept.
        fn new() -> House {
            let directory = tempfile::tempdir().unwrap();
            let artefacts = Artefacts::open(&directory.path().join("kept"), MOST).unwrap();
            let engine = engine().unwrap();
            let component = Component::new(&engine, NOTHING).unwrap();
            artefacts.keep(&engine, "a", &component);
            House { directory, engine, artefacts }
        }

        fn file(&self) -> PathBuf {
            self.directory.path().join("kept").join(name(&self.engine, "a"))
        }

        fn loads(&self, sha256: &str) -> bool {
            self.artefacts.load(&self.engine, sha256).is_some()
        }
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_was_kept_is_loaded() {
        let house = House::new();
        assert!(house.loads("a"));
        assert!(!house.loads("b"));
        let meta = std::fs::metadata(house.file()).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_damaged_is_not_loaded() {
        let house = House::new();
        let sound = std::fs::read(house.file()).unwrap();
        for at in [0, SUM, sound.len() / 2, sound.len() - 1] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            std::fs::write(house.file(), &bytes).unwrap();
            assert!(!house.loads("a"), "byte {at}");
        }
        for length in [0, SUM - 1, SUM, sound.len() - 1] {
            std::fs::write(house.file(), &sound[..length]).unwrap();
            assert!(!house.loads("a"), "{length} bytes");
        }
        std::fs::write(house.file(), &sound).unwrap();
        assert!(house.loads("a"));
    }

    #[test]
    fn what_others_may_have_written_is_not_loaded() {
        let house = House::new();
        for open in [0o620, 0o602, 0o640] {
            mode(&house.file(), open);
            assert!(!house.loads("a"), "{open:o}");
        }
        mode(&house.file(), 0o600);
        assert!(house.loads("a"));
        let elsewhere = house.directory.path().join("elsewhere");
        std::fs::rename(house.file(), &elsewhere).unwrap();
        symlink(&elsewhere, house.file()).unwrap();
        assert!(!house.loads("a"), "a link");
    }

    #[test]
    fn a_directory_of_others_is_refused() {
        let house = House::new();
        let kept = house.directory.path().join("kept");
        mode(&kept, 0o750);
        assert!(Artefacts::open(&kept, MOST).err().unwrap().contains("chmod 700"));
        mode(&kept, 0o700);
        assert!(Artefacts::open(&kept, MOST).is_ok());
        let link = house.directory.path().join("link");
        symlink(&kept, &link).unwrap();
        assert!(Artefacts::open(&link, MOST).is_err());
        // Root's, unless the tests run as root: then there is no other user to be had.
        if !rustix::process::geteuid().is_root() {
            assert!(Artefacts::open(Path::new("/"), MOST).is_err());
        }
    }

    #[test]
    fn the_oldest_go() {
        let house = House::new();
        let component = Component::new(&house.engine, NOTHING).unwrap();
        for i in 0..MOST {
            house.artefacts.keep(&house.engine, &format!("{i}"), &component);
        }
        assert!(!house.loads("a"));
        assert!(house.loads("0") && house.loads(&format!("{}", MOST - 1)));
    }
}
