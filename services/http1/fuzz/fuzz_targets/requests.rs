//! See `modash_http1_fuzz::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| modash_http1_fuzz::requests(data));
