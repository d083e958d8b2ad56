//! Finds the labels of features by the names of files that lie beside them: `train_labels.npy` of `train_features.npy`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::escape::escaped;
use super::places::Places;
use crate::error::{Error, Result};

/// Words by which a file is known to hold features.
const FEATURES: [&str; 15] = [
    "features",
    "feature",
    "feats",
    "feat",
    "embeddings",
    "embedding",
    "embs",
    "emb",
    "x",
    "activations",
    "hidden",
    "representations",
    "vectors",
    "data",
    "z",
];

/// Words by which a file is known to hold labels.
const LABELS: [&str; 7] = ["labels", "label", "targets", "target", "y", "classes", "class"];

/// Formats of labels alone.
const EXTENSIONS: [&str; 5] = ["npy", "pt", "txt", "csv", "parquet"];

/// The file beside `path` that holds its labels, by its name: a word for features in the name is one for labels there, or
/// such a word follows the name.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) if there are several.
pub(super) fn labels_beside(path: &Path, places: &Places) -> Result<Option<PathBuf>> {
    let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { return Ok(None) };
    let mut found: Vec<PathBuf> = Vec::new();
    let mut known = BTreeSet::new();
    for name in names(stem) {
        for extension in EXTENSIONS {
            let beside = path.with_file_name(format!("{name}.{extension}"));
            // File systems may not tell small letters from large ones.
            if places.is_file(&beside) && Places::canonical(&beside).is_ok_and(|canonical| known.insert(canonical)) {
                found.push(beside);
            }
        }
    }
    match &found[..] {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        [first, ..] => {
            let shown = |path: &PathBuf| escaped(&path.to_string_lossy());
            Err(Error::usage("several files beside the features could hold their labels")
                .with("file", escaped(&path.to_string_lossy()))
                .with("candidates", found.iter().map(shown).collect::<Vec<_>>().join(", "))
                .help(format!("name one: --labels {}", shown(first))))
        }
    }
}

/// Stems that a file of labels may have beside features of this stem.
fn names(stem: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut start = 0;
    for word in stem.split(|c: char| !c.is_alphanumeric()) {
        let end = start + word.len();
        if FEATURES.contains(&&*word.to_lowercase()) {
            for label in LABELS {
                for label in in_case_of(word, label) {
                    names.push(format!("{}{label}{}", &stem[..start], &stem[end..]));
                }
            }
        }
        // The separator is one character.
        start = end + stem[end..].chars().next().map_or(0, char::len_utf8);
    }
    names.extend(LABELS.iter().flat_map(|label| ["_", "-", "."].map(|mark| format!("{stem}{mark}{label}"))));
    names
}

/// A word in small letters, and with large ones where the other word has them: `Y_train.npy` and `y_train.npy` are both
/// found beside `X_train.npy`.
fn in_case_of(word: &str, label: &str) -> Vec<String> {
    let mut spellings = vec![label.to_owned()];
    if word.starts_with(char::is_uppercase) {
        let (first, rest) = label.split_at(1);
        spellings.push(format!("{}{rest}", first.to_uppercase()));
        spellings.push(label.to_uppercase());
        spellings.dedup();
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let beside = |features: &str, others: &[&str]| {
            for other in others {
                std::fs::write(folder.path().join(other), "").unwrap();
            }
            let found = labels_beside(&folder.path().join(features), &Places::default());
            for other in others {
                std::fs::remove_file(folder.path().join(other)).unwrap();
            }
            found.map(|found| found.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()))
        };
        for (features, labels) in [
            ("features.npy", "labels.npy"),
            ("train_features.npy", "train_labels.npy"),
            ("train-features.npy", "train-targets.txt"),
            ("X_train.npy", "y_train.npy"),
            ("X.npy", "Y.npy"),
            ("epoch_3.npy", "epoch_3_labels.npy"),
            ("epoch.features.npy", "epoch.labels.npy"),
        ] {
            let found = beside(features, &[labels, "other.npy", "test_labels.npy"]).unwrap();
            assert_eq!(found.as_deref(), Some(labels), "{features}");
        }
        assert_eq!(beside("train.npy", &["labels.npy", "test_labels.npy"]).unwrap(), None);
        assert_eq!(beside("proxy.npy", &["prory.npy"]).unwrap(), None, "x is no word there");
        let error = beside("features.npy", &["labels.npy", "targets.npy"]).unwrap_err();
        assert!(error.fact("candidates").unwrap().contains("targets.npy"), "{error:?}");
    }
}
