//! The classifier beside the archive: its last layer's weights and bias, from Parquet, safetensors or npy.

mod elements;
mod npy;
mod parquet;
mod safetensors;
mod source;

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind as IoErrorKind;
use std::path::Path;

use self::elements::{Elements, Tensor};
pub use self::source::{HeadPath, HeadSource};
use crate::batch::Label;
use crate::error::{Error, ErrorKind, Result};
use crate::state::Head;

/// A classifier as its file holds it, all rows of it, in the type in which they are stored.
#[derive(Clone, Debug)]
pub struct StoredHead {
    path: HeadPath,
    transposed: bool,
    rows: usize,
    dim: usize,
    /// How far apart two rows, and two dimensions of a row, are in `weights`.
    strides: [usize; 2],
    weights: Elements,
    bias: Option<Elements>,
    row_of: Option<HashMap<Label, usize>>,
}

/// What a file of any format holds.
#[derive(Debug)]
struct Parts {
    weights: Tensor,
    bias: Option<Tensor>,
    labels: Option<Vec<Label>>,
}

/// Which row is whose, where the file does not name its rows.
enum Order {
    /// Row `i` is class `i`.
    Number,
    /// Row `i` is the `i`-th label in order.
    Rank,
}

impl StoredHead {
    /// Reads a head; of a `.safetensors` file no more than its own tensors.
    ///
    /// # Errors
    ///
    /// - [`Missing`](ErrorKind::Missing) if there is no such file;
    /// - [`Usage`](ErrorKind::Usage) if the key names no tensor, or several could be meant, or `transposed` cannot be;
    /// - [`Data`](ErrorKind::Data) if the file is damaged, or weights and bias are not `class × dim` and `class`.
    pub fn read(path: &HeadPath, transposed: bool) -> Result<Self> {
        let parts = match path.format()? {
            source::Format::Parquet => parquet::read(&path.weights, transposed),
            source::Format::Safetensors => safetensors::read(&path.weights, path.key.as_deref()),
            source::Format::Npy => npy::read(&path.weights, path.bias.as_deref()),
        };
        parts
            .and_then(|parts| Self::new(path, parts, transposed))
            .map_err(|error| error.with_default("file", path.weights.display()))
    }

    fn new(path: &HeadPath, parts: Parts, transposed: bool) -> Result<Self> {
        let Parts { weights, bias, labels } = parts;
        let &[first, second] = weights.shape.as_slice() else {
            return Err(Error::data("the weights of a head are class × dim").with("shape", shape(&weights.shape)));
        };
        if first == 0 || second == 0 {
            return Err(Error::data("the head is empty").with("weights", shape(&weights.shape)));
        }
        let strides = if weights.column_major { [1, first] } else { [second, 1] };
        let (rows, dim, strides) =
            if transposed { (second, first, [strides[1], strides[0]]) } else { (first, second, strides) };
        if let Some(bias) = bias.as_ref().filter(|bias| bias.shape != [rows]) {
            let error = Error::data("bias and weights of the head do not fit")
                .with("weights", shape(&weights.shape))
                .with("bias", shape(&bias.shape));
            return Err(if bias.shape == [dim] { error.help(other_way(transposed)) } else { error });
        }
        Ok(Self {
            path: path.clone(),
            transposed,
            rows,
            dim,
            strides,
            weights: weights.elements,
            bias: bias.map(|bias| bias.elements),
            row_of: labels.map(numbered).transpose()?,
        })
    }

    /// How many classes it has; possibly more than were seen.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// `D`.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether it has a bias.
    pub fn has_bias(&self) -> bool {
        self.bias.is_some()
    }

    /// The rows of these classes, in their order, which is the order of labels.
    ///
    /// A head without names of its rows has class `i` in row `i`, if all labels are integers below the number of its rows;
    /// otherwise there must be as many rows as classes, and they are taken in the order of labels.
    ///
    /// # Errors
    ///
    /// [`Data`](ErrorKind::Data) if a class has no row, the rows are not `dim` wide, or one of them is not finite.
    pub fn for_classes(&self, labels: &[Label], dim: usize) -> Result<Head> {
        let rows = self.rows_of(labels, dim).map_err(|error| self.located(error))?;
        let not_finite = |class: &Label, place: String, value: f64| {
            self.located(
                Error::data("the head is not finite").with("class", class).with("at", place).with("value", value),
            )
        };
        let mut weights = Vec::with_capacity(rows.len().saturating_mul(dim));
        for (&row, label) in rows.iter().zip(labels) {
            for j in 0..dim {
                let value = self.weights.get(row * self.strides[0] + j * self.strides[1]);
                if !value.is_finite() {
                    return Err(not_finite(label, format!("weight, dimension {j}"), value));
                }
                weights.push(value);
            }
        }
        let bias = self.bias.as_ref().map(|bias| rows.iter().map(|&row| bias.get(row)).collect::<Vec<_>>());
        if let Some(at) = bias.iter().flatten().position(|value| !value.is_finite()) {
            return Err(not_finite(
                &labels[at],
                "bias".to_owned(),
                bias.iter().flatten().nth(at).copied().unwrap_or(f64::NAN),
            ));
        }
        Ok(Head { weights, bias })
    }

    /// What the user should know of how the head is read for these classes.
    pub fn notes(&self, labels: &[Label]) -> Vec<String> {
        let mut notes = Vec::new();
        if self.rows == self.dim && self.row_of.is_none() && !self.transposed {
            notes.push(format!(
                "the head is square ({0} × {0}) and read as class × dim; if it is dim × class, say --head-transposed",
                self.rows
            ));
        }
        let integers = labels.iter().any(|label| matches!(label, Label::Int(_)));
        if self.row_of.is_none() && integers && matches!(self.order(labels), Ok(Order::Rank)) {
            notes.push(format!(
                "the labels are not 0 to {}: row i of the head is read as the i-th label in order",
                self.rows - 1
            ));
        }
        notes
    }

    fn rows_of(&self, labels: &[Label], dim: usize) -> Result<Vec<usize>> {
        if self.dim != dim {
            let error = Error::data("the head is not as wide as the features")
                .with("head", self.shape())
                .with("features", format!("{} classes × {dim}", labels.len()));
            // Fewer classes than the head has rows are no fault, so only the width decides whether the other way fits.
            let fits = self.rows == dim && self.dim >= labels.len() && self.row_of.is_none();
            return Err(if fits { error.help(other_way(self.transposed)) } else { error });
        }
        match &self.row_of {
            Some(row_of) => {
                let missing = || labels.iter().filter(|&label| !row_of.contains_key(label));
                let rows = labels.iter().map_while(|label| row_of.get(label).copied()).collect::<Vec<_>>();
                let Some(class) = missing().next() else { return Ok(rows) };
                let error = Error::data("the head has no row for a class")
                    .with("class", class)
                    .with("head", self.shape())
                    .with("missing", format!("{} of {} classes", missing().count(), labels.len()));
                let kind = row_of.keys().next().map(Label::kind).filter(|&kind| kind != class.kind());
                Err(match kind {
                    Some(kind) => error.help(format!("the head's classes are {kind}s, the labels {}s", class.kind())),
                    None => error,
                })
            }
            None => Ok(match self.order(labels)? {
                Order::Number => labels.iter().filter_map(|label| self.number(label)).collect(),
                Order::Rank => (0..self.rows).collect(),
            }),
        }
    }

    /// The row of a class that is called by its number.
    fn number(&self, label: &Label) -> Option<usize> {
        let Label::Int(number) = label else { return None };
        usize::try_from(*number).ok().filter(|&row| row < self.rows)
    }

    fn order(&self, labels: &[Label]) -> Result<Order> {
        let Some(stranger) = labels.iter().find(|&label| self.number(label).is_none()) else {
            return Ok(Order::Number);
        };
        if labels.len() == self.rows {
            return Ok(Order::Rank);
        }
        let message = if labels.len() > self.rows {
            "the head has fewer rows than there are classes"
        } else {
            "the head does not say which of its rows is whose"
        };
        Err(Error::data(message)
            .with("head", self.shape())
            .with("classes", labels.len())
            .with("class", stranger)
            .help("a Parquet head with a column `class` beside `weight` names its rows"))
    }

    fn shape(&self) -> String {
        let orientation = if self.transposed { " (stored dim × class)" } else { "" };
        format!("{} classes × {}{orientation}", self.rows, self.dim)
    }

    fn located(&self, error: Error) -> Error {
        error.with_default("file", self.path.weights.display())
    }
}

fn other_way(transposed: bool) -> &'static str {
    if transposed {
        "the head fits as class × dim: leave --head-transposed out"
    } else {
        "the head fits as dim × class: say --head-transposed"
    }
}

/// Rows by their label.
fn numbered(labels: Vec<Label>) -> Result<HashMap<Label, usize>> {
    let mut row_of = HashMap::with_capacity(labels.len());
    for (row, label) in labels.into_iter().enumerate() {
        if let Some(first) = row_of.get(&label) {
            return Err(Error::data("a class has two rows in the head")
                .with("class", &label)
                .with("rows", format!("{first} and {row}")));
        }
        row_of.insert(label, row);
    }
    Ok(row_of)
}

fn shape(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".to_owned();
    }
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ")
}

/// A file and its length in bytes.
fn open(path: &Path) -> Result<(File, u64)> {
    let metadata = path.metadata().map_err(|error| match error.kind() {
        IoErrorKind::NotFound | IoErrorKind::NotADirectory => {
            Error::missing("there is no such head").with("file", path.display())
        }
        _ => unreadable(path, error),
    })?;
    if !metadata.is_file() {
        return Err(Error::missing("the head is no file").with("file", path.display()));
    }
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    Ok((file, metadata.len()))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::io("the head cannot be read").with("file", path.display()).with("detail", &error).caused_by(error)
}

fn damaged(path: &Path, detail: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Data, "the head's file is damaged").with("file", path.display()).with("detail", detail)
}

#[cfg(test)]
mod tests;
