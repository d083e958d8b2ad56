//! `.safetensors`: a header in JSON, then the tensors.

use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::arrays::{ArrayFile, Element, Kind, Place, StoredArray};
use super::container::{ArrayNames, Container, Format};
use super::damage::damaged;
use super::fingerprint::{fnv1a, joined, sampled};
use super::read_at::{ReadAt, read_exact_at};
use crate::error::Result;

/// The format.
#[derive(Debug)]
pub(super) struct Safetensors;

/// The format's own limit of a header.
const HEADER_LIMIT: u64 = 100_000_000;

/// How many times its bytes a header takes in memory.
const GROWTH: u64 = 8;

impl Format for Safetensors {
    fn what(&self) -> &'static str {
        "a safetensors file"
    }

    fn precedence(&self) -> u8 {
        2
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["safetensors"]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        let Some((length, header)) = head.split_first_chunk::<8>() else { return false };
        header.starts_with(b"{") && u64::from_le_bytes(*length) <= HEADER_LIMIT
    }

    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(header_length(&**bytes)?.saturating_mul(GROWTH))
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        open(&**bytes, None)
    }

    fn open_arrays(&self, bytes: &Arc<dyn ReadAt>, names: &ArrayNames) -> Result<Arc<dyn Container>> {
        open(&**bytes, Some(names))
    }

    fn feature_arrays(&self, bytes: &Arc<dyn ReadAt>) -> Result<Vec<String>> {
        let Listed { arrays, .. } = list(&**bytes)?;
        Ok(arrays.into_iter().filter(StoredArray::may_be_features).map(|array| array.name).collect())
    }
}

/// What a header says.
struct Listed {
    arrays: Vec<StoredArray>,
    /// Of the header.
    hash: u64,
}

/// The length of the header, which lies within the file.
fn header_length(bytes: &dyn ReadAt) -> Result<u64> {
    let mut length = [0; 8];
    read_exact_at(bytes, 0, &mut length)?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_LIMIT || length > bytes.size() - 8 {
        return Err(damaged(format!("its header cannot be {length} bytes long")));
    }
    Ok(length)
}

fn list(bytes: &dyn ReadAt) -> Result<Listed> {
    let length = header_length(bytes)?;
    let mut header = vec![0; length as usize];
    read_exact_at(bytes, 8, &mut header)?;
    // Checks that tensors follow one another without gaps, and that each is as long as its shape says.
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| damaged(format!("its header: {error}")))?;
    let content = bytes.size() - 8 - length;
    if metadata.data_len() as u64 != content {
        return Err(damaged(format!("{content} bytes follow a header that says {}", metadata.data_len())));
    }
    let mut tensors: Vec<(String, &TensorInfo)> = metadata.tensors().into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let array = |(name, info): (String, &TensorInfo)| StoredArray {
        name,
        element: element(info.dtype),
        type_name: format!("{:?}", info.dtype),
        shape: info.shape.iter().map(|&extent| extent as u64).collect(),
        column_major: false,
        place: Place::At(8 + length + info.data_offsets.0 as u64),
    };
    Ok(Listed { arrays: tensors.into_iter().map(array).collect(), hash: fnv1a(&header) })
}

fn open(bytes: &dyn ReadAt, names: Option<&ArrayNames>) -> Result<Arc<dyn Container>> {
    let Listed { arrays, hash } = list(bytes)?;
    let chosen = names.map_or(0, |names| fnv1a(format!("{names:?}").as_bytes()));
    let fingerprint = joined(&[hash, sampled(bytes)?, chosen]);
    Ok(Arc::new(ArrayFile::new(&arrays, names, true, fingerprint)?))
}

fn element(dtype: Dtype) -> Option<Element> {
    let kind = match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::I8 => Kind::Int(1),
        Dtype::I16 => Kind::Int(2),
        Dtype::I32 => Kind::Int(4),
        Dtype::I64 => Kind::Int(8),
        Dtype::U8 => Kind::UInt(1),
        Dtype::U16 => Kind::UInt(2),
        Dtype::U32 => Kind::UInt(4),
        Dtype::U64 => Kind::UInt(8),
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        _ => return None,
    };
    Some(Element { kind, big_endian: false })
}
