//! Features and labels in Arrow IPC files and streams.
#![no_main]

mod read;

libfuzzer_sys::fuzz_target!(|data: &[u8]| read::features(data, "arrow"));
