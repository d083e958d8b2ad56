//! Chooses the columns of vectors and labels.

use super::codes::label_kind;
use super::dtype::{Dtype, Dtypes};
use super::escape::escaped;
use super::names::{FEATURE_NAMES, LABEL_NAMES, MORE_FEATURE_NAMES, MORE_LABEL_NAMES, is_feature_name};
use super::request::Request;
use super::schema::{Schema, list};
use super::unusable;
use crate::error::{Error, Result, did_you_mean};

/// The message of the error that no column has the name which was given for labels.
pub(super) const NO_LABEL_COLUMN: &str = "no such column for labels";

impl Schema<'_> {
    /// Chooses the column of the vectors; the text says why.
    pub(super) fn choose_features(&self, request: &Request) -> Result<(usize, &'static str)> {
        if let Some(name) = &request.features {
            let vectors = || self.names_of(|schema, root| schema.vectors(root).is_some());
            if let [field] = self.vectors_within(name)[..] {
                return Ok((field, "the vectors of the struct that was named"));
            }
            let root = self.position(name)?.ok_or_else(|| self.no_column(name, "vectors", vectors()))?;
            self.check_dtype(root, request.dtype)?;
            if self.vectors(root).is_none() {
                return Err(unusable::feature(self, root));
            }
            return Ok((root, "named"));
        }
        let vectors: Vec<usize> = (0..self.columns().len()).filter(|&root| self.vectors(root).is_some()).collect();
        match vectors[..] {
            [] => self.known_integers().or_else(|| self.only_bytes(request)).ok_or_else(|| unusable::features(self)),
            [only] => Ok((only, "only vector column")),
            _ => {
                let called = |names: &[&str]| -> Vec<usize> {
                    vectors.iter().copied().filter(|&root| names.contains(&self.column(root).name.as_str())).collect()
                };
                let known = called(&FEATURE_NAMES);
                let known = if known.is_empty() { called(&MORE_FEATURE_NAMES) } else { known };
                if let [only] = known[..] {
                    return Ok((only, "well-known name"));
                }
                let candidates = if known.is_empty() { &vectors } else { &known };
                let names: Vec<&str> = candidates.iter().map(|&root| self.column(root).name.as_str()).collect();
                names.iter().try_for_each(|name| self.position(name).map(drop))?;
                Err(Error::usage("several columns hold vectors")
                    .with("columns", list(&names))
                    .help(format!("name one: --features {}", escaped(names[0]))))
            }
        }
    }

    /// The only column of integer lists that has a well-known name of features.
    fn known_integers(&self) -> Option<(usize, &'static str)> {
        let is_known = |root: &usize| self.integers(*root).is_some() && is_feature_name(&self.column(*root).name);
        let known: Vec<usize> = (0..self.columns().len()).filter(is_known).collect();
        if let [only] = known[..] { Some((only, "well-known name")) } else { None }
    }

    /// The only column of bytes, where their type is given.
    fn only_bytes(&self, request: &Request) -> Option<(usize, &'static str)> {
        request.dtype?;
        let bytes: Vec<usize> = (0..self.columns().len()).filter(|&root| self.plain_bytes(root).is_some()).collect();
        if let [only] = bytes[..] { Some((only, "only column of bytes")) } else { None }
    }

    /// The same as [`check_dtype`](Self::check_dtype) for a column that nobody has named: where it has a type of its own, a
    /// column of bytes may be meant.
    pub(super) fn check_chosen_dtype(&self, root: usize, dtype: Option<Dtype>) -> Result<()> {
        let Some(dtype) = dtype else { return Ok(()) };
        let has_own = !self.column(root).is_decimal && self.plain_bytes(root).is_none();
        match (0..self.columns().len()).find(|&other| self.plain_bytes(other).is_some()).filter(|_| has_own) {
            Some(bytes) => Err(Error::usage("--dtype does not say which column it is for")
                .with("vectors", escaped(&self.column(root).name))
                .with("bytes", escaped(&self.column(bytes).name))
                .help(format!("--features {} --dtype {}", escaped(&self.column(bytes).name), dtype.name()))),
            None => self.check_dtype(root, Some(dtype)),
        }
    }

    /// Checks that a type is given for fixed-size binary only, and that its width divides that of the column.
    fn check_dtype(&self, root: usize, dtype: Option<Dtype>) -> Result<()> {
        let Some(dtype) = dtype else { return Ok(()) };
        let column = || escaped(&self.column(root).name);
        if self.column(root).is_decimal {
            return match dtype {
                Dtype::F32 | Dtype::F64 => Ok(()),
                _ => Err(Error::usage("decimals in a text are read as f64, which is the default, or as f32")
                    .with("column", column())
                    .help("--dtype f32")),
            };
        }
        let width = match (self.plain_bytes(root), self.vectors(root)) {
            (Some(width), _) => width,
            (None, Some(vectors)) if vectors.element().name() == dtype.name() => return Ok(()),
            (None, Some(_)) => {
                return Err(Error::usage("--dtype is for fixed-size binary, and this column has a type of its own")
                    .with("column", column())
                    .with("type", self.kind(root))
                    .help("leave --dtype out"));
            }
            (None, None) => return Ok(()),
        };
        if width > 0 && width.is_multiple_of(dtype.width()) {
            return Ok(());
        }
        let fitting: Vec<&str> =
            Dtype::ALL.into_iter().filter(|dtype| width.is_multiple_of(dtype.width())).map(Dtype::name).collect();
        let error = Error::usage("the width of the column is not a multiple of the width of the type")
            .with("column", column())
            .with("type", self.kind(root))
            .with("bytes of a value", dtype.width());
        Err(match fitting[..] {
            [] => error.help("a vector has an even number of bytes: name another column with --features"),
            _ => error.help(format!("--dtype {} would fit", fitting.join(" or "))),
        })
    }

    /// Chooses the column of the labels; the text says why. `None` if labels are optional and no column fits.
    pub(super) fn choose_labels(&self, request: &Request) -> Result<Option<(usize, &'static str)>> {
        let usable = |root: &usize| label_kind(&self.column(*root).data_type).is_some();
        if let Some(name) = &request.labels {
            match self.position(name)? {
                Some(root) if request.any_labels && !usable(&root) => {}
                None if request.any_labels => {}
                Some(root) => {
                    self.label_kind(root)?;
                    return Ok(Some((root, "named")));
                }
                None => return Err(self.no_column(name, "labels", self.scalars())),
            }
        }
        let called = |names: &[&str]| {
            self.names_of(|schema, root| {
                names.contains(&schema.column(root).name.as_str())
                    && label_kind(&schema.column(root).data_type).is_some()
            })
        };
        let known = called(&LABEL_NAMES);
        let known = if known.is_empty() { called(&MORE_LABEL_NAMES) } else { known };
        match known[..] {
            [] if request.labels_optional => Ok(None),
            [] => Err(unusable::labels(self)),
            [only] => Ok(self.position(only)?.map(|root| (root, "well-known name"))),
            _ if request.any_labels => Ok(None),
            _ => Err(Error::usage("several columns have well-known names of labels")
                .with("columns", list(&known))
                .help(format!("name one: --labels {}", escaped(known[0])))),
        }
    }

    fn no_column(&self, name: &str, what: &str, candidates: Vec<&str>) -> Error {
        let all = self.names();
        let near = did_you_mean(name, all.iter().copied()).map(|near| escaped(&near));
        let shown = if candidates.is_empty() { all } else { candidates };
        let error = Error::usage(if what == "labels" { NO_LABEL_COLUMN } else { "no such column for vectors" })
            .with("column", escaped(name))
            .with("columns", list(&shown));
        near.into_iter().fold(error, Error::help)
    }
}

/// Checks that each type is for a column of fixed-size binary that exists and whose width it divides.
pub(super) fn check_dtypes(schema: &Schema<'_>, dtypes: &Dtypes) -> Result<()> {
    for (name, dtype) in dtypes {
        let root = schema.position(name)?.ok_or_else(|| schema.no_column(name, "vectors", Vec::new()))?;
        schema.check_dtype(root, Some(*dtype))?;
        if schema.vectors(root).is_none() {
            return Err(unusable::feature(schema, root));
        }
    }
    Ok(())
}
