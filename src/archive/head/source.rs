//! `--head FILE[:KEY]` as typed, and the file it means for a group.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::batch::Label;
use crate::error::{Error, Result};

/// Where heads are: `FILE`, `FILE:KEY` or `WEIGHT.npy,BIAS.npy`, with `{key}` where a group's value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadSource {
    text: String,
}

/// The head of one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeadPath {
    /// The file of the weights, and of the bias unless that has its own.
    pub weights: PathBuf,
    /// The file of the bias, for `.npy`.
    pub bias: Option<PathBuf>,
    /// The tensor of a `.safetensors` file.
    pub key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Safetensors,
    Npy,
}

impl Format {
    fn of(path: &str) -> Option<Self> {
        let extension = Path::new(path).extension()?.to_str()?;
        let named = |name: &str| extension.eq_ignore_ascii_case(name);
        match () {
            () if named("parquet") || named("pq") => Some(Self::Parquet),
            () if named("safetensors") => Some(Self::Safetensors),
            () if named("npy") => Some(Self::Npy),
            () => None,
        }
    }
}

impl HeadSource {
    /// Checks the placeholders; the files are looked for later.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if the text is empty, or a brace has no partner or nothing inside.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::usage("the head has no file"));
        }
        for piece in pieces(text) {
            if matches!(piece, Piece::Open(_) | Piece::Key("")) {
                return Err(Error::usage("a placeholder of the head is not of the form {key}").with("head", text));
            }
        }
        Ok(Self { text: text.to_owned() })
    }

    /// The placeholders, in order: group keys whose values the path needs.
    pub fn keys(&self) -> Vec<&str> {
        pieces(&self.text)
            .filter_map(|piece| match piece {
                Piece::Key(key) => Some(key),
                Piece::Text(_) | Piece::Open(_) => None,
            })
            .collect()
    }

    /// The head of the group of this key. What is a file as a whole is a file, whatever colons it has.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if the group has no such key.
    pub fn fill(&self, key: &[(String, Label)]) -> Result<HeadPath> {
        let whole = PathBuf::from(self.filled(&self.text, key)?);
        if whole.is_file() {
            return Ok(HeadPath { weights: whole, bias: None, key: None });
        }
        if let Some((weights, bias)) = self.text.split_once(".npy,") {
            let weights = self.filled(&format!("{weights}.npy"), key)?.into();
            return Ok(HeadPath { weights, bias: Some(self.filled(bias, key)?.into()), key: None });
        }
        match self.text.rsplit_once(':').filter(|(file, _)| Format::of(file).is_some()) {
            Some((file, tensor)) => Ok(HeadPath {
                weights: self.filled(file, key)?.into(),
                bias: None,
                key: Some(self.filled(tensor, key)?).filter(|tensor| !tensor.is_empty()),
            }),
            None => Ok(HeadPath { weights: whole, bias: None, key: None }),
        }
    }

    fn filled(&self, text: &str, key: &[(String, Label)]) -> Result<String> {
        let mut filled = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) | Piece::Open(text) => filled.push_str(text),
                Piece::Key(wanted) => {
                    let (_, value) = key.iter().find(|(name, _)| name == wanted).ok_or_else(|| {
                        Error::usage("the head names a key that the groups do not have")
                            .with("head", &self.text)
                            .with("key", wanted)
                            .help(format!("--group-by {wanted}"))
                    })?;
                    filled.push_str(&value.to_string());
                }
            }
        }
        Ok(filled)
    }
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
        match std::iter::once(&self.weights).chain(&self.bias).find(|path| !path.is_file()) {
            Some(path) => Err(Error::missing("there is no such head").with("file", path.display())),
            None => Ok(()),
        }
    }

    /// What the extension says; a key or a second file must suit it.
    pub(super) fn format(&self) -> Result<Format> {
        let format = self.weights.to_str().and_then(Format::of).ok_or_else(|| {
            Error::usage("the head's extension tells no format")
                .with("file", self.weights.display())
                .help("heads are .parquet, .safetensors or .npy files")
        })?;
        if let Some(key) = self.key.as_ref().filter(|_| format != Format::Safetensors) {
            return Err(Error::usage("only a .safetensors file has tensors to choose from")
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

enum Piece<'a> {
    Text(&'a str),
    Key(&'a str),
    /// A brace that is not closed, and what follows.
    Open(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let piece;
        (piece, rest) = match (rest.find('{'), rest.find('}')) {
            (Some(0), Some(end)) => (Piece::Key(&rest[1..end]), &rest[end + 1..]),
            (Some(0), None) => (Piece::Open(rest), ""),
            (Some(start), _) => (Piece::Text(&rest[..start]), &rest[start..]),
            (None, _) => (Piece::Text(rest), ""),
        };
        Some(piece)
    })
}
