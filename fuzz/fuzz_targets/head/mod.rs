//! Reads a file as a classifier.

use nckit::archive::{HeadSource, Spellings, StoredHead};

/// Writes the bytes to a file of this extension, and reads the head in it, both ways round.
pub fn read(data: &[u8], extension: &str) {
    let path = std::env::temp_dir().join(format!("nckit-fuzz-{}.{extension}", std::process::id()));
    if std::fs::write(&path, data).is_err() {
        return;
    }
    let source = HeadSource::parse(&path.to_string_lossy()).and_then(|source| source.fill(&[], &Spellings::default()));
    let Ok(source) = source else { return };
    for transposed in [false, true] {
        let _ = StoredHead::read(&source, transposed);
    }
}
