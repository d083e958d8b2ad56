//! Files of labels whose paths have keys in braces: `labels/{run}.npy` is `labels/a.npy` for features whose path has run a.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::braces::{check, fill, has_keys, is_component, padded};
use super::escape::escaped;
use crate::error::{Error, Result, did_you_mean};

/// The file of labels of features whose path has these keys. A path that exists as it stands is that file.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) for a key that the features do not have, with those that they have, and for a
/// value that is not the name of one file or directory.
pub(super) fn filled(labels: &Path, keys: &BTreeMap<String, String>) -> Result<PathBuf> {
    match labels.to_str().filter(|text| has_keys(text) && labels.symlink_metadata().is_err()) {
        Some(text) => fill_text(text, keys, true).map(PathBuf::from),
        None => Ok(labels.to_owned()),
    }
}

/// The same of the name of an array, whose values may be anything.
///
/// # Errors
///
/// Those of [`filled`].
pub(super) fn filled_name(name: &str, keys: &BTreeMap<String, String>) -> Result<String> {
    fill_text(name, keys, false)
}

fn fill_text(text: &str, keys: &BTreeMap<String, String>, is_path: bool) -> Result<String> {
    check("labels", text)?;
    fill(text, |key, width| {
        let value = keys.get(key).ok_or_else(|| unknown(text, key, keys))?;
        let value = if width == 0 { value.clone() } else { padded(value, width) };
        if is_path && !is_component(&value) {
            return Err(Error::usage("a value cannot stand in the path of labels")
                .with("key", escaped(key))
                .with("value", format!("\"{}\"", escaped(&value)))
                .with("detail", "it is not the name of one file or directory"));
        }
        Ok(value)
    })
}

fn unknown(text: &str, key: &str, keys: &BTreeMap<String, String>) -> Error {
    let known = keys.keys().map(|key| escaped(key)).collect::<Vec<_>>();
    let error = Error::usage("the labels name a key that the path of the features does not have")
        .with("labels", escaped(text))
        .with("key", escaped(key))
        .with("keys", if known.is_empty() { "none".to_owned() } else { known.join(", ") });
    error.help(match did_you_mean(key, keys.keys().map(String::as_str)) {
        Some(near) => escaped(&near),
        None => format!("braces in INPUT give it: {{{}}} where the value stands", escaped(key)),
    })
}
