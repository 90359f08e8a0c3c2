//! The program in a process of its own, and those that follow it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use crate::{PATIENCE, cache, cargo, wait};

/// The program, as people have it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // The build's own target folder, where it is mostly built already.
        let target = cache().with_file_name("");
        let mut cargo = cargo();
        cargo.args(["build", "--locked", "--quiet", "--package", "howdah"]);
        assert!(cargo.arg("--target-dir").arg(&target).status().unwrap().success());
        target.join("debug/howdah")
    })
}

/// A proxy that runs, with its configuration `howdah.toml` and the control socket `control` in a directory. All processes
/// that have followed it end when this is dropped.
pub struct Howdah {
    /// The process that was started first.
    pub child: Child,
    /// The directory.
    pub directory: tempfile::TempDir,
    /// Where clients of the first address go.
    pub port: u16,
    lines: Receiver<String>,
    /// Processes that have followed it.
    followers: Vec<u32>,
}

impl Howdah {
    /// Starts it with this configuration, in which `@DIR@` stands for the directory.
    pub fn start(text: &str) -> Howdah {
        Howdah::start_in(tempfile::tempdir().unwrap(), text, Command::new(program()), &[])
    }

    /// The same, in a directory, by another command in front of the arguments, with further arguments.
    pub fn start_in(
        directory: tempfile::TempDir,
        text: &str,
        mut command: Command,
        more: &[&str],
    ) -> Howdah {
        let path = directory.path().display().to_string();
        std::fs::write(directory.path().join("howdah.toml"), text.replace("@DIR@", &path)).unwrap();
        command.args(["run", "--config"]).arg(directory.path().join("howdah.toml")).args(more);
        command.env("HOWDAH_LOG", "info,howdah::worker::moving=debug").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Shown when the test fails.
                eprintln!("{line}");
                let _ = send.send(line);
            }
        });
        let mut howdah = Howdah { child, directory, port: 0, lines, followers: Vec::new() };
        let line = howdah.says("listening");
        let port = line.split("127.0.0.1:").nth(1).unwrap();
        howdah.port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
        howdah
    }

    /// Waits for a line of the log, of this process or one that has followed it.
    pub fn says(&mut self, words: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it does not say {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// What `howdah …` does when it is told where the control socket is.
    pub fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).arg("--socket").arg(self.directory.path().join("control"));
        command.output().unwrap()
    }

    /// Has another process take over, and returns its number.
    pub fn upgrade(&mut self) -> u32 {
        let output = self.ask(&["upgrade"]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}{errors}");
        let pid = told.split(' ').nth(1).unwrap().parse().unwrap();
        self.followers.push(pid);
        pid
    }

    /// A process has followed.
    pub fn followed_by(&mut self, pid: u32) {
        self.followers.push(pid);
    }

    /// Waits until the first process has ended, and checks that it has ended well.
    pub fn first_ends(&mut self) {
        wait("the first process to end", || self.child.try_wait().unwrap().is_some());
        assert!(self.child.wait().unwrap().success());
    }

    /// Whether the first process runs.
    pub fn first_runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

/// Sends a signal to a process.
pub fn signal(name: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-s", name, &pid.to_string()]).stderr(Stdio::null());
    kill.status().unwrap().success()
}

impl Drop for Howdah {
    fn drop(&mut self) {
        // They may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in &self.followers {
            signal("KILL", *pid);
        }
    }
}
