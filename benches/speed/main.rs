//! Speed beside its limits; `benches/README.md` says what to expect.

mod data;
mod measuring;
mod reading;

use criterion::criterion_main;

criterion_main!(reading::benches, measuring::benches);
