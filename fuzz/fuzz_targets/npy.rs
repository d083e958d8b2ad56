//! Heads in .npy files.
#![no_main]

mod head;

libfuzzer_sys::fuzz_target!(|data: &[u8]| head::read(data, "npy"));
