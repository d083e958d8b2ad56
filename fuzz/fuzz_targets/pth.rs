//! Heads in .pth files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nckit::archive::{HeadSource, Spellings, StoredHead};

fuzz_target!(|data: &[u8]| {
    let path = std::env::temp_dir().join(format!("nckit-fuzz-{}.pth", std::process::id()));
    if std::fs::write(&path, data).is_err() {
        return;
    }
    let source = HeadSource::parse(&path.to_string_lossy()).and_then(|source| source.fill(&[], &Spellings::default()));
    let Ok(source) = source else { return };
    for transposed in [false, true] {
        let _ = StoredHead::read(&source, transposed);
    }
});
