//! The columns of the container: the roots of the schema, and behind them the fields of those that are structs.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Fields};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::schema::types::TypePtr;

use super::leaves::leaves_of;
use crate::archive::nested::{StructField, fields};

/// A column, and where it is stored.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) root: usize,
    /// Which leaf columns it takes.
    pub(super) leaves: Range<usize>,
    /// The names from the root to the field that it is; none if it is the root.
    pub(super) names: Vec<String>,
    pub(super) data_type: DataType,
    /// The leaf that says of vectors of Spark ML whether they are dense.
    pub(super) spark_type: Option<usize>,
}

/// The fields of all structs, as columns: each with its root.
pub(super) fn all_fields(metadata: &ArrowReaderMetadata) -> Vec<(usize, StructField)> {
    let roots = metadata.schema().fields();
    let of_root = |(root, field): (usize, &Arc<arrow::datatypes::Field>)| {
        fields(field.name(), field.data_type()).into_iter().map(move |field| (root, field))
    };
    roots
        .iter()
        .enumerate()
        .flat_map(of_root)
        .filter(|(root, field)| place(metadata, *root, &field.path).is_some())
        .collect()
}

/// The leaf columns of a field, counted from the first one of its root.
fn place(metadata: &ArrowReaderMetadata, root: usize, path: &[usize]) -> Option<Range<usize>> {
    let mut group: &TypePtr = &metadata.parquet_schema().root_schema().get_fields()[root];
    let mut first = 0;
    for &at in path {
        if group.is_primitive() {
            return None;
        }
        let children = group.get_fields();
        first += children.get(..at)?.iter().map(count).sum::<usize>();
        group = children.get(at)?;
    }
    Some(first..first + count(group))
}

/// How many leaf columns a type has.
fn count(kind: &TypePtr) -> usize {
    if kind.is_primitive() { 1 } else { kind.get_fields().iter().map(count).sum() }
}

impl Column {
    /// The column of that number. There is one.
    pub(super) fn of(metadata: &ArrowReaderMetadata, column: usize) -> Self {
        let roots: &Fields = metadata.schema().fields();
        if let Some(field) = roots.get(column) {
            return Self {
                root: column,
                leaves: leaves_of(metadata.metadata(), column),
                names: Vec::new(),
                data_type: field.data_type().clone(),
                spark_type: None,
            };
        }
        let (root, field) = all_fields(metadata).swap_remove(column - roots.len());
        let first = leaves_of(metadata.metadata(), root).start;
        let leaves = place(metadata, root, &field.path).unwrap_or(0..0);
        let mut names = Vec::new();
        let mut kind = roots[root].data_type();
        for &at in &field.path {
            if let DataType::Struct(fields) = kind {
                names.push(fields[at].name().clone());
                kind = fields[at].data_type();
            }
        }
        // The type comes first in its struct.
        let siblings = field.path.split_last().map(|(_, around)| [around, &[0]].concat());
        let spark_type = siblings.filter(|_| field.is_spark).and_then(|path| place(metadata, root, &path));
        Self {
            root,
            leaves: first + leaves.start..first + leaves.end,
            names,
            data_type: field.data_type,
            spark_type: spark_type.map(|leaf| first + leaf.start),
        }
    }

    /// The same with another leaf of the same struct.
    pub(super) fn sibling(&self, leaf: usize, name: &str) -> Self {
        let mut names = self.names.clone();
        names.pop();
        names.push(name.to_owned());
        Self { leaves: leaf..leaf + 1, names, data_type: DataType::Int8, spark_type: None, root: self.root }
    }
}
