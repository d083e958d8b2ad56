//! `--head FILE[:KEY]` and `--head lstsq[:λ]` as typed, and the file that the first means for a group.

use std::fmt;
use std::path::{Path, PathBuf};

use super::HeadInMemory;
use super::template::{self, Spelling, Spellings};
use crate::archive::braces;
use crate::archive::read_at::is_file;
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::objects::{is_address, without_query};

/// The word for the least-squares classifier of each state, in place of a file.
pub(crate) const LEAST_SQUARES: &str = "lstsq";

/// `λ` of [`LEAST_SQUARES`] where none is given.
const LAMBDA: f64 = 0.025;

/// Where heads are: `FILE`, `FILE:KEY` or `WEIGHT.npy,BIAS.npy`, with `{key}` or `{key:03}` where a group's value stands; or
/// nowhere: `lstsq` or `lstsq:λ` is the least-squares classifier of each state.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadSource {
    text: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// Braces are placeholders.
    Path,
    /// There is a file with these braces in its name.
    Literal,
    /// With this `λ`.
    LeastSquares(f64),
    /// The head itself, in place of a file; the text is what it is called.
    InMemory(HeadInMemory),
}

/// The head of one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeadPath {
    /// The file of the weights, and of the bias unless that has its own.
    pub weights: PathBuf,
    /// The file of the bias, for `.npy`.
    pub bias: Option<PathBuf>,
    /// The tensor of a `.safetensors` or `.pt` file.
    pub key: Option<String>,
    /// The head itself, in place of a file.
    pub in_memory: Option<HeadInMemory>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Safetensors,
    /// `model.safetensors.index.json`: which file holds which tensor.
    Index,
    Npy,
    /// What `torch.save` writes.
    Pt,
}

impl Format {
    /// The format of a file by its extension.
    pub(super) fn of_path(path: &Path) -> Option<Self> {
        path.to_str().and_then(Self::of)
    }

    fn of(path: &str) -> Option<Self> {
        let extension = without_query(Path::new(path)).extension()?.to_str()?;
        let named = |name: &str| extension.eq_ignore_ascii_case(name);
        match () {
            () if named("parquet") || named("pq") => Some(Self::Parquet),
            () if named("safetensors") => Some(Self::Safetensors),
            () if named("json") => Some(Self::Index),
            () if named("npy") => Some(Self::Npy),
            () if ["pt", "pth", "bin", "ckpt"].into_iter().any(named) => Some(Self::Pt),
            () => None,
        }
    }
}

impl HeadSource {
    /// Checks the placeholders, or `λ`; the files are looked for later, but for one with braces in its own name.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if the text is empty, a placeholder is neither `{key}` nor `{key:03}`, or `λ`
    /// is no number from 0.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::usage("the head has no file"));
        }
        if text == LEAST_SQUARES {
            let text = format!("{LEAST_SQUARES}:{LAMBDA}");
            return Ok(Self { text, kind: Kind::LeastSquares(LAMBDA) });
        }
        if let Some(lambda) = text.strip_prefix(LEAST_SQUARES).and_then(|rest| rest.strip_prefix(':')) {
            let number = lambda.parse().ok().filter(|lambda: &f64| *lambda >= 0.0 && lambda.is_finite());
            let number = number.ok_or_else(|| {
                Error::usage("the λ of a least-squares head is no number from 0")
                    .with("head", text)
                    .help(format!("{LEAST_SQUARES}:{LAMBDA}; ./{text} is a file of that name"))
            })?;
            return Ok(Self { text: text.to_owned(), kind: Kind::LeastSquares(number) });
        }
        let is_literal = braces::has_keys(text) && has_braces_in_its_name(text);
        if !is_literal {
            braces::check("head", text)?;
        }
        Ok(Self { text: text.to_owned(), kind: if is_literal { Kind::Literal } else { Kind::Path } })
    }

    /// One head for all groups, which no file holds.
    pub fn in_memory(head: HeadInMemory) -> Self {
        Self { text: "in memory".to_owned(), kind: Kind::InMemory(head) }
    }

    /// `λ`, if the head is the least-squares classifier of each state, and no file.
    pub fn least_squares(&self) -> Option<f64> {
        match self.kind {
            Kind::LeastSquares(lambda) => Some(lambda),
            Kind::Path | Kind::Literal | Kind::InMemory(_) => None,
        }
    }

    /// The placeholders, in order: group keys whose values the path needs.
    pub fn keys(&self) -> Vec<&str> {
        if self.kind == Kind::Path { braces::keys(&self.text) } else { Vec::new() }
    }

    /// The head of the group of this key. A path that exists as a whole is a file, even with colons in it.
    ///
    /// A number stands in the path as the paths of the features write it (`spellings`), or, where there is no such file,
    /// without leading zeros.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if the group has no such key, a value is not the name of one file or
    /// directory, or these write a number in two ways and there is a file for each; if the head is no file.
    pub fn fill(&self, key: &[(String, Label)], spellings: &Spellings) -> Result<HeadPath> {
        if self.least_squares().is_some() {
            return Err(Error::usage("a least-squares head has no file").with("head", &self.text));
        }
        if let Kind::InMemory(head) = &self.kind {
            let (weights, in_memory) = (PathBuf::from(&self.text), Some(head.clone()));
            return Ok(HeadPath { weights, bias: None, key: None, in_memory });
        }
        let written = (0..spellings.ways(key)).map(|way| self.filled(key, Spelling::Written(spellings, way)));
        let mut written = written.collect::<Result<Vec<_>>>()?;
        written.dedup();
        let mut there = written.iter().filter(|path| path.exists());
        match (there.next(), there.next()) {
            (Some(path), None) => return Ok(path.clone()),
            (Some(one), Some(other)) => {
                return Err(Error::usage("paths write a number in two ways, and there is a head for each")
                    .with("file", one)
                    .with("other", other)
                    .help("{key:03} in the path of the head says how many digits it has"));
            }
            (None, _) => {}
        }
        let plain = self.filled(key, Spelling::Plain)?;
        Ok(if plain.exists() { plain } else { written.swap_remove(0) })
    }

    /// The same source with another tensor of its file: as it would be typed, placeholders and all.
    pub fn with_tensor(&self, tensor: &str) -> String {
        let file = braces::last_outside(&self.text, ':').map(|at| &self.text[..at]);
        let file = file.filter(|file| Format::of(file).is_some()).unwrap_or(&self.text);
        format!("{file}:{tensor}")
    }

    fn filled(&self, key: &[(String, Label)], spelling: Spelling<'_>) -> Result<HeadPath> {
        let path = |text: &str| {
            let filled =
                if self.kind == Kind::Literal { Ok(text.to_owned()) } else { template::fill_path(text, key, spelling) };
            filled.map(PathBuf::from)
        };
        let tensor = braces::last_outside(&self.text, ':').map(|at| (&self.text[..at], &self.text[at + 1..]));
        let tensor = tensor.filter(|(file, _)| Format::of(file).is_some());
        let whole = path(&self.text);
        let are_two = |path: &Path| is_address(path) && self.text.contains(".npy,");
        if let Ok(whole) = &whole
            && !are_two(whole)
            && is_file(whole)
        {
            return Ok(HeadPath { weights: whole.clone(), bias: None, key: None, in_memory: None });
        }
        if let Some((weights, bias)) = self.text.split_once(".npy,") {
            let weights = path(&format!("{weights}.npy"))?;
            return Ok(HeadPath { weights, bias: Some(path(bias)?), key: None, in_memory: None });
        }
        match tensor {
            Some((file, tensor)) => {
                let tensor = if self.kind == Kind::Literal {
                    tensor.to_owned()
                } else {
                    template::fill_name(tensor, key, spelling)?
                };
                let key = Some(tensor).filter(|tensor| !tensor.is_empty());
                Ok(HeadPath { weights: path(file)?, bias: None, key, in_memory: None })
            }
            None => Ok(HeadPath { weights: whole?, bias: None, key: None, in_memory: None }),
        }
    }
}

/// Whether the text names a file as it stands, which has braces in its name.
fn has_braces_in_its_name(text: &str) -> bool {
    let before = |mark: &str| text.rfind(mark).map(|at| &text[..at]);
    let weights = before(".npy,").map(|weights| format!("{weights}.npy"));
    let files = [Some(text.to_owned()), before(":").map(str::to_owned), weights];
    files.into_iter().flatten().any(|file| braces::has_keys(&file) && Path::new(&file).is_file())
}

impl fmt::Display for HeadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl HeadPath {
    /// Whether the files are there, so that a run need not find out at its end.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) with the file that is not.
    pub fn check_exists(&self) -> Result<()> {
        match self.missing() {
            Some(path) => Err(Error::missing("there is no such head").with("file", path.display())),
            None => Ok(()),
        }
    }

    /// Whether its files are there.
    pub fn exists(&self) -> bool {
        self.missing().is_none()
    }

    fn missing(&self) -> Option<&PathBuf> {
        self.files().find(|path| !is_file(path))
    }

    /// Its files, of which a head in memory has none.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.weights).chain(&self.bias).filter(|_| self.in_memory.is_none())
    }

    /// What the extension says; a key or a second file must suit it.
    pub(super) fn format(&self) -> Result<Format> {
        let format = Format::of_path(&self.weights).ok_or_else(|| {
            let help = match self.weights.extension().and_then(|extension| extension.to_str()) {
                Some("npz") => "save its arrays each: --head WEIGHT.npy,BIAS.npy",
                _ => "heads are .parquet, .safetensors, .pt or .npy files",
            };
            Error::usage("cannot infer the head's format from its extension")
                .with("file", self.weights.display())
                .help(help)
        })?;
        let has_tensors = matches!(format, Format::Safetensors | Format::Index | Format::Pt);
        if let Some(key) = self.key.as_ref().filter(|_| !has_tensors) {
            return Err(Error::usage("only .safetensors and .pt files have tensors to choose from")
                .with("file", self.weights.display())
                .with("key", key));
        }
        Ok(format)
    }
}

impl fmt::Display for HeadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.weights.display())?;
        self.bias.iter().try_for_each(|bias| write!(f, ",{}", bias.display()))?;
        self.key.iter().try_for_each(|key| write!(f, ":{key}"))
    }
}
