//! See `modash_metering_fuzz::decompression`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| modash_metering_fuzz::decompression(data));
