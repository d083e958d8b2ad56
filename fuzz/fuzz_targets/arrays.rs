//! Features in `.npy` files, with labels beside them.
#![no_main]

mod read;

libfuzzer_sys::fuzz_target!(|data: &[u8]| read::features(data, "npy"));
