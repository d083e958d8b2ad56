//! `.safetensors`: a header in JSON, then the tensors.

use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::elements::{Element, Elements, Tensor};
use super::file::HeadFile;
use super::{HeadParts, Wanted, damaged, open, shape, unreadable};
use crate::archive::escaped;
use crate::error::{Error, Result, nearest};

/// The format's own limit.
const HEADER_LIMIT: u64 = 100_000_000;

/// The messages of errors that a better name would mend.
pub(super) const SEVERAL: &str = "several tensors could be the head";
pub(super) const UNKNOWN: &str = "the head has no such tensor";

/// How many tensors an error lists.
const LISTED: usize = 12;

/// The tensors `KEY.weight` and `KEY.bias`, or `KEY` itself; without a key the only matrix and its bias.
pub(super) fn read(path: &Path, key: Option<&str>, wanted: Wanted) -> Result<HeadParts> {
    let mut file = File::open(path)?;
    let shapes = file.shapes();
    let name = find(key, &shapes)?;
    let bias = bias_of(&name).filter(|bias| file.metadata.info(bias).is_some());
    let bias = bias.map(|bias| file.tensor(&bias, wanted)).transpose()?;
    Ok(HeadParts { bias, weights: file.tensor(&name, wanted)?, labels: None })
}

/// One tensor, by its whole name.
pub(super) fn read_one(path: &Path, name: &str, wanted: Wanted) -> Result<Tensor> {
    File::open(path)?.tensor(name, wanted)
}

/// Which of `KEY.weight` and `KEY` there is.
pub(super) fn named(key: &str, exists: impl Fn(&str) -> bool) -> Option<String> {
    [format!("{key}.weight"), key.to_owned()].into_iter().find(|name| exists(name))
}

/// The name of the bias that belongs to these weights.
pub(super) fn bias_of(weights: &str) -> Option<String> {
    weights.strip_suffix("weight").map(|layer| format!("{layer}bias"))
}

/// There is no tensor of that key, but perhaps one that is called almost so.
pub(super) fn unknown<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Error {
    let error =
        Error::usage(UNKNOWN).with("key", escaped(key)).with("expected", escaped(&format!("{key}.weight or {key}")));
    let layers = names.map(|name| name.strip_suffix(".weight").unwrap_or(name));
    match nearest(key, layers).as_slice() {
        [] => error,
        near => error
            .help(format!("did you mean {}?", near.iter().map(|name| escaped(name)).collect::<Vec<_>>().join(", "))),
    }
}

/// A file whose header was read and agrees with its length.
struct File {
    path: PathBuf,
    bytes: HeadFile,
    metadata: Metadata,
    /// Where the tensors begin.
    start: u64,
}

impl File {
    fn open(path: &Path) -> Result<Self> {
        let (mut file, len) = open(path)?;
        let mut length = [0; 8];
        let body = len.checked_sub(8).ok_or_else(|| damaged(path, "it is too short"))?;
        file.read_exact(&mut length).map_err(|error| unreadable(path, error))?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_LIMIT || length > body {
            return Err(damaged(path, format!("its header cannot be {length} bytes long")));
        }
        let mut header = Vec::new();
        (&mut file).take(length).read_to_end(&mut header).map_err(|error| unreadable(path, error))?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| damaged(path, format!("its header: {error}")))?;
        if metadata.data_len() as u64 != body - length {
            return Err(damaged(path, "its length is not what its header says").with("bytes", body - length));
        }
        Ok(Self { path: path.to_owned(), bytes: file, metadata, start: 8 + length })
    }

    /// All tensors with their shapes, by name.
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut names = self.metadata.offset_keys();
        names.sort();
        let shape = |name: &String| self.metadata.info(name).map_or(Vec::new(), |info| info.shape.clone());
        names.into_iter().map(|name| (name.clone(), shape(&name))).collect()
    }

    fn tensor(&mut self, name: &str, wanted: Wanted) -> Result<Tensor> {
        let info = self.metadata.info(name).ok_or_else(|| damaged(&self.path, "a tensor has no entry"))?;
        let element = element(info.dtype).ok_or_else(|| {
            Error::data("the type of the head is not a floating-point type of 16 bits or more")
                .with("tensor", escaped(name))
                .with("type", format!("{:?}", info.dtype))
        })?;
        // The offsets were checked against the shape, and their sum against the length of the file.
        let (start, end) = info.data_offsets;
        let shape = info.shape.clone();
        let elements = match wanted {
            Wanted::Shape => Elements::new(element, Vec::new()),
            Wanted::Numbers => {
                Elements::read(element, &mut self.bytes, &self.path, self.start + start as u64, end - start)?
            }
        };
        Ok(Tensor { shape, column_major: false, elements })
    }
}

/// The layers of a file whose weights are matrices, as keys name them, with the shapes.
pub(super) fn layers(path: &Path) -> Result<Vec<(String, [usize; 2])>> {
    Ok(layers_of(&File::open(path)?.shapes()))
}

/// The same of tensors and their shapes.
pub(super) fn layers_of(tensors: &[(String, Vec<usize>)]) -> Vec<(String, [usize; 2])> {
    let layer = |(name, shape): &(String, Vec<usize>)| {
        let shape = <[usize; 2]>::try_from(shape.as_slice()).ok().filter(|_| !is_of_optimizer(name))?;
        Some((name.strip_suffix(".weight").unwrap_or(name).to_owned(), shape))
    };
    tensors.iter().filter_map(layer).collect()
}

/// Whether a tensor belongs to an optimizer, whose moments have the shape of the weights.
fn is_of_optimizer(name: &str) -> bool {
    name.split('.').next().is_some_and(|first| first.starts_with("optim"))
}

/// The name of the weights among tensors and their shapes: those of the key, or the only matrix.
pub(super) fn find(key: Option<&str>, tensors: &[(String, Vec<usize>)]) -> Result<String> {
    let could_be = |(name, shape): &&(String, Vec<usize>)| shape.len() == 2 && !is_of_optimizer(name);
    let matrices: Vec<&(String, Vec<usize>)> = tensors.iter().filter(could_be).collect();
    let exists = |name: &str| tensors.iter().any(|(known, _)| known == name);
    match (key, matrices.as_slice()) {
        (Some(key), _) => named(key, exists).ok_or_else(|| {
            unknown(key, tensors.iter().map(|(name, _)| name.as_str()))
                .with("matrices", shapes(matrices.iter().copied()))
        }),
        (None, []) => {
            Err(Error::data("the file has no matrix that could be a head").with("tensors", shapes(tensors.iter())))
        }
        (None, [(only, _)]) => Ok(only.clone()),
        (None, _) => Err(Error::usage(SEVERAL)
            .with("candidates", shapes(matrices.iter().copied()))
            .help("name that of the logits behind a colon: --head FILE:KEY")),
    }
}

fn shapes<'a>(tensors: impl Iterator<Item = &'a (String, Vec<usize>)>) -> String {
    let shown = |(name, extents): &(String, Vec<usize>)| format!("{} ({})", escaped(name), shape(extents));
    list(&tensors.map(shown).collect::<Vec<_>>())
}

/// Names on one line, the first few.
pub(super) fn list(names: &[String]) -> String {
    let listed = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
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
