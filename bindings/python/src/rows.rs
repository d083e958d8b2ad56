//! Arrays of NumPy as rows, labels and heads: C order, and of a type that the library takes. Python has made them so.

use half::f16;
use nckit::archive::{HeadInMemory, HeadSource};
use nckit::batch::{Features, Label};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Rows × D.
#[derive(FromPyObject)]
pub(crate) enum FeatureArray<'py> {
    Single(PyReadonlyArray2<'py, f32>),
    Double(PyReadonlyArray2<'py, f64>),
    Half(PyReadonlyArray2<'py, f16>),
}

/// One label a row.
#[derive(FromPyObject)]
pub(crate) enum LabelArray<'py> {
    Int(PyReadonlyArray1<'py, i64>),
    Unsigned(PyReadonlyArray1<'py, u64>),
    Bool(PyReadonlyArray1<'py, bool>),
    Text(Vec<String>),
}

#[derive(FromPyObject)]
pub(crate) enum VectorArray<'py> {
    Single(PyReadonlyArray1<'py, f32>),
    Double(PyReadonlyArray1<'py, f64>),
    Half(PyReadonlyArray1<'py, f16>),
}

/// Weights, and a bias.
#[derive(FromPyObject)]
pub(crate) struct Head<'py>(FeatureArray<'py>, Option<VectorArray<'py>>);

/// Labels, borrowed.
#[derive(Clone, Copy)]
pub(crate) enum Labels<'a> {
    Int(&'a [i64]),
    Unsigned(&'a [u64]),
    Bool(&'a [bool]),
    Text(&'a [String]),
}

impl FeatureArray<'_> {
    /// The values, row by row; none of them if they do not lie so.
    pub(crate) fn features(&self) -> Features<'_> {
        match self {
            Self::Single(array) => array.as_slice().unwrap_or_default().into(),
            Self::Double(array) => array.as_slice().unwrap_or_default().into(),
            Self::Half(array) => array.as_slice().unwrap_or_default().into(),
        }
    }

    pub(crate) fn shape(&self) -> [usize; 2] {
        let shape = match self {
            Self::Single(array) => array.shape(),
            Self::Double(array) => array.shape(),
            Self::Half(array) => array.shape(),
        };
        [shape[0], shape[1]]
    }
}

impl LabelArray<'_> {
    pub(crate) fn labels(&self) -> Labels<'_> {
        match self {
            Self::Int(array) => Labels::Int(array.as_slice().unwrap_or_default()),
            Self::Unsigned(array) => Labels::Unsigned(array.as_slice().unwrap_or_default()),
            Self::Bool(array) => Labels::Bool(array.as_slice().unwrap_or_default()),
            Self::Text(texts) => Labels::Text(texts),
        }
    }
}

impl LabelArray<'_> {
    /// The values one by one.
    pub(crate) fn values(&self) -> Vec<Label> {
        match self.labels() {
            Labels::Int(values) => values.iter().map(|&value| value.into()).collect(),
            Labels::Unsigned(values) => values.iter().map(|&value| value.into()).collect(),
            Labels::Bool(values) => values.iter().map(|&value| value.into()).collect(),
            Labels::Text(values) => values.iter().map(|value| value.as_str().into()).collect(),
        }
    }
}

impl Labels<'_> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Int(labels) => labels.len(),
            Self::Unsigned(labels) => labels.len(),
            Self::Bool(labels) => labels.len(),
            Self::Text(labels) => labels.len(),
        }
    }
}

impl VectorArray<'_> {
    fn features(&self) -> Features<'_> {
        match self {
            Self::Single(array) => array.as_slice().unwrap_or_default().into(),
            Self::Double(array) => array.as_slice().unwrap_or_default().into(),
            Self::Half(array) => array.as_slice().unwrap_or_default().into(),
        }
    }
}

impl Head<'_> {
    pub(crate) fn source(&self) -> HeadSource {
        let Self(weights, bias) = self;
        let bias = bias.as_ref().map(VectorArray::features);
        HeadSource::in_memory(HeadInMemory::new(weights.features(), weights.shape(), bias))
    }
}
