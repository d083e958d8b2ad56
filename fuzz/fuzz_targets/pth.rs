//! Heads in .pth files.
#![no_main]

mod head;

libfuzzer_sys::fuzz_target!(|data: &[u8]| head::read(data, "pth"));
