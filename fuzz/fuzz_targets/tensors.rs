//! Features and labels in `.safetensors` files.
#![no_main]

mod read;

libfuzzer_sys::fuzz_target!(|data: &[u8]| read::features(data, "safetensors"));
