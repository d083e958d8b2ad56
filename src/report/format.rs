//! The forms of a report and what chooses them.

use std::path::Path;

use crate::error::{Error, Result};

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a terminal.
    Table,
    /// One document that holds everything.
    Json,
    /// One JSON record a line.
    Ndjson,
    /// Comma-separated, with a header.
    Csv,
    /// GitHub's tables.
    Markdown,
    /// One row a record, typed.
    Parquet,
}

/// How a table looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; `None` never breaks a table.
    pub width: Option<usize>,
    /// Whether escape sequences may colour it.
    pub colour: bool,
}

const NAMES: [(&str, Format); 6] = [
    ("table", Format::Table),
    ("json", Format::Json),
    ("ndjson", Format::Ndjson),
    ("csv", Format::Csv),
    ("markdown", Format::Markdown),
    ("parquet", Format::Parquet),
];

impl Format {
    /// The form of that name, as under `--format`.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|&(_, format)| format).ok_or_else(|| {
            let known = NAMES.map(|(known, _)| known).join(", ");
            Error::usage("there is no such format").with("format", name).help(format!("one of {known}"))
        })
    }

    /// The form that a file's extension asks for: `json`, `ndjson`, `jsonl`, `csv`, `parquet`, `md`.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if it is another.
    pub fn from_path(path: &Path) -> Result<Self> {
        match path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).as_deref() {
            Some("json") => Ok(Self::Json),
            Some("ndjson" | "jsonl") => Ok(Self::Ndjson),
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            Some("md") => Ok(Self::Markdown),
            _ => Err(Error::usage("the extension of an output tells no format")
                .with("file", path.display())
                .help("one of .json, .ndjson, .csv, .parquet, .md")),
        }
    }
}
