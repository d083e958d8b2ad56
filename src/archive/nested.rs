//! Fields of structs as columns of their own, called `outer.inner`.

use arrow::array::{Array as _, ArrayRef, AsArray as _, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields};

use super::damage::damaged;
use crate::error::Result;

/// A field of a struct, at any depth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StructField {
    /// The names from the column to the field, with dots between them.
    pub(super) name: String,
    /// Which field of each struct on the way it is.
    pub(super) path: Vec<usize>,
    /// The type of the field.
    pub(super) data_type: DataType,
    /// Whether it holds the elements of vectors of Spark ML, whose struct says in `type` whether they are all of them.
    pub(super) is_spark: bool,
}

/// The fields of a column, those of structs within it too; none if it is no struct.
pub(super) fn fields(name: &str, kind: &DataType) -> Vec<StructField> {
    let mut found = Vec::new();
    collect(name, &mut Vec::new(), kind, &mut found);
    found
}

fn collect(name: &str, path: &mut Vec<usize>, kind: &DataType, found: &mut Vec<StructField>) {
    let DataType::Struct(fields) = kind else { return };
    let is_spark = is_spark_vector(fields);
    // Beside indices there are only some elements of a vector, or none of it.
    let is_sparse = fields.iter().any(|field| field.name() == "indices") && !is_spark;
    for (at, field) in fields.iter().enumerate() {
        let is_twice = fields.iter().filter(|other| other.name() == field.name()).count() > 1;
        if is_twice || (is_sparse && field.data_type().is_nested()) || (is_spark && field.name() != "values") {
            continue;
        }
        let name = format!("{name}.{}", field.name());
        path.push(at);
        match field.data_type() {
            kind @ DataType::Struct(_) => collect(&name, path, kind, found),
            kind => found.push(StructField { name, path: path.clone(), data_type: kind.clone(), is_spark }),
        }
        path.pop();
    }
}

/// Whether a struct is a `VectorUDT` of Spark ML: a dense vector has its elements in `values`, and of a sparse one only those
/// that `indices` lists are there.
fn is_spark_vector(fields: &Fields) -> bool {
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let holds = |at: usize, of: &dyn Fn(&DataType) -> bool| match fields[at].data_type() {
        DataType::List(item) | DataType::LargeList(item) => of(item.data_type()),
        _ => false,
    };
    names == ["type", "size", "indices", "values"]
        && fields[0].data_type().is_integer()
        && holds(2, &DataType::is_integer)
        && holds(3, &|item| *item == DataType::Float64)
}

/// The field of a struct type; `None` if there is none.
pub(super) fn type_at<'a>(kind: &'a DataType, path: &[usize]) -> Option<&'a DataType> {
    path.iter().try_fold(kind, |kind, &at| match kind {
        DataType::Struct(fields) => fields.get(at).map(|field| field.data_type()),
        _ => None,
    })
}

/// The field of an array of structs that these names lead to. A field of a null is null.
pub(super) fn array_at(array: &ArrayRef, names: &[String]) -> Result<ArrayRef> {
    names.iter().try_fold(array.clone(), |array, name| {
        let structs = array.as_struct_opt().ok_or_else(|| damaged("a column is no struct"))?;
        let field = structs.column_by_name(name).ok_or_else(|| damaged("a struct lacks a field"))?;
        with_nulls(field, structs.nulls())
    })
}

/// The same array with these nulls beside its own.
pub(super) fn with_nulls(array: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
    if nulls.is_none_or(|nulls| nulls.null_count() == 0) {
        return Ok(array.clone());
    }
    let nulls = NullBuffer::union(array.nulls(), nulls);
    let data = array.to_data().into_builder().nulls(nulls).build().map_err(damaged)?;
    Ok(make_array(data))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StructArray};
    use arrow::datatypes::Field;

    use super::*;

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new_list_field(item, true)))
    }

    fn structure(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect())
    }

    #[test]
    fn fields_are_found_at_any_depth_and_parts_of_vectors_are_not() {
        let names = |kind: &DataType| -> Vec<String> {
            fields("e", kind).into_iter().map(|field| format!("{} {:?}", field.name, field.path)).collect()
        };
        let inner = structure(&[("values", list(DataType::Float32)), ("label", DataType::Int64)]);
        assert_eq!(names(&inner), ["e.values [0]", "e.label [1]"]);
        let outer = structure(&[("id", DataType::Utf8), ("emb", inner)]);
        assert_eq!(names(&outer), ["e.id [0]", "e.emb.values [1, 0]", "e.emb.label [1, 1]"]);
        let sparse = structure(&[("indices", list(DataType::Int32)), ("values", list(DataType::Float32))]);
        assert!(names(&sparse).is_empty());
        let spark = structure(&[
            ("type", DataType::Int8),
            ("size", DataType::Int32),
            ("indices", list(DataType::Int32)),
            ("values", list(DataType::Float64)),
        ]);
        let found = fields("e", &spark);
        assert!(found.len() == 1 && found[0].is_spark && found[0].path == [3], "{found:?}");
        assert!(names(&structure(&[("a", DataType::Int8), ("a", DataType::Int8)])).is_empty());
    }

    #[test]
    fn a_field_of_a_null_is_null() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let fields = Fields::from(vec![Field::new("a", DataType::Int64, true)]);
        let nulls = NullBuffer::from(vec![true, true, false]);
        let outer: ArrayRef = Arc::new(StructArray::new(fields, vec![values], Some(nulls)));
        let found = array_at(&outer, &["a".to_owned()]).unwrap();
        assert_eq!((0..3).map(|row| found.is_null(row)).collect::<Vec<_>>(), [false, true, true]);
    }
}
