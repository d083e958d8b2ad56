//! Archives: footers and pages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nckit::archive::{Archive, Policy, Request};

fuzz_target!(|data: &[u8]| {
    let path = std::env::temp_dir().join(format!("nckit-fuzz-{}.parquet", std::process::id()));
    if std::fs::write(&path, data).is_err() {
        return;
    }
    let request = Request { nonfinite: Policy::Skip, nulls: Policy::Skip, ..Request::default() };
    let inputs = [path.to_string_lossy().into_owned()];
    let Ok(archive) = Archive::open(&inputs, &request) else { return };
    for unit in 0..archive.units().len() {
        let Ok(mut reader) = archive.read(unit) else { continue };
        while let Ok(Some(chunk)) = reader.next() {
            assert!(chunk.codes.is_empty() || chunk.batch().is_ok());
        }
    }
});
