//! Tables in text.
#![no_main]

mod read;

libfuzzer_sys::fuzz_target!(|data: &[u8]| read::features(data, "csv"));
