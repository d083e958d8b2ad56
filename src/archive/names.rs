//! Names by which columns and files are known to hold features or labels.

use std::path::Path;

use super::braces::last_outside;
use crate::objects::{is_address, without_query};

/// Columns of features.
pub(super) const FEATURE_NAMES: [&str; 8] =
    ["feature", "features", "embedding", "embeddings", "emb", "vector", "hidden_state", "hidden_states"];

/// Columns of features if none has one of the other names.
pub(super) const MORE_FEATURE_NAMES: [&str; 9] =
    ["feats", "feat", "embs", "x", "X", "activations", "representations", "hidden", "z"];

/// Columns of labels.
pub(super) const LABEL_NAMES: [&str; 5] = ["label", "labels", "y", "target", "class"];

/// Columns of labels if none has one of the other names.
pub(super) const MORE_LABEL_NAMES: [&str; 3] = ["targets", "Y", "label_ids"];

/// Whether a column of that name is known to hold labels.
pub(crate) fn is_label_name(name: &str) -> bool {
    LABEL_NAMES.contains(&name) || MORE_LABEL_NAMES.contains(&name)
}

/// Whether a column of that name is known to hold features.
pub(super) fn is_feature_name(name: &str) -> bool {
    FEATURE_NAMES.contains(&name) || MORE_FEATURE_NAMES.contains(&name)
}

/// Extensions of files that can hold labels alone. A text of another name is a column, unless it is that of a file.
const LABEL_EXTENSIONS: [&str; 10] = ["npy", "npz", "pt", "pth", "parquet", "pq", "csv", "tsv", "txt", "arrow"];

/// Extensions of files with several arrays or columns, of which one can be named behind a colon.
const NAMED_WITHIN: [&str; 8] = ["npz", "safetensors", "pt", "pth", "parquet", "pq", "arrow", "feather"];

/// The extension of a path, in small letters.
fn extension(path: &Path) -> Option<String> {
    Some(without_query(path).extension()?.to_string_lossy().to_ascii_lowercase())
}

/// Whether what is given for labels names a file, and no column.
pub(crate) fn is_label_file(text: &str) -> bool {
    let path = without_query(Path::new(text));
    let is_known = extension(path).is_some_and(|extension| LABEL_EXTENSIONS.contains(&&*extension));
    let is_there = || (text.contains('/') || path.extension().is_some()) && path.is_file();
    is_known || is_there() || label_parts(Path::new(text)).1.is_some()
}

/// The file of labels, and the array or column of it that is named behind a colon, as in `l.npz:train`. Labels that
/// exist as a path are that path, with its colons.
pub(super) fn label_parts(labels: &Path) -> (&Path, Option<&str>) {
    let parted = labels.to_str().and_then(|text| {
        let at = last_outside(text, ':')?;
        let (path, name) = (Path::new(&text[..at]), &text[at + 1..]);
        (!name.is_empty() && has_names_within(path)).then_some((path, name))
    });
    match parted {
        Some((path, name)) if is_address(labels) || labels.symlink_metadata().is_err() => (path, Some(name)),
        _ => (labels, None),
    }
}

/// Whether one of the arrays or columns of such a file can be named behind a colon.
pub(super) fn has_names_within(path: &Path) -> bool {
    extension(path).is_some_and(|extension| NAMED_WITHIN.contains(&&*extension))
}
