//! The process, as Linux knows it (proc(5)). Elsewhere there is nothing to tell.

use std::fs::{read_dir, read_to_string};

use super::catalogue as metrics;
use super::family::Family;
use crate::worker::Census;

/// Fields of `/proc/self/stat` behind the name, which is in brackets; the start is counted since boot.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const START: usize = 19;
/// Clock ticks per second: a part of the interface on all machines that policies can be compiled for (param.h, `USER_HZ`).
const TICKS: f64 = 100.0;

pub(super) fn families(census: &[Census]) -> Vec<Family> {
    let mut info = Family::of(&metrics::BUILD_INFO);
    info.add(&[env!("CARGO_PKG_VERSION")], true);
    let mut memory = Family::of(&metrics::RESIDENT_MEMORY);
    let mut cpu = Family::of(&metrics::CPU);
    let mut descriptors = Family::of(&metrics::OPEN_FDS);
    let mut most = Family::of(&metrics::MAX_FDS);
    let mut start = Family::of(&metrics::START_TIME);
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    if let (Some(user), Some(system)) = (field(&stat, USER_TIME), field(&stat, SYSTEM_TIME)) {
        cpu.add(&[], (user + system) as f64 / TICKS);
    }
    if let Some(bytes) = resident_memory() {
        memory.add(&[], bytes);
    }
    if let (Some(since_boot), Some(boot)) = (field(&stat, START), line("/proc/stat", "btime")) {
        start.add(&[], boot as f64 + since_boot as f64 / TICKS);
    }
    if let Ok(open) = read_dir("/proc/self/fd") {
        descriptors.add(&[], open.count() as u64);
    }
    if let Some(soft) = line("/proc/self/limits", "Max open files") {
        most.add(&[], soft);
    }
    let spare: u64 = census.iter().map(|one| one.spare_bytes).sum();
    let spare = Family::alone(&metrics::SPARE_BUFFERS, spare);
    vec![info, spare, memory, cpu, descriptors, most, start]
}

/// Bytes of it that are in memory.
pub(crate) fn resident_memory() -> Option<u64> {
    line("/proc/self/status", "VmRSS:").map(|kilobytes| kilobytes << 10)
}

fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(number)?.parse().ok()
}

/// The number behind this word, which begins a line of the file.
fn line(file: &str, word: &str) -> Option<u64> {
    let text = read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_whitespace().next()?.parse().ok()
}
