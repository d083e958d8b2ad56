//! Errors about columns that cannot be used: their types, and how to use them after all.

use arrow::datatypes::{DataType, Field};

use super::codes::label_kind;
use super::escape::escaped;
use super::names::{LABEL_NAMES, MORE_LABEL_NAMES};
use super::schema::{Schema, list};
use crate::error::Error;

/// From this many columns of single floats on, they are taken for the elements of a vector.
const ELEMENTS: usize = 4;

/// The error of a file in which no column holds vectors.
pub(super) fn features(schema: &Schema<'_>) -> Error {
    let error = Error::usage("no column holds vectors of f16, f32 or f64").with("columns", typed(schema));
    let roots = 0..schema.names().len();
    let hint = roots.clone().find_map(|root| hint(schema, root)).or_else(|| elements(schema));
    error.help(hint.unwrap_or_else(|| {
        "vectors are lists of floats, arrays of rows × D, or fixed_size_binary and --dtype".to_owned()
    }))
}

/// The error of a named column that does not hold vectors.
pub(super) fn feature(schema: &Schema<'_>, root: usize) -> Error {
    let error = Error::usage("the column holds no vectors of f16, f32 or f64")
        .with("column", escaped(&schema.column(root).name))
        .with("type", schema.kind(root));
    error.help(hint(schema, root).unwrap_or_else(|| {
        "vectors are lists of floats, arrays of rows × D, or fixed_size_binary and --dtype".to_owned()
    }))
}

/// The error of a file in which no column can be taken for labels.
pub(super) fn labels(schema: &Schema<'_>) -> Error {
    let scalars = schema.scalars();
    let error = Error::usage("no column has a well-known name of labels")
        .with("looked for", [&LABEL_NAMES[..], &MORE_LABEL_NAMES].concat().join(", "));
    let is_part =
        |name: &str, part: &str| name == part || name.strip_suffix(part).is_some_and(|front| front.ends_with('.'));
    if schema.names().iter().any(|name| is_part(name, "weight")) {
        let error = error.with("columns", list(&schema.names()));
        return error.help("a file with weights is a classifier: name the features, and --head FILE beside them");
    }
    let is_called = |root: &usize| {
        let name = schema.column(*root).name.as_str();
        LABEL_NAMES.contains(&name) || MORE_LABEL_NAMES.contains(&name)
    };
    if let Some(root) = (0..schema.names().len()).find(is_called) {
        return Error::usage("the column of labels is of a type that labels cannot have")
            .with("column", escaped(&schema.column(root).name))
            .with("type", schema.kind(root))
            .help("labels are integers, strings, booleans, or floats that hold integers: cast it, or --labels COLUMN");
    }
    if scalars.is_empty() {
        return error
            .with("columns", typed(schema))
            .help(
                "labels are a column of integers, strings, booleans, or floats that hold integers, or a file with one label \
                 a row: --labels labels.npy",
            );
    }
    let likely = scalars.iter().find(|name| LABEL_NAMES.iter().any(|known| name.to_lowercase().contains(known)));
    let only = scalars.first().filter(|_| scalars.len() == 1);
    let name = likely.or(only).map_or_else(|| "COLUMN".to_owned(), |name| escaped(name));
    error.with("columns", list(&scalars)).help(format!("name one: --labels {name}"))
}

/// All columns with their types.
fn typed(schema: &Schema<'_>) -> String {
    let typed: Vec<String> =
        schema.names().iter().enumerate().map(|(root, name)| format!("{name} {}", schema.kind(root))).collect();
    list(&typed.iter().map(String::as_str).collect::<Vec<_>>())
}

/// How to get vectors from a column.
fn hint(schema: &Schema<'_>, root: usize) -> Option<String> {
    let column = schema.column(root);
    let name = quoted(&column.name);
    Some(match &column.data_type {
        DataType::FixedSizeBinary(_) => {
            schema.plain_bytes(root)?;
            format!(
                "if its bytes are numbers, say of which type: --features {} --dtype f32 (or f16, bf16, f64)",
                escaped(&column.name)
            )
        }
        DataType::Binary => {
            format!("{name} is binary of any length: write it as lists of floats, or as fixed_size_binary")
        }
        // A struct with one field of vectors would have been taken.
        DataType::Struct(fields) => match schema.vectors_within(&column.name).first() {
            Some(&field) => format!("name one of its fields: --features {}", escaped(&schema.column(field).name)),
            None if fields.iter().any(|field| field.name() == "indices") => {
                "values beside indices are a part of a vector: write whole vectors".to_owned()
            }
            None => return None,
        },
        DataType::List(item) if is_vector(item) => in_sql(schema, &format!("flatten({name})")),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
            if schema.integers(root).is_some() =>
        {
            let wide = schema.integers(root).map_or("f64", super::dtype::ElementType::name);
            format!(
                "lists of {} are vectors if they are named, and {wide} holds them exactly: --features {}",
                item.data_type().to_string().to_lowercase(),
                escaped(&column.name)
            )
        }
        DataType::List(item) if item.data_type().is_integer() => format!(
            "integers of 64 bits do not all fit an f64; if these do: {}",
            in_sql(schema, &format!("arrow_cast({name}, 'List(Float64)')"))
        ),
        _ => return None,
    })
}

/// The elements of vectors in columns of their own.
fn elements(schema: &Schema<'_>) -> Option<String> {
    let names = schema.names();
    let floats: Vec<&str> =
        (0..names.len()).filter(|&root| schema.column(root).data_type.is_floating()).map(|root| names[root]).collect();
    let (first, last) = (floats.first()?, floats.last()?);
    if floats.len() < ELEMENTS {
        return None;
    }
    let prefix = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let pattern = if prefix(first).is_empty() { "[0-9]*".to_owned() } else { format!("{}*", prefix(first)) };
    let numbered = floats.iter().all(|name| prefix(name) == prefix(first) && *name != prefix(first));
    let in_sql = in_sql(schema, &format!("make_array({}, …, {})", quoted(first), quoted(last)));
    Some(if numbered {
        format!("columns of elements are vectors by a pattern: --features '{}'; {in_sql}", escaped(&pattern))
    } else {
        in_sql
    })
}

fn is_vector(field: &Field) -> bool {
    matches!(field.data_type(), DataType::List(item) if item.data_type().is_floating())
}

/// A query that makes vectors from other columns.
fn in_sql(schema: &Schema<'_>, vectors: &str) -> String {
    let names = schema.names();
    let label = LABEL_NAMES.iter().find(|label| {
        names
            .iter()
            .position(|name| name == *label)
            .is_some_and(|root| label_kind(&schema.column(root).data_type).is_some())
    });
    let label = label.map_or("label", |label| label);
    if cfg!(feature = "sql") {
        format!("in nckit sql it is a vector: SELECT nc1_pinv({vectors}, {label}) FROM 'FILE'")
    } else {
        "a build with the feature `sql` makes a vector of it in a query".to_owned()
    }
}

/// A name in SQL: quoted unless it is plain and in lower case.
fn quoted(name: &str) -> String {
    let plain =
        name.chars().enumerate().all(|(at, c)| c == '_' || c.is_ascii_lowercase() || (at > 0 && c.is_ascii_digit()));
    if plain && !name.is_empty() { name.to_owned() } else { escaped(&format!("\"{}\"", name.replace('"', "\"\""))) }
}
