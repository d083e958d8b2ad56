//! Names by which columns and files are known to hold features or labels.

use std::path::Path;

use crate::objects::without_query;

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
pub(super) fn is_label_name(name: &str) -> bool {
    LABEL_NAMES.contains(&name) || MORE_LABEL_NAMES.contains(&name)
}

/// Whether a column of that name is known to hold features.
pub(super) fn is_feature_name(name: &str) -> bool {
    FEATURE_NAMES.contains(&name) || MORE_FEATURE_NAMES.contains(&name)
}

/// Extensions of files that can hold labels alone. A text of another name is a column, unless it is that of a file.
const LABEL_EXTENSIONS: [&str; 10] = ["npy", "npz", "pt", "pth", "parquet", "pq", "csv", "tsv", "txt", "arrow"];

/// Whether what is given for labels names a file, and no column.
pub(crate) fn is_label_file(text: &str) -> bool {
    let path = without_query(Path::new(text));
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let is_known = extension.is_some_and(|extension| LABEL_EXTENSIONS.contains(&&*extension));
    is_known || ((text.contains('/') || path.extension().is_some()) && path.is_file())
}
