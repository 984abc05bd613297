//! See `modash_metering_fuzz::dialects`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| modash_metering_fuzz::dialects(data));
