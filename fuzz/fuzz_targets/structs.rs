//! Fields of structs, and lists of integers.
#![no_main]

mod read;

libfuzzer_sys::fuzz_target!(|data: &[u8]| read::features(data, "parquet"));
