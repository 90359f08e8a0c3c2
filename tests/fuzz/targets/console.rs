//! What operators write at the console.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| howdah_fuzz::console(text));
