//! Speed beside its limits; `benches/README.md` says what to expect.

mod data;
mod formats;
mod many;
mod measuring;
mod objects;
mod reading;
#[allow(dead_code, reason = "tests write more")]
#[path = "../../tests/suite/arrays/torch.rs"]
mod torch;
#[allow(dead_code, reason = "tests write more")]
#[path = "../../tests/suite/arrays/write.rs"]
mod write;

use criterion::criterion_main;

criterion_main!(reading::benches, measuring::benches, formats::benches, many::benches, objects::benches);
