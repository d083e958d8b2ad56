//! Reads a file as a run does.

use nckit::archive::{Archive, Policy, Request};

/// Writes the bytes to a file of this extension, with labels beside it, and reads all rows that can be read.
pub fn features(data: &[u8], extension: &str) {
    let path = |name: &str| std::env::temp_dir().join(format!("nckit-fuzz-{}{name}", std::process::id()));
    let (features, labels) = (path(&format!("_features.{extension}")), path("_labels.txt"));
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
}
