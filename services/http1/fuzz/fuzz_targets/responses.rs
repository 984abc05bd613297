//! See `modash_http1_fuzz::responses`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| modash_http1_fuzz::responses(data));
