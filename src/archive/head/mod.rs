//! The classifier beside the archive: its last layer's weights and bias, from Parquet, safetensors, pt or npy.

mod elements;
mod file;
mod in_memory;
mod index;
mod names;
mod naming;
mod npy;
mod parquet;
mod pt;
mod safetensors;
mod source;
mod template;

use std::collections::HashMap;
use std::io::ErrorKind as IoErrorKind;
use std::path::Path;

use self::elements::{Elements, Tensor};
use self::file::HeadFile;
pub use self::in_memory::HeadInMemory;
pub use self::names::ClassNames;
pub use self::naming::{HeadRows, Naming, Way};
#[cfg(feature = "sql")]
pub(crate) use self::source::LEAST_SQUARES;
pub use self::source::{HeadPath, HeadSource};
pub use self::template::Spellings;
use crate::archive::read_at;
use crate::batch::Label;
use crate::error::{Error, ErrorKind, Result};
use crate::objects::is_address;
use crate::state::Head;

/// The shape of a classifier and the names of its rows, without its numbers.
#[derive(Clone, Debug)]
pub struct Outline {
    path: HeadPath,
    transposed: bool,
    /// How many classes it has; possibly more than were seen.
    rows: usize,
    dim: usize,
    /// How far apart two rows, and two dimensions of a row, are in the weights.
    strides: [usize; 2],
    row_of: Option<HashMap<Label, usize>>,
}

/// A classifier as its file holds it, all rows of it, in the type in which they are stored.
#[derive(Clone, Debug)]
pub struct StoredHead {
    outline: Outline,
    weights: Elements,
    bias: Option<Elements>,
}

/// The parts of a head, read from a file of any format.
#[derive(Debug)]
struct HeadParts {
    weights: Tensor,
    bias: Option<Tensor>,
    labels: Option<Vec<Label>>,
}

/// How much of a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Names and shapes; tensors have no numbers.
    Shape,
    Numbers,
}

impl HeadParts {
    fn read(path: &HeadPath, transposed: bool, wanted: Wanted) -> Result<Self> {
        if let Some(head) = &path.in_memory {
            return Ok(head.parts(wanted));
        }
        match path.format()? {
            source::Format::Parquet => self::parquet::read(&path.weights, transposed, wanted),
            source::Format::Safetensors => safetensors::read(&path.weights, path.key.as_deref(), wanted),
            source::Format::Pt => pt::read(&path.weights, path.key.as_deref(), wanted),
            source::Format::Index => {
                let index::Places { weights, bias } = index::find(&path.weights, path.key.as_deref())?;
                let read = |(file, name): (std::path::PathBuf, String)| match source::Format::of_path(&file) {
                    Some(source::Format::Pt) => pt::read_one(&file, &name, wanted),
                    _ => safetensors::read_one(&file, &name, wanted),
                };
                Ok(Self { weights: read(weights)?, bias: bias.map(read).transpose()?, labels: None })
            }
            source::Format::Npy => npy::read(&path.weights, path.bias.as_deref(), wanted),
        }
    }
}

impl HeadPath {
    /// Whether an error is about which tensor of the file is meant.
    pub fn is_ambiguous(error: &Error) -> bool {
        [safetensors::SEVERAL, safetensors::UNKNOWN].contains(&error.message())
    }

    /// The layers that could be a head of so many classes or more and so many dimensions, by their keys.
    ///
    /// # Errors
    ///
    /// Those of reading the names and shapes of a file.
    pub fn fitting_layers(&self, classes: usize, dim: usize, transposed: bool) -> Result<Vec<String>> {
        let layers = match self.format()? {
            source::Format::Safetensors => safetensors::layers(&self.weights)?,
            source::Format::Pt => pt::layers(&self.weights)?,
            source::Format::Parquet | source::Format::Index | source::Format::Npy => Vec::new(),
        };
        let fits = |shape: [usize; 2]| {
            let [rows, width] = if transposed { [shape[1], shape[0]] } else { shape };
            rows >= classes && width == dim
        };
        Ok(layers.into_iter().filter(|(_, shape)| fits(*shape)).map(|(layer, _)| layer).collect())
    }
}

impl Outline {
    /// Reads names and shapes.
    ///
    /// # Errors
    ///
    /// Those of [`StoredHead::read`], but for rows of a Parquet file that differ from its first one.
    pub fn read(path: &HeadPath, transposed: bool) -> Result<Self> {
        HeadParts::read(path, transposed, Wanted::Shape)
            .and_then(|parts| Self::new(path, &parts.weights, parts.bias.as_ref(), parts.labels, transposed))
            .map_err(|error| error.with_default("file", path.weights.display()))
    }

    fn new(
        path: &HeadPath,
        weights: &Tensor,
        bias: Option<&Tensor>,
        labels: Option<Vec<Label>>,
        transposed: bool,
    ) -> Result<Self> {
        let &[first, second] = weights.shape.as_slice() else {
            let error = Error::data("the weights of a head are class × dim").with("shape", shape(&weights.shape));
            let alone = weights.shape.len() == 1 && path.key.is_none() && path.bias.is_none();
            return Err(if alone { error.help("a bias goes second: --head WEIGHT.npy,BIAS.npy") } else { error });
        };
        if first == 0 || second == 0 {
            return Err(Error::data("the head is empty").with("weights", shape(&weights.shape)));
        }
        let strides = if weights.column_major { [1, first] } else { [second, 1] };
        let (rows, dim, strides) =
            if transposed { (second, first, [strides[1], strides[0]]) } else { (first, second, strides) };
        if let Some(bias) = bias.filter(|bias| bias.shape != [rows]) {
            let error = Error::data("bias and weights of the head do not fit")
                .with("weights", shape(&weights.shape))
                .with("bias", shape(&bias.shape));
            // The width of the features, which decides, is not known here.
            let turned = if transposed { "leave --head-transposed out" } else { "say --head-transposed" };
            let turned = format!("; if the weights are stored the other way round, {turned}");
            let turned = if bias.shape == [dim] { turned } else { String::new() };
            return Err(error.help(format!("a bias has a number for each class, and the weights have {rows}{turned}")));
        }
        let row_of = labels.map(numbered).transpose()?;
        Ok(Self { path: path.clone(), transposed, rows, dim, strides, row_of })
    }

    /// Where it lies.
    pub fn path(&self) -> &HeadPath {
        &self.path
    }

    /// `D`.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether its shape does not show which side is the classes.
    pub fn is_square(&self) -> bool {
        self.rows == self.dim && self.row_of.is_none() && !self.transposed
    }

    /// Fails unless features of so many classes are as wide as the head.
    ///
    /// # Errors
    ///
    /// [`Data`](ErrorKind::Data) with both shapes.
    pub fn check_dim(&self, classes: Option<usize>, dim: usize) -> Result<()> {
        if self.dim == dim {
            return Ok(());
        }
        let features = classes.map_or_else(|| format!("dim {dim}"), |classes| format!("{classes} classes × {dim}"));
        let error = self.located(
            Error::data("the head is not as wide as the features")
                .with("head", self.shape())
                .with("features", features),
        );
        // Fewer classes than rows are fine, so only the width decides whether the other orientation fits.
        let fits = self.rows == dim && self.dim >= classes.unwrap_or(1) && self.row_of.is_none();
        Err(if fits { error.help(other_way(self.transposed)) } else { error })
    }

    fn shape(&self) -> String {
        let orientation = if self.transposed { " (stored dim × class)" } else { "" };
        format!("{} classes × {}{orientation}", self.rows, self.dim)
    }

    fn located(&self, error: Error) -> Error {
        error.with_default("file", self.path.weights.display())
    }
}

impl StoredHead {
    /// Reads a head; of a `.safetensors` file only its own tensors.
    ///
    /// # Errors
    ///
    /// - [`Missing`](ErrorKind::Missing) if there is no such file;
    /// - [`Usage`](ErrorKind::Usage) if the key names no tensor, or several could be meant, or `transposed` cannot be;
    /// - [`Data`](ErrorKind::Data) if the file is damaged, or weights and bias are not `class × dim` and `class`.
    pub fn read(path: &HeadPath, transposed: bool) -> Result<Self> {
        let read = || {
            let HeadParts { weights, bias, labels } = HeadParts::read(path, transposed, Wanted::Numbers)?;
            let outline = Outline::new(path, &weights, bias.as_ref(), labels, transposed)?;
            Ok(Self { outline, weights: weights.elements, bias: bias.map(|bias| bias.elements) })
        };
        read().map_err(|error: Error| error.with_default("file", path.weights.display()))
    }

    /// What it looks like.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// The rows of these classes, in their order.
    ///
    /// # Errors
    ///
    /// Those of [`Naming::rows`]; [`Data`](ErrorKind::Data) if the rows are not `dim` wide, or one of them is not finite.
    pub fn for_classes(&self, labels: &[Label], dim: usize, naming: &Naming) -> Result<Head> {
        let Self { outline, weights: stored, bias } = self;
        outline.check_dim(Some(labels.len()), dim)?;
        let rows = naming.rows(outline, labels)?;
        let not_finite = |class: &Label, place: String, value: f64| {
            outline.located(
                Error::data("the head is not finite").with("class", class).with("at", place).with("value", value),
            )
        };
        let mut weights = Vec::with_capacity(rows.len().saturating_mul(dim));
        for (&row, label) in rows.iter().zip(labels) {
            for j in 0..dim {
                let value = stored.get(row * outline.strides[0] + j * outline.strides[1]);
                if !value.is_finite() {
                    return Err(not_finite(label, format!("weight, dimension {j}"), value));
                }
                weights.push(value);
            }
        }
        let bias = bias.as_ref().map(|bias| rows.iter().map(|&row| bias.get(row)).collect::<Vec<_>>());
        let infinite = |bias: &Vec<f64>| {
            labels.iter().zip(bias).find(|(_, value)| !value.is_finite()).map(|(l, v)| (l.clone(), *v))
        };
        if let Some((label, value)) = bias.as_ref().and_then(infinite) {
            return Err(not_finite(&label, "bias".to_owned(), value));
        }
        Ok(Head { weights, bias, errors: Vec::new() })
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
fn open(path: &Path) -> Result<(HeadFile, u64)> {
    let there_is_none = || Error::missing("there is no such head").with("file", path.display());
    if is_address(path) {
        let (bytes, version) = read_at::open(path).map_err(|error| match error.kind() {
            ErrorKind::Missing => there_is_none(),
            _ => error,
        })?;
        return Ok((HeadFile::new(bytes), version.size));
    }
    let metadata = path.metadata().map_err(|error| match error.kind() {
        IoErrorKind::NotFound | IoErrorKind::NotADirectory => there_is_none(),
        _ => unreadable(path, error),
    })?;
    if !metadata.is_file() {
        return Err(Error::missing("the head is not a file").with("file", path.display()));
    }
    let (bytes, version) = read_at::open(path)?;
    Ok((HeadFile::new(bytes), version.size))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return error.with_default("file", path.display()),
        Err(error) => error,
    };
    Error::io("the head cannot be read").with("file", path.display()).with("detail", &error).caused_by(error)
}

fn damaged(path: &Path, detail: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Data, "the head's file is damaged").with("file", path.display()).with("detail", detail)
}

#[cfg(test)]
mod tests;
