//! `.safetensors`: a header in JSON, then the tensors.

use std::io::Read;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::elements::{Element, Elements, Tensor};
use super::{Parts, damaged, open, unreadable};
use crate::error::{Error, Result};

/// The format's own limit.
const HEADER_LIMIT: u64 = 100_000_000;

/// How many tensors an error lists.
const LISTED: usize = 12;

/// The tensors `KEY.weight` and `KEY.bias`, or `KEY` itself; without a key the only matrix and its bias.
pub(super) fn read(path: &Path, key: Option<&str>) -> Result<Parts> {
    let (mut file, len) = open(path)?;
    let mut length = [0; 8];
    let body = len.checked_sub(8).ok_or_else(|| damaged(path, "it is too short"))?;
    file.read_exact(&mut length).map_err(|error| unreadable(path, error))?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_LIMIT || length > body {
        return Err(damaged(path, format!("its header cannot be {length} bytes long")));
    }
    let mut header = Vec::new();
    (&file).take(length).read_to_end(&mut header).map_err(|error| unreadable(path, error))?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| damaged(path, format!("its header: {error}")))?;
    if metadata.data_len() as u64 != body - length {
        return Err(damaged(path, "its length is not what its header says").with("bytes", body - length));
    }

    let name = find(&metadata, key)?;
    let mut tensor = |name: &str, info: &TensorInfo| {
        let element = element(info.dtype).ok_or_else(|| {
            Error::data("the head has a type that is no floating-point number of 16 bits or more")
                .with("tensor", name)
                .with("type", format!("{:?}", info.dtype))
        })?;
        // The offsets were checked against the shape, and their sum against the length of the file.
        let (start, end) = info.data_offsets;
        let elements = Elements::read(element, &mut file, path, 8 + length + start as u64, end - start)?;
        Ok(Tensor { shape: info.shape.clone(), column_major: false, elements })
    };
    let weights = metadata.info(&name).ok_or_else(|| damaged(path, "a tensor has no entry"))?;
    let bias_name = name.strip_suffix("weight").map(|layer| format!("{layer}bias"));
    let bias = bias_name.and_then(|name| metadata.info(&name).map(|info| tensor(&name, info)));
    Ok(Parts { bias: bias.transpose()?, weights: tensor(&name, weights)?, labels: None })
}

fn find(metadata: &Metadata, key: Option<&str>) -> Result<String> {
    let matrices = || {
        let mut names = metadata.offset_keys();
        names.retain(|name| metadata.info(name).is_some_and(|info| info.shape.len() == 2));
        names.sort();
        names
    };
    if let Some(key) = key {
        let layer = format!("{key}.weight");
        return [layer.as_str(), key]
            .into_iter()
            .find(|name| metadata.info(name).is_some())
            .map(str::to_owned)
            .ok_or_else(|| {
                Error::usage("the head has no such tensor")
                    .with("key", key)
                    .with("expected", format!("{layer} or {key}"))
                    .with("matrices", list(&matrices()))
            });
    }
    let mut names = matrices();
    if names.len() > 1 {
        return Err(Error::usage("several tensors could be the head")
            .with("candidates", list(&names))
            .help("name one of them: --head FILE:KEY"));
    }
    names.pop().ok_or_else(|| Error::data("the file has no matrix that could be a head"))
}

fn list(names: &[String]) -> String {
    let listed = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(" ");
    match names.len() {
        0 => "none".to_owned(),
        count if count > LISTED => format!("{listed} and {} more", count - LISTED),
        _ => listed,
    }
}

fn element(dtype: Dtype) -> Option<Element> {
    match dtype {
        Dtype::F16 => Some(Element::F16),
        Dtype::BF16 => Some(Element::Bf16),
        Dtype::F32 => Some(Element::F32),
        Dtype::F64 => Some(Element::F64),
        _ => None,
    }
}
