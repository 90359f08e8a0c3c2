//! The text of a configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| howdah_fuzz::config(data));
