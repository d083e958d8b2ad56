//! `model.safetensors.index.json`: which of several files holds which tensor.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{damaged, open, safetensors};
use crate::archive::escaped;
use crate::archive::tensor_index::{LIMIT, beside, files};
use crate::error::{Error, Result};

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
        let file = beside(path, shard);
        let file = file.ok_or_else(|| damaged(path, format!("it names the file \"{}\"", escaped(shard))))?;
        Ok(Some((file, name.to_owned())))
    };
    let bias = safetensors::bias_of(&name).map(|bias| place(&bias)).transpose()?.flatten();
    let weights = place(&name)?.ok_or_else(|| damaged(path, "a tensor has no entry"))?;
    Ok(Places { weights, bias })
}
