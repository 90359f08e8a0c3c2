//! The opening of a client, up to the end of its login.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| howdah_fuzz::login(data));
