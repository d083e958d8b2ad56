//! `model.safetensors.index.json`: which of several files holds which tensor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The longest index: those of the largest models take a few megabytes.
pub(super) const LIMIT: u64 = 1 << 26;

/// Whether a file is an index by its name.
pub(super) fn is_index(path: &str) -> bool {
    path.to_ascii_lowercase().ends_with(".safetensors.index.json")
}

/// The file of each tensor, as the index writes it; `None` if the text is no index.
pub(super) fn files(text: &str) -> Option<BTreeMap<String, String>> {
    let index: Value = serde_json::from_str(text).ok()?;
    let entry = |(name, file): (&String, &Value)| Some((name.clone(), file.as_str()?.to_owned()));
    index.get("weight_map")?.as_object()?.iter().map(entry).collect()
}

/// The path of a file that an index names; `None` if it is not beside the index.
pub(super) fn beside(index: &Path, file: &str) -> Option<PathBuf> {
    let is_elsewhere = file.contains(['/', '\\', '\0']) || matches!(file, "" | "." | "..");
    (!is_elsewhere).then(|| index.with_file_name(file))
}
