//! PostgreSQL refuses to run as root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Who runs the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum User {
    /// We, who are not root.
    Ourselves,
    /// An unprivileged user, as we are root.
    Other { uid: u32, gid: u32 },
}

impl User {
    pub(crate) fn choose() -> Result<User> {
        if !rustix::process::geteuid().is_root() {
            return Ok(User::Ourselves);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
        let find = |name: &str| {
            let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(User::Other {
                uid: fields.next()?.parse().ok()?,
                gid: fields.next()?.parse().ok()?,
            })
        };
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| find(name))
            .context("PostgreSQL does not run as root, and there is no user postgres or nobody")
    }

    /// A command that this user runs.
    pub(crate) fn command(self, program: impl AsRef<std::ffi::OsStr>, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).env("LC_ALL", "C").env_remove("PGDATA");
        if let User::Other { uid, gid } = self {
            // The standard library drops supplementary groups when root sets the uid.
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives a file or directory to this user.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        if let User::Other { uid, gid } = self {
            chown(path, Some(uid), Some(gid)).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}
