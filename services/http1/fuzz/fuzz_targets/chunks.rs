//! See `modash_http1_fuzz::chunks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| modash_http1_fuzz::chunks(data));
