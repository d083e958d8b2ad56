//! `.pt`, `.pth`, `.bin` and `.ckpt`: what `torch.save` writes, as the state of a model.

use std::path::Path;
use std::sync::Arc;

use super::elements::{Element, Elements, Tensor};
use super::{HeadParts, Wanted, damaged, safetensors};
use crate::archive::arrays::Kind;
use crate::archive::escaped;
use crate::archive::pt::{Layout, Saved, SavedTensor};
use crate::archive::read_at::{self, ReadAt, read_exact_at};
use crate::error::{Error, Result};

/// The tensors `KEY.weight` and `KEY.bias`, or `KEY` itself; without a key the only matrix and its bias.
pub(super) fn read(path: &Path, key: Option<&str>, wanted: Wanted) -> Result<HeadParts> {
    let (bytes, saved) = open(path)?;
    let is_wanted = |name: &str| key.is_none_or(|key| [key, &format!("{key}.weight")].contains(&name));
    let shapes = shapes(&saved);
    if let Some(error) = saved.objects(is_wanted).filter(|_| key.is_some() || shapes.is_empty()) {
        return Err(naming_file(error, path));
    }
    let name = safetensors::find(key, &shapes)?;
    let bias = safetensors::bias_of(&name).and_then(|bias| saved.tensors().iter().find(|(name, _)| *name == bias));
    let bias = bias.map(|(name, bias)| tensor(&*bytes, path, name, bias, wanted)).transpose()?;
    Ok(HeadParts { bias, weights: named(&*bytes, &saved, path, &name, wanted)?, labels: None })
}

/// The layers of a file whose weights are matrices, as keys name them, with the shapes.
pub(super) fn layers(path: &Path) -> Result<Vec<(String, [usize; 2])>> {
    open(path).map(|(_, saved)| safetensors::layers_of(&shapes(&saved)))
}

/// All tensors with their shapes.
fn shapes(saved: &Saved) -> Vec<(String, Vec<usize>)> {
    saved.tensors().iter().map(|(name, tensor)| (name.clone(), extents(tensor))).collect()
}

/// One tensor, by its whole name.
pub(super) fn read_one(path: &Path, name: &str, wanted: Wanted) -> Result<Tensor> {
    let (bytes, saved) = open(path)?;
    named(&*bytes, &saved, path, name, wanted)
}

fn open(path: &Path) -> Result<(Arc<dyn ReadAt>, Saved)> {
    // Says of what is no file that it is no head.
    super::open(path)?;
    let named = |error: Error| naming_file(error.with_default("file", path.display()), path);
    let (bytes, _) = read_at::open(path).map_err(named)?;
    if is_pickle(&*bytes)? {
        return Err(named(
            Error::data("the head is a pickle, which is not what torch.save writes since version 1.6").help(
                "save it again, in Python:\n    import torch\n    torch.save(torch.load(\"FILE\"), \"tensors.pt\")",
            ),
        ));
    }
    let saved = Saved::read(&bytes, false).map_err(named)?;
    Ok((bytes, saved))
}

/// Whether a file begins as a pickle does, and not as a zip archive.
fn is_pickle(bytes: &dyn ReadAt) -> Result<bool> {
    let mut head = [0; 2];
    let length = bytes.size().min(2) as usize;
    read_exact_at(bytes, 0, &mut head[..length])?;
    Ok(matches!(head, [0x80, 2..=5]))
}

/// Puts the path of the file into advice that says FILE.
fn naming_file(error: Error, path: &Path) -> Error {
    match error.advice().map(|advice| advice.replace("FILE", &escaped(&path.to_string_lossy()))) {
        Some(advice) => error.help(advice),
        None => error,
    }
}

fn named(bytes: &dyn ReadAt, saved: &Saved, path: &Path, name: &str, wanted: Wanted) -> Result<Tensor> {
    let found = saved.tensors().iter().find(|(known, _)| known == name);
    let (name, found) = found.ok_or_else(|| damaged(path, "a tensor has no entry"))?;
    tensor(bytes, path, name, found, wanted)
}

/// The shape of a tensor, each extent no larger than memory can be.
fn extents(tensor: &SavedTensor) -> Vec<usize> {
    tensor.shape.iter().map(|&extent| usize::try_from(extent).unwrap_or(usize::MAX)).collect()
}

fn tensor(bytes: &dyn ReadAt, path: &Path, name: &str, saved: &SavedTensor, wanted: Wanted) -> Result<Tensor> {
    let kind = saved.element.map(|element| element.kind);
    let element = match kind {
        Some(Kind::F16) => Element::F16,
        Some(Kind::Bf16) => Element::Bf16,
        Some(Kind::F32) => Element::F32,
        Some(Kind::F64) => Element::F64,
        _ => {
            return Err(Error::data("the type of the head is not a floating-point type of 16 bits or more")
                .with("tensor", escaped(name))
                .with("type", escaped(&saved.type_name)));
        }
    };
    let (start, pitch, column_major) = match saved.layout {
        Layout::Rows { start } => (start, None, false),
        Layout::Columns { start } => (start, None, true),
        Layout::Pitched { start, pitch } => (start, Some(pitch), false),
        Layout::Strided => {
            return Err(Error::data("the elements of the tensor do not lie in the file row by row")
                .with("tensor", escaped(name))
                .help("save it with .contiguous(), in Python: torch.save(x.contiguous(), …)"));
        }
    };
    let shape = extents(saved);
    if wanted == Wanted::Shape {
        return Ok(Tensor { shape, column_major, elements: Elements::new(element, Vec::new()) });
    }
    // The elements lie within their storage, and that within the file.
    let count = if saved.shape.contains(&0) { Some(0) } else { saved.count() };
    let length = count.and_then(|count| usize::try_from(count).ok()?.checked_mul(element.size()));
    let length = length.ok_or_else(|| damaged(path, "a tensor is too large"))?;
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(length).map_err(|_| {
        Error::resource("there is not enough memory for the head").with("file", path.display()).with("bytes", length)
    })?;
    numbers.resize(length, 0);
    let row = match shape.len() {
        0 | 1 => element.size(),
        _ => shape.last().map_or(0, |dim| dim * element.size()),
    };
    match pitch {
        Some(pitch) => {
            for (at, row) in numbers.chunks_exact_mut(row).enumerate() {
                read_exact_at(bytes, start + at as u64 * pitch, row)?;
            }
        }
        None => read_exact_at(bytes, start, &mut numbers)?,
    }
    let elements = Elements::new(element, numbers);
    let big_endian = saved.element.is_some_and(|element| element.big_endian);
    Ok(Tensor { shape, column_major, elements: if big_endian { elements.swapped() } else { elements } })
}
