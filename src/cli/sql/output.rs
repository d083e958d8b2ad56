//! Where results go.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use serde_json::Value;

use super::args::Sql;
use crate::cli::args::Display;
use crate::cli::console::wants_color;
use crate::cli::present::{stdout_format, width};
use crate::error::{Error, Result};
use crate::report::{self, AnswerStyle, AnswerWriter, Format, Style};
use crate::sql::describe;

/// What a result is written to: files, checked before anything is read, and standard output.
pub(super) struct Outputs {
    files: Vec<(PathBuf, Format)>,
    overwrite: bool,
    stdout: Option<Format>,
    style: Style,
}

/// The next rows of a result.
type Rows<'a> = dyn FnMut() -> Result<Option<RecordBatch>> + 'a;

impl Outputs {
    pub(super) fn new(args: &Sql, display: &Display) -> Result<Self> {
        let files: Vec<(PathBuf, Format)> = args
            .result
            .output
            .iter()
            .map(|path| Ok((path.clone(), Format::from_path(path)?)))
            .collect::<Result<_>>()?;
        files.iter().try_for_each(|(path, _)| report::check_output(path, args.result.overwrite))?;
        let mut paths: Vec<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
        paths.sort_unstable();
        if let Some(twice) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::usage("two outputs of the same name").with("file", twice[0].display()));
        }
        let terminal = std::io::stdout().is_terminal();
        let style = Style { width: Some(width()), colour: wants_color(display.color, terminal) };
        let stdout = stdout_format(args.result.format, terminal, !files.is_empty());
        Ok(Self { files, overwrite: args.result.overwrite, stdout, style })
    }

    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Writes a result; how many rows it has, or nothing if nobody reads standard output any more.
    pub(super) fn write(
        &self,
        schema: &Schema,
        is_plan: bool,
        conventions: &[(String, Value)],
        rows: &mut Rows<'_>,
    ) -> Result<Option<usize>> {
        let style = |format| AnswerStyle { format, style: self.style, conventions: conventions.to_vec(), describe };
        let mut stdout = BufWriter::new(std::io::stdout());
        if is_plan && self.stdout == Some(Format::Table) && self.files.is_empty() {
            return forgiven(show_plan(&mut stdout, rows));
        }
        let mut writers = Vec::new();
        if let Some(format) = self.stdout {
            let out: Box<dyn Write + Send> = Box::new(&mut stdout);
            match forgiven(AnswerWriter::new(out, schema, style(format)))? {
                Some(writer) => writers.push(writer),
                None => return Ok(None),
            }
        }
        let written = into_files(
            &self.files,
            self.overwrite,
            writers,
            &mut |out, format| AnswerWriter::new(out, schema, style(format)),
            rows,
        );
        forgiven(written)
    }
}

type Begin<'b> = dyn for<'a> FnMut(Box<dyn Write + Send + 'a>, Format) -> Result<AnswerWriter<'a>> + 'b;

/// Opens one file after the other, then writes to all of them at once.
fn into_files(
    files: &[(PathBuf, Format)],
    overwrite: bool,
    mut writers: Vec<AnswerWriter<'_>>,
    begin: &mut Begin<'_>,
    rows: &mut Rows<'_>,
) -> Result<usize> {
    if let Some(((path, format), others)) = files.split_first() {
        let mut count = 0;
        report::write_whole(path, overwrite, |out| {
            let mut writers = writers;
            writers.push(begin(Box::new(out), *format)?);
            count = into_files(others, overwrite, writers, begin, rows)?;
            Ok(())
        })?;
        return Ok(count);
    }
    while let Some(batch) = rows()? {
        writers.iter_mut().try_for_each(|writer| writer.write(&batch))?;
    }
    writers.into_iter().try_fold(0, |_, writer| writer.finish())
}

/// Whoever reads standard output may stop reading: that is no failure.
fn forgiven<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) => {
            let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
            match source {
                Some(source) if source.kind() == std::io::ErrorKind::BrokenPipe => Ok(None),
                _ => Err(error),
            }
        }
        Ok(value) => Ok(Some(value)),
    }
}

/// A plan is text of many lines, and no cell of a table.
fn show_plan(out: &mut dyn Write, rows: &mut Rows<'_>) -> Result<usize> {
    let mut count = 0;
    while let Some(batch) = rows()? {
        count += batch.num_rows();
        let texts = |at: usize| batch.columns().get(at).and_then(|column| column.as_string_opt::<i32>());
        for row in 0..batch.num_rows() {
            for (at, text) in [texts(0), texts(1)].into_iter().flatten().enumerate() {
                for line in text.value(row).lines() {
                    let indent = if at == 0 { "" } else { "  " };
                    let line = line.chars().filter(|c| !c.is_control()).collect::<String>();
                    writeln!(out, "{indent}{line}").map_err(|error| {
                        Error::io("the result cannot be written").with("detail", &error).caused_by(error)
                    })?;
                }
            }
        }
    }
    out.flush().map_err(|error| Error::io("the result cannot be written").with("detail", &error).caused_by(error))?;
    Ok(count)
}
