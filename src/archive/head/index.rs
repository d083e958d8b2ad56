//! `model.safetensors.index.json`: which of several files holds which tensor.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{damaged, open, safetensors};
use crate::archive::escaped;
use crate::error::{Error, Result};

/// Indices of the largest models take a few megabytes.
const LIMIT: u64 = 1 << 26;

/// The file of the weights of a layer and, if there is one, of its bias, each with the tensor's name.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) weights: (PathBuf, String),
    pub(super) bias: Option<(PathBuf, String)>,
}

/// Finds a layer's tensors.
pub(super) fn find(path: &Path, key: Option<&str>) -> Result<Places> {
    let (file, length) = open(path)?;
    if length > LIMIT {
        return Err(damaged(path, "it is too long for an index of tensors"));
    }
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text).map_err(|error| super::unreadable(path, error))?;
    let files = files(&text).ok_or_else(|| {
        Error::usage("the head is not an index of tensors")
            .with("file", path.display())
            .help("heads are .parquet, .safetensors, .pt or .npy; names of classes go to --class-names")
    })?;
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let Some(key) = key else {
        let weights: Vec<String> = names.iter().filter_map(|name| name.strip_suffix(".weight")).map(escaped).collect();
        return Err(Error::usage("the index lists many tensors")
            .with("layers", safetensors::list(&weights))
            .help(format!("name the head's: --head {}:lm_head", path.display())));
    };
    let name = safetensors::named(key, |name| files.contains_key(name)).ok_or_else(|| {
        safetensors::unknown(key, names.iter().copied())
            .with("layers", safetensors::list(&names.iter().map(|name| escaped(name)).collect::<Vec<_>>()))
    })?;
    let place = |name: &str| -> Result<Option<(PathBuf, String)>> {
        let Some(shard) = files.get(name) else { return Ok(None) };
        // A file beside the index, and nowhere else.
        if shard.contains(['/', '\\', '\0']) || matches!(shard.as_str(), "" | "." | "..") {
            return Err(damaged(path, format!("it names the file \"{}\"", escaped(shard))));
        }
        Ok(Some((path.with_file_name(shard), name.to_owned())))
    };
    let bias = safetensors::bias_of(&name).map(|bias| place(&bias)).transpose()?.flatten();
    let weights = place(&name)?.ok_or_else(|| damaged(path, "a tensor has no entry"))?;
    Ok(Places { weights, bias })
}

/// The file of each tensor.
fn files(text: &str) -> Option<BTreeMap<String, String>> {
    let index: Value = serde_json::from_str(text).ok()?;
    let entry = |(name, file): (&String, &Value)| Some((name.clone(), file.as_str()?.to_owned()));
    index.get("weight_map")?.as_object()?.iter().map(entry).collect()
}
