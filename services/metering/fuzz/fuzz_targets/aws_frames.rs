//! See `modash_metering_fuzz::aws_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| modash_metering_fuzz::aws_frames(data));
