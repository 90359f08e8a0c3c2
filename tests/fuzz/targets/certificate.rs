//! The names and times of a certificate, which clients and servers show.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| howdah_fuzz::certificate(data));
