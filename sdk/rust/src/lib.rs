//! Write howdah policies in Rust.
