//! Files of arrays as `numpy` and others write them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A `.npy` file: a header of this version, and the elements.
pub(super) fn npy_of(version: u8, descr: &str, fortran: bool, shape: &[usize], elements: &[u8]) -> Vec<u8> {
    let extents: Vec<String> = shape.iter().map(|extent| format!("{extent},")).collect();
    let order = if fortran { "True" } else { "False" };
    let descr = if descr.starts_with('[') { descr.to_owned() } else { format!("'{descr}'") };
    let header = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': ({}), }}", extents.join(" "));
    let prefix = if version == 1 { 10 } else { 12 };
    let length = (prefix + header.len() + 1).next_multiple_of(64) - prefix;
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((length as u16).to_le_bytes()),
        _ => bytes.extend((length as u32).to_le_bytes()),
    }
    bytes.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    bytes.extend(elements);
    bytes
}

/// The same of version 1 in C order.
pub(crate) fn npy(descr: &str, shape: &[usize], elements: &[u8]) -> Vec<u8> {
    npy_of(1, descr, false, shape, elements)
}

/// Features in `f32`, as `numpy.save` writes them.
pub(crate) fn features(dim: usize, values: &[f32]) -> Vec<u8> {
    npy("<f4", &[values.len() / dim, dim], &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// Labels in `i64`.
pub(crate) fn labels(values: &[i64]) -> Vec<u8> {
    npy("<i8", &[values.len()], &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// Numbers as elements of a type.
pub(super) fn elements(descr: &str, values: &[f64]) -> Vec<u8> {
    let (order, kind) = descr.split_at(1);
    let mut all = Vec::new();
    for &value in values {
        let mut bytes: Vec<u8> = match kind {
            "f2" => f16::from_f64(value).to_le_bytes().to_vec(),
            "V2" => bf16::from_f64(value).to_le_bytes().to_vec(),
            "f4" => (value as f32).to_le_bytes().to_vec(),
            "f8" => value.to_le_bytes().to_vec(),
            "b1" => vec![u8::from(value != 0.0)],
            "i1" => (value as i8).to_le_bytes().to_vec(),
            "i2" => (value as i16).to_le_bytes().to_vec(),
            "i4" => (value as i32).to_le_bytes().to_vec(),
            "i8" => (value as i64).to_le_bytes().to_vec(),
            "u1" => (value as u8).to_le_bytes().to_vec(),
            "u2" => (value as u16).to_le_bytes().to_vec(),
            "u4" => (value as u32).to_le_bytes().to_vec(),
            "u8" => (value as u64).to_le_bytes().to_vec(),
            other => panic!("{other}"),
        };
        if order == ">" {
            bytes.reverse();
        }
        all.extend(bytes);
    }
    all
}

/// A matrix column by column.
pub(super) fn transposed(values: &[f64], dim: usize) -> Vec<f64> {
    (0..dim).flat_map(|column| values.iter().skip(column).step_by(dim).copied()).collect()
}

/// How members of an archive are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Packed {
    Stored,
    Deflated,
    /// Stored, with sizes of 64 bits.
    Large,
}

/// An `.npz` file.
pub(crate) fn npz(members: &[(&str, Vec<u8>)], packed: Packed) -> Vec<u8> {
    let named: Vec<String> = members.iter().map(|(name, _)| format!("{name}.npy")).collect();
    let members = named.iter().zip(members).map(|(name, (_, content))| (name.as_str(), content.clone()));
    zip(&members.collect::<Vec<_>>(), packed)
}

/// A zip archive.
pub(super) fn zip(members: &[(&str, Vec<u8>)], packed: Packed) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for &(name, ref content) in members {
        let header = bytes.len() as u64;
        let data = match packed {
            Packed::Deflated => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            _ => content.clone(),
        };
        let large = packed == Packed::Large;
        let narrow = |size: u64| if large { u32::MAX } else { size as u32 };
        let sizes = [data.len() as u64, content.len() as u64];
        let mut fields = vec![if large { 45 } else { 20 }, 0, 0, 0];
        fields.extend(if packed == Packed::Deflated { [8, 0] } else { [0, 0] });
        fields.extend([0, 0, 0x21, 0]);
        fields.extend(crc32fast::hash(content).to_le_bytes());
        fields.extend(sizes.iter().flat_map(|&size| narrow(size).to_le_bytes()));
        fields.extend((name.len() as u16).to_le_bytes());
        // NumPy asks for room for 64-bit sizes in the local header.
        let local: Vec<u8> = [&[1, 0, 16, 0][..], &sizes[1].to_le_bytes(), &sizes[0].to_le_bytes()].concat();
        bytes.extend([&b"PK\x03\x04"[..], &fields, &20_u16.to_le_bytes(), name.as_bytes(), &local, &data].concat());
        let extra = if large {
            [&[1, 0, 24, 0][..], &sizes[1].to_le_bytes(), &sizes[0].to_le_bytes(), &header.to_le_bytes()].concat()
        } else {
            Vec::new()
        };
        directory.extend([&b"PK\x01\x02\x2d\x03"[..], &fields, &(extra.len() as u16).to_le_bytes()].concat());
        directory.extend([0; 10]);
        directory.extend(narrow(header).to_le_bytes());
        directory.extend([name.as_bytes(), &extra].concat());
    }
    let (start, length, count) = (bytes.len() as u64, directory.len() as u64, members.len() as u64);
    bytes.extend(&directory);
    if packed == Packed::Large {
        let end = bytes.len() as u64;
        bytes.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
        bytes.extend([count, count, length, start].iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend([&b"PK\x06\x07\0\0\0\0"[..], &end.to_le_bytes(), &[1, 0, 0, 0]].concat());
        bytes.extend([&b"PK\x05\x06\0\0\0\0"[..], &[0xff; 12], &[0, 0]].concat());
    } else {
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend([count as u16, count as u16].iter().flat_map(|count| count.to_le_bytes()));
        bytes.extend([length as u32, start as u32].iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend([0, 0]);
    }
    bytes
}

/// A `.safetensors` file.
pub(crate) fn safetensors(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views: BTreeMap<&str, TensorView<'_>> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()))
        .collect();
    safetensors::serialize(views, None).unwrap()
}

/// A batch of features and labels.
pub(crate) fn batch(dim: usize, values: &[f32], labels: &[i64]) -> RecordBatch {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let features = FixedSizeListArray::new(item, dim as i32, Arc::new(Float32Array::from(values.to_vec())), None);
    let labels: ArrayRef = Arc::new(Int64Array::from(labels.to_vec()));
    RecordBatch::try_from_iter([("feature", Arc::new(features) as ArrayRef), ("label", labels)]).unwrap()
}

/// An Arrow IPC file or stream.
pub(crate) fn arrow(batches: &[RecordBatch], is_stream: bool, compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let (mut bytes, schema) = (Vec::new(), batches[0].schema());
    if is_stream {
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
    }
    bytes
}
