//! A head that a program holds in memory.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::elements::{Element, Elements, Tensor};
use super::{HeadParts, Wanted};
use crate::batch::Features;

/// A head that no file holds; equal to its copies alone.
#[derive(Clone, Debug)]
pub struct HeadInMemory(Arc<Arrays>);

#[derive(Debug)]
struct Arrays {
    weights: Array,
    bias: Option<Array>,
}

#[derive(Debug)]
struct Array {
    shape: Vec<usize>,
    element: Element,
    elements: Elements,
}

impl HeadInMemory {
    /// From the weights, row-major, with their shape, and the bias. Shapes are checked when the head is used, like those of
    /// a file: the weights are class × dim, or dim × class in a job that says so.
    pub fn new(weights: Features<'_>, shape: [usize; 2], bias: Option<Features<'_>>) -> Self {
        let bias = bias.map(|bias| Array::new(bias, vec![bias.len()]));
        Self(Arc::new(Arrays { weights: Array::new(weights, shape.to_vec()), bias }))
    }

    pub(super) fn parts(&self, wanted: Wanted) -> HeadParts {
        let Arrays { weights, bias } = &*self.0;
        HeadParts { weights: weights.tensor(wanted), bias: bias.as_ref().map(|bias| bias.tensor(wanted)), labels: None }
    }
}

impl Array {
    fn new(values: Features<'_>, shape: Vec<usize>) -> Self {
        let (element, bytes) = match values {
            Features::F16(values) => (Element::F16, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Features::F32(values) => (Element::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Features::F64(values) => (Element::F64, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        Self { shape, element, elements: Elements::new(element, bytes) }
    }

    fn tensor(&self, wanted: Wanted) -> Tensor {
        let elements = match wanted {
            Wanted::Shape => Elements::new(self.element, Vec::new()),
            Wanted::Numbers => self.elements.clone(),
        };
        Tensor { shape: self.shape.clone(), column_major: false, elements }
    }
}

impl PartialEq for HeadInMemory {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for HeadInMemory {}

impl Hash for HeadInMemory {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{HeadSource, Naming, Outline, Spellings, StoredHead};
    use crate::batch::Label;

    #[test]
    fn arrays_are_a_head_without_files() {
        let weights = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let of = |shape, bias: &[f64]| {
            let head = HeadInMemory::new((&weights[..]).into(), shape, Some(bias.into()));
            let path = HeadSource::in_memory(head).fill(&[], &Spellings::default()).unwrap();
            assert!(path.exists() && path.files().next().is_none());
            path
        };
        let path = of([3, 2], &[0.5, -0.5, 0.25]);
        assert_eq!(Outline::read(&path, false).unwrap().dim(), 2);
        let head = StoredHead::read(&path, false).unwrap();
        let labels = [Label::Int(0), Label::Int(2)];
        let head = head.for_classes(&labels, 2, &Naming::default()).unwrap();
        assert_eq!((head.weights, head.bias), (vec![1.0, 2.0, 5.0, 6.0], Some(vec![0.5, 0.25])));
        // The same numbers as dim × class, and a bias that does not fit.
        assert_eq!(StoredHead::read(&of([2, 3], &[0.0; 3]), true).unwrap().outline().dim(), 2);
        assert!(StoredHead::read(&of([3, 2], &[0.0; 2]), false).is_err());
    }
}
