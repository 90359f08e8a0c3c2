//! What the Rust scripts share: how the outcome of a check is told.

use std::fmt::Debug;
use std::process::exit;

use anyhow::{Result, ensure};

/// The outcomes so far.
#[derive(Default)]
pub struct Outcomes {
    failed: bool,
}

impl Outcomes {
    /// Tells that of one check.
    pub fn tell(&mut self, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => println!("ok {name}"),
            Err(error) => {
                self.failed = true;
                println!("not ok {name}: {}", format!("{error:#}").replace('\n', " "));
            }
        }
    }

    /// Ends the program.
    pub fn end(self) -> ! {
        exit(i32::from(self.failed))
    }
}

/// Tells which driver follows, and its version by the lock file.
pub fn introduce(driver: &str) {
    let mut lines = include_str!("../Cargo.lock").lines();
    lines.find(|line| *line == format!("name = \"{driver}\""));
    let version = lines.next().unwrap_or_default().trim_start_matches("version = ");
    println!("# {driver} {}", version.trim_matches('"'));
}

/// Fails unless both are the same.
pub fn equal<T: PartialEq<U> + Debug, U: Debug>(found: T, expected: U) -> Result<()> {
    ensure!(found == expected, "found {found:?}, expected {expected:?}");
    Ok(())
}
