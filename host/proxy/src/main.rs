//! The `howdah` binary.

fn main() {}
