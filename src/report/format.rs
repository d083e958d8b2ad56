//! The formats of a result, their names and their extensions.
#![warn(clippy::wildcard_enum_match_arm)]

use std::path::Path;

use crate::error::{Error, Result};

/// A format in which a result is written.
///
/// Every `match` on it names every format, so that a new one does not compile until each place knows what to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table for a terminal.
    Table,
    /// One document that holds everything.
    Json,
    /// One JSON record per line.
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
    /// GitHub's tables.
    Markdown,
    /// A page with tables and figures.
    Html,
    /// One typed row per record.
    Parquet,
}

/// How a table looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// The width of the terminal in columns; `None` never splits a table.
    pub width: Option<usize>,
    /// Whether escape sequences may colour it.
    pub colour: bool,
    /// Whether a table of metrics shows the [`HEADLINE`](crate::metrics::HEADLINE) only, so that it fits a screen.
    pub headline: bool,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 7] =
        [Self::Table, Self::Json, Self::Ndjson, Self::Csv, Self::Markdown, Self::Html, Self::Parquet];

    /// Its name, as in `--format`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Parquet => "parquet",
        }
    }

    /// The extensions of its files in lower case, the usual one first; none if files are not written in it.
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Table => &[],
            Self::Json => &["json"],
            Self::Ndjson => &["ndjson", "jsonl"],
            Self::Csv => &["csv"],
            Self::Markdown => &["md"],
            Self::Html => &["html"],
            Self::Parquet => &["parquet"],
        }
    }

    /// Whether it is text, so that a terminal or a pipe can take it.
    pub const fn is_text(self) -> bool {
        match self {
            Self::Table | Self::Json | Self::Ndjson | Self::Csv | Self::Markdown | Self::Html => true,
            Self::Parquet => false,
        }
    }

    /// The format of a file, by its extension in any case.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if no format has this extension.
    pub fn from_path(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let found = Self::ALL.into_iter().find(|format| format.extensions().contains(&extension.as_str()));
        found.ok_or_else(|| {
            let known: Vec<String> =
                Self::ALL.iter().filter_map(|format| format.extensions().first()).map(|it| format!(".{it}")).collect();
            Error::usage("cannot infer the output format from the extension")
                .with("file", path.display())
                .help(format!("use one of {}", known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_listed_with_a_name_and_extensions_of_its_own() {
        let names = Format::ALL.map(Format::name);
        let extensions: Vec<&str> = Format::ALL.iter().flat_map(|format| format.extensions()).copied().collect();
        for words in [names.as_slice(), &extensions] {
            assert!((1..words.len()).all(|at| !words[..at].contains(&words[at])), "{words:?}");
        }
        // A new variant does not compile here until it has a place: the one in `ALL`.
        let place = |format: Format| match format {
            Format::Table => 0,
            Format::Json => 1,
            Format::Ndjson => 2,
            Format::Csv => 3,
            Format::Markdown => 4,
            Format::Html => 5,
            Format::Parquet => 6,
        };
        assert_eq!(Format::ALL.map(place), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn an_extension_decides_the_format() {
        for (path, format) in [
            ("a.json", Format::Json),
            ("a.b.NDJSON", Format::Ndjson),
            ("a.jsonl", Format::Ndjson),
            ("a.csv", Format::Csv),
            ("a.parquet", Format::Parquet),
            ("a.md", Format::Markdown),
            ("a.html", Format::Html),
        ] {
            assert_eq!(Format::from_path(Path::new(path)).unwrap(), format);
        }
        for path in ["csv", "a.table", "a."] {
            let error = Format::from_path(Path::new(path)).unwrap_err();
            assert_eq!(error.advice(), Some("use one of .json, .ndjson, .csv, .md, .html, .parquet"), "{path}");
        }
    }
}
