//! Features and labels in `.pt` files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nckit::archive::{Archive, Policy, Request};

fuzz_target!(|data: &[u8]| {
    let path = |name: &str| std::env::temp_dir().join(format!("nckit-fuzz-{}{name}", std::process::id()));
    let (features, labels) = (path("_features.pt"), path("_labels.txt"));
    if std::fs::write(&features, data).is_err() || std::fs::write(&labels, "0\n1\n2\n".repeat(4)).is_err() {
        return;
    }
    let request = Request { nonfinite: Policy::Skip, nulls: Policy::Skip, ..Request::default() };
    let Ok(archive) = Archive::open(&[features.to_string_lossy().into_owned()], &request) else { return };
    for unit in 0..archive.units().len() {
        let Ok(mut reader) = archive.read(unit) else { continue };
        while let Ok(Some(chunk)) = reader.next() {
            assert!(chunk.codes.is_empty() || chunk.batch().is_ok());
        }
    }
});
