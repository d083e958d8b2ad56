//! Lines of JSON.
#![no_main]

mod read;

libfuzzer_sys::fuzz_target!(|data: &[u8]| read::features(data, "jsonl"));
