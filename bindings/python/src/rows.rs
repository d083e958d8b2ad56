//! Arrays of NumPy as rows, labels and heads: C order, aligned, and of a type that the library takes. Python has made them so.

use half::f16;
use nckit::archive::{HeadInMemory, HeadSource, Skipped};
use nckit::batch::{Features, Label};
use nckit::error::{Error, Result};
use nckit::pipeline::{AtHand, HoldsRows, RowsAtHand};
use numpy::ndarray::Dimension;
use numpy::{Element, PyReadonlyArray, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
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

/// Rows that Python has left out: how many with nulls, how many of the ignored label, and the labels of those that are not
/// finite.
#[derive(FromPyObject)]
pub(crate) struct LeftOut<'py>(u64, u64, LabelArray<'py>);

/// Batches of rows that are looked at once more, with their labels if they have some; and the rows that were left out.
#[derive(FromPyObject)]
pub(crate) struct Again<'py>(Vec<(FeatureArray<'py>, Option<LabelArray<'py>>)>, Vec<LeftOut<'py>>);

/// The rows of the state themselves, those to be decided, and those out of distribution.
#[derive(FromPyObject)]
pub(crate) struct Further<'py>(Option<Again<'py>>, Option<Again<'py>>, Option<Again<'py>>);

/// Labels, borrowed.
#[derive(Clone, Copy)]
pub(crate) enum Labels<'a> {
    Int(&'a [i64]),
    Unsigned(&'a [u64]),
    Bool(&'a [bool]),
    Text(&'a [String]),
}

/// The values of an array.
fn slice<'a, T: Element, D: Dimension>(array: &'a PyReadonlyArray<'_, T, D>) -> Result<&'a [T]> {
    array.as_slice().map_err(|_| Error::internal("an array is not in C order, or not aligned"))
}

impl FeatureArray<'_> {
    /// The values, row by row.
    pub(crate) fn features(&self) -> Result<Features<'_>> {
        Ok(match self {
            Self::Single(array) => slice(array)?.into(),
            Self::Double(array) => slice(array)?.into(),
            Self::Half(array) => slice(array)?.into(),
        })
    }

    pub(crate) fn shape(&self) -> [usize; 2] {
        let shape = match self {
            Self::Single(array) => array.shape(),
            Self::Double(array) => array.shape(),
            Self::Half(array) => array.shape(),
        };
        [shape[0], shape[1]]
    }

    /// The rows, kept for as long as they are read.
    fn kept(&self) -> Result<KeptArray> {
        Ok(match self {
            Self::Single(array) => KeptArray::Single(Kept::of(array)?),
            Self::Double(array) => KeptArray::Double(Kept::of(array)?),
            Self::Half(array) => KeptArray::Half(Kept::of(array)?),
        })
    }
}

impl LabelArray<'_> {
    pub(crate) fn labels(&self) -> Result<Labels<'_>> {
        Ok(match self {
            Self::Int(array) => Labels::Int(slice(array)?),
            Self::Unsigned(array) => Labels::Unsigned(slice(array)?),
            Self::Bool(array) => Labels::Bool(slice(array)?),
            Self::Text(texts) => Labels::Text(texts),
        })
    }

    /// The values one by one.
    pub(crate) fn values(&self) -> Result<Vec<Label>> {
        let labels = self.labels()?;
        Ok((0..labels.len()).map(|row| labels.label(row)).collect())
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

    /// The label of a row.
    pub(crate) fn label(self, row: usize) -> Label {
        match self {
            Self::Int(labels) => labels[row].into(),
            Self::Unsigned(labels) => labels[row].into(),
            Self::Bool(labels) => labels[row].into(),
            Self::Text(labels) => labels[row].as_str().into(),
        }
    }
}

impl VectorArray<'_> {
    fn features(&self) -> Result<Features<'_>> {
        Ok(match self {
            Self::Single(array) => slice(array)?.into(),
            Self::Double(array) => slice(array)?.into(),
            Self::Half(array) => slice(array)?.into(),
        })
    }
}

impl Head<'_> {
    pub(crate) fn source(&self) -> Result<HeadSource> {
        let Self(weights, bias) = self;
        let bias = bias.as_ref().map(VectorArray::features).transpose()?;
        Ok(HeadSource::in_memory(HeadInMemory::new(weights.features()?, weights.shape(), bias)))
    }
}

impl LeftOut<'_> {
    pub(crate) fn skipped(&self) -> Result<Skipped> {
        let Self(nulls, ignored, nonfinite) = self;
        let mut skipped = Skipped { nulls: *nulls, ignored: *ignored, ..Skipped::default() };
        for label in nonfinite.values()? {
            *skipped.nonfinite.entry(label).or_default() += 1;
        }
        Ok(skipped)
    }
}

impl Again<'_> {
    fn rows(&self) -> Result<RowsAtHand> {
        let Self(batches, left_out) = self;
        let mut rows = RowsAtHand::default();
        for (features, labels) in batches {
            let labels = labels.as_ref().map(LabelArray::values).transpose()?;
            rows.add(features.kept()?, features.shape()[1], labels.map(Vec::into_iter))?;
        }
        left_out.iter().try_for_each(|left_out| left_out.skipped().map(|skipped| rows.leave_out(&skipped)))?;
        Ok(rows)
    }
}

impl Further<'_> {
    pub(crate) fn at_hand(&self) -> Result<AtHand> {
        let rows = |again: &Option<Again<'_>>| again.as_ref().map(Again::rows).transpose();
        Ok(AtHand { own: rows(&self.0)?, decisions: rows(&self.1)?, ood: rows(&self.2)? })
    }
}

/// An array that lives as long as this does, read without Python's lock.
struct Kept<T> {
    _array: Py<PyAny>,
    values: *const T,
    len: usize,
}

// SAFETY: the array is kept, so its memory stays; nothing here writes to it, as nothing does while `update` reads rows.
#[expect(unsafe_code, reason = "the array belongs to Python")]
unsafe impl<T: Sync> Send for Kept<T> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "the array belongs to Python")]
unsafe impl<T: Sync> Sync for Kept<T> {}

impl<T: Element> Kept<T> {
    fn of<D: Dimension>(array: &PyReadonlyArray<'_, T, D>) -> Result<Self> {
        let values = slice(array)?;
        Ok(Self { _array: array.as_any().clone().unbind(), values: values.as_ptr(), len: values.len() })
    }
}

impl<T> Kept<T> {
    fn values(&self) -> &[T] {
        // SAFETY: `of` has them from a slice of the array that is kept.
        #[expect(unsafe_code, reason = "the array belongs to Python")]
        unsafe {
            std::slice::from_raw_parts(self.values, self.len)
        }
    }
}

enum KeptArray {
    Single(Kept<f32>),
    Double(Kept<f64>),
    Half(Kept<f16>),
}

impl HoldsRows for KeptArray {
    fn features(&self) -> Features<'_> {
        match self {
            Self::Single(kept) => kept.values().into(),
            Self::Double(kept) => kept.values().into(),
            Self::Half(kept) => kept.values().into(),
        }
    }
}
