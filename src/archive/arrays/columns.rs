//! Which arrays of a file are columns, and which are not.

use std::collections::BTreeSet;

use super::bytes::Place;
use super::elements::{Element, Kind};
use super::streams::list_type;
use crate::archive::container::{ArrayNames, FEATURE, LABEL, StoredColumn};
use crate::archive::dtype::ElementType;
use crate::archive::escape::escaped;
use crate::archive::names::{is_feature_name, is_label_name};
use crate::error::{Error, Result, did_you_mean};

/// An array of a file.
#[derive(Clone, Debug)]
pub(in crate::archive) struct StoredArray {
    pub(in crate::archive) name: String,
    /// `None` if its elements cannot be read.
    pub(in crate::archive) element: Option<Element>,
    /// The type as the file names it.
    pub(in crate::archive) type_name: String,
    pub(in crate::archive) shape: Vec<u64>,
    /// Whether its first index varies fastest.
    pub(in crate::archive) column_major: bool,
    pub(in crate::archive) place: Place,
}

/// A column of a file.
#[derive(Debug)]
pub(super) enum Column {
    Array(Content),
    /// The number of the layer.
    Layer,
}

/// An array that is a column.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) element: Element,
    pub(super) place: Place,
    pub(super) column_major: bool,
    /// Rows of the array, those of all layers.
    pub(super) rows: u64,
    /// Elements of a row.
    pub(super) dim: usize,
    /// Whether a row is a list even if it has one element.
    pub(super) is_list: bool,
    /// Whether the array has rows of its own for each layer.
    pub(super) is_layered: bool,
    /// Rows of a layer.
    pub(super) layer_rows: u64,
}

impl Content {
    /// Bytes of a row.
    pub(super) fn width(&self) -> usize {
        self.dim * self.element.width()
    }

    /// The length of its lists; `None` for single values.
    pub(super) fn listed(&self) -> Option<usize> {
        self.is_list.then_some(self.dim)
    }

    /// Whether its rows are vectors.
    pub(super) fn is_vectors(&self) -> bool {
        self.is_list && self.element.vector().is_some()
    }
}

/// What an array can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Vectors,
    /// A single value a row.
    Single,
    /// Vectors for each layer.
    Layers,
    /// Lists of a type that vectors cannot have.
    Lists,
    Unusable,
}

impl StoredArray {
    /// Its rows in each layer.
    fn rows(&self, role: Role) -> u64 {
        self.shape.get(usize::from(role == Role::Layers)).copied().unwrap_or(1)
    }

    /// Whether it has one value a row, as labels have.
    pub(in crate::archive) fn is_single(&self) -> bool {
        self.role(false) == Role::Single
    }

    /// Whether it has more than one value a row, or may have: not all arrays are read.
    pub(in crate::archive) fn may_be_features(&self) -> bool {
        !self.is_single() && (self.element.is_none() || !self.shape.is_empty())
    }

    /// `layers` says whether a third dimension, the first one, may be that of layers.
    fn role(&self, layers: bool) -> Role {
        let Some(element) = self.element.filter(|element| element.width() > 0) else { return Role::Unusable };
        let fits = |dim: u64| dim > 0 && i32::try_from(dim).is_ok();
        let is_integer = matches!(element.kind, Kind::Int(_) | Kind::UInt(_) | Kind::Bool) || element.is_text();
        match self.shape[..] {
            [_] => Role::Single,
            [_, 1] if is_integer => Role::Single,
            [_, dim] if !fits(dim) || element.is_text() => Role::Unusable,
            [_, _] if element.vector().is_some() => Role::Vectors,
            [_, _] => Role::Lists,
            [_, _, dim] if layers && fits(dim) && element.vector().is_some() && !self.column_major => Role::Layers,
            _ => Role::Unusable,
        }
    }

    /// Name, shape and type, as `x (50000 × 3 × 32 × 32, <f4)`.
    fn shown(&self) -> String {
        let shape: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        let shape = if shape.is_empty() { "single value".to_owned() } else { shape.join(" × ") };
        format!("{} ({shape}, {})", escaped(&self.name), escaped(&self.type_name))
    }

    /// How to make vectors of it.
    fn remedy(&self) -> &'static str {
        match (self.element, &self.shape[..]) {
            (Some(_), [_, _, _, ..]) => "features have two dimensions: save x.reshape(len(x), -1)",
            (Some(_), [_, 0]) => "its rows have no elements: features have two dimensions, rows × D",
            (Some(_), [_, _]) => "features are floats, or integers of 8 bits: save x.astype(\"float32\")",
            (Some(_), [_]) => "features have two dimensions, rows × D; save labels in an array of their own",
            _ => "features are arrays of f16, bf16, f32, f64, i8 or u8 with two dimensions, rows × D",
        }
    }

    fn content(&self, role: Role, layer_rows: u64) -> Option<(StoredColumn, Content)> {
        let element = self.element?;
        let is_list = !matches!(role, Role::Single);
        let dim = if is_list { usize::try_from(*self.shape.last()?).ok()? } else { 1 };
        let column = if is_list {
            let read = element.vector().map_or_else(|| element.data_type(), ElementType::data_type);
            let read_list = list_type(read, dim)?;
            StoredColumn {
                written_type: list_type(element.data_type(), dim)?,
                is_bf16: element.kind == Kind::Bf16,
                ..StoredColumn::new(&self.name, read_list)
            }
        } else {
            StoredColumn::new(&self.name, element.data_type())
        };
        let is_layered = role == Role::Layers;
        let rows = if is_layered { self.shape[0].checked_mul(layer_rows)? } else { layer_rows };
        let Self { place, column_major, .. } = *self;
        let content = Content { element, place, column_major, rows, dim, is_list, is_layered, layer_rows };
        Some((column, content))
    }
}

/// The columns of a file.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) columns: Vec<StoredColumn>,
    pub(super) contents: Vec<Column>,
    /// Rows of a layer.
    pub(super) rows: u64,
    pub(super) layers: u64,
}

/// Arrays as they are listed in errors.
fn listed<'a>(arrays: impl Iterator<Item = &'a StoredArray>) -> String {
    const MOST: usize = 12;
    let shown: Vec<String> = arrays.map(StoredArray::shown).collect();
    match shown.len() {
        0 => "none".to_owned(),
        count if count > MOST => format!("{} and {} more", shown[..MOST].join(", "), count - MOST),
        _ => shown.join(", "),
    }
}

/// The error of features and labels whose rows are not as many.
pub(in crate::archive) fn unequal_rows(features: u64, labels: u64) -> Error {
    Error::data("features and labels do not have equally many rows")
        .with("rows of features", features)
        .with("rows of labels", labels)
        .help("each row of features has one label, at the same place: save both from the same rows")
}

/// The columns [`FEATURE`] and [`LABEL`] of arrays by these names.
pub(super) fn named(arrays: &[StoredArray], names: &ArrayNames, layers: bool) -> Result<Chosen> {
    let find = |name: &str| {
        arrays.iter().find(|array| array.name == name).ok_or_else(|| {
            let error = Error::usage("the file has no such array")
                .with("array", escaped(name))
                .with("arrays", listed(arrays.iter()));
            let near = did_you_mean(name, arrays.iter().map(|array| array.name.as_str()));
            near.into_iter().fold(error, |error, near| error.help(escaped(&near)))
        })
    };
    let features = find(&names.features)?;
    let role = features.role(layers);
    if !matches!(role, Role::Vectors | Role::Layers) {
        return Err(no_vectors([features].into_iter()));
    }
    let mut chosen = vec![(StoredArray { name: FEATURE.to_owned(), ..features.clone() }, role)];
    if let Some(name) = &names.labels {
        let labels = find(name)?;
        if labels.role(layers) != Role::Single {
            return Err(no_labels(labels));
        }
        chosen.push((StoredArray { name: LABEL.to_owned(), ..labels.clone() }, Role::Single));
    }
    of(&chosen, features.rows(role))
}

/// All arrays that can be columns: those with as many rows as the features have.
pub(super) fn all(arrays: &[StoredArray], layers: bool) -> Result<Chosen> {
    let with_roles: Vec<(&StoredArray, Role)> = arrays.iter().map(|array| (array, array.role(layers))).collect();
    let is_vectors = |role: Role| matches!(role, Role::Vectors | Role::Layers);
    let mut vectors: Vec<(&StoredArray, Role)> =
        with_roles.iter().copied().filter(|(_, role)| is_vectors(*role)).collect();
    let shapes = |vectors: &[(&StoredArray, Role)]| {
        let shape = |(array, role): &(&StoredArray, Role)| (array.rows(*role), *role == Role::Layers, array.shape[0]);
        vectors
            .iter()
            .map(shape)
            .map(|(rows, layered, first)| (rows, layered.then_some(first)))
            .collect::<BTreeSet<_>>()
    };
    if shapes(&vectors).len() > 1 {
        vectors.retain(|(array, _)| is_feature_name(&array.name));
        if vectors.len() != 1 {
            return Err(Error::usage("the arrays of vectors do not have equally many rows")
                .with(
                    "arrays",
                    listed(with_roles.iter().filter(|(_, role)| is_vectors(*role)).map(|(array, _)| *array)),
                )
                .help("name features and labels behind a colon: FILE:FEATURES,LABELS"));
        }
    }
    for (array, role) in &with_roles {
        // Labels that cannot be read would otherwise seem to be missing.
        if is_label_name(&array.name) && *role == Role::Unusable {
            return Err(no_labels(array));
        }
    }
    let unusable = || with_roles.iter().filter(|(_, role)| matches!(role, Role::Unusable | Role::Lists));
    let single = || with_roles.iter().filter(|(_, role)| *role == Role::Single);
    let Some(rows) = vectors.first().map(|(array, role)| array.rows(*role)) else {
        let mut lengths: BTreeSet<u64> = single().map(|(array, role)| array.rows(*role)).collect();
        return match (lengths.pop_first(), lengths.is_empty(), unusable().next()) {
            (Some(rows), true, None) => {
                let chosen: Vec<_> = single().map(|(array, role)| ((*array).clone(), *role)).collect();
                of(&chosen, rows)
            }
            _ => Err(no_vectors(arrays.iter())),
        };
    };
    let labels: Vec<u64> =
        single().filter(|(array, _)| is_label_name(&array.name)).map(|(array, role)| array.rows(*role)).collect();
    if let Some(&other) = labels.first().filter(|_| !labels.contains(&rows)) {
        return Err(unequal_rows(rows, other));
    }
    let names: BTreeSet<&str> = vectors.iter().map(|(array, _)| array.name.as_str()).collect();
    let mut chosen: Vec<(StoredArray, Role)> = Vec::new();
    for (array, role) in with_roles {
        let is_chosen = is_vectors(role) && names.contains(array.name.as_str());
        let is_beside = matches!(role, Role::Single | Role::Lists) && array.rows(role) == rows;
        if is_chosen || is_beside {
            chosen.push((array.clone(), role));
        }
    }
    of(&chosen, rows)
}

fn of(arrays: &[(StoredArray, Role)], rows: u64) -> Result<Chosen> {
    let mut chosen = Chosen { rows, layers: 1, ..Chosen::default() };
    for (array, role) in arrays {
        if array.rows(*role) != rows {
            return Err(unequal_rows(rows, array.rows(*role)));
        }
        if *role == Role::Layers {
            chosen.layers = array.shape[0];
        }
        let (column, content) = array
            .content(*role, rows)
            .ok_or_else(|| Error::internal("an array has no column").with("array", &array.name))?;
        chosen.columns.push(column);
        chosen.contents.push(Column::Array(content));
    }
    if arrays.iter().any(|(_, role)| *role == Role::Layers) && arrays.iter().all(|(array, _)| array.name != LAYER) {
        chosen.columns.push(StoredColumn::new(LAYER, arrow::datatypes::DataType::Int64));
        chosen.contents.push(Column::Layer);
    }
    Ok(chosen)
}

/// The column of the first dimension of three.
const LAYER: &str = "layer";

fn no_vectors<'a>(arrays: impl Iterator<Item = &'a StoredArray> + Clone) -> Error {
    let error =
        Error::data("no array holds vectors of f16, bf16, f32, f64, i8 or u8").with("arrays", listed(arrays.clone()));
    // The one with the most numbers was meant.
    let largest = arrays.max_by_key(|array| array.shape.iter().fold(1_u64, |all, &extent| all.saturating_mul(extent)));
    error.help(largest.map_or("save features as an array of rows × D", StoredArray::remedy))
}

fn no_labels(array: &StoredArray) -> Error {
    let error = Error::data("the array holds no labels: they are one integer, text or boolean a row")
        .with("array", array.shown());
    match array.shape[..] {
        [_, _] => error.help("if its rows are one-hot, save y.argmax(1)"),
        _ => error,
    }
}
