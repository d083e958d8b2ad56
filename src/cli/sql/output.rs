//! Writes the results of queries to files and to standard output.
#![warn(clippy::wildcard_enum_match_arm)]

use std::cell::RefCell;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use serde_json::Value;

use super::args::Sql;
use crate::archive::escaped;
use crate::cli::args::Display;
use crate::cli::console::wants_color;
use crate::cli::outputs::{stdout_format, width};
use crate::cli::stdout::{self, Hearing};
use crate::error::{Error, Result};
use crate::report::{AnswerStyle, AnswerWriter, Format, Style};
use crate::sql::describe;
use crate::store::Output;

/// The files for results, which are reserved before anything is read, and standard output.
pub(super) struct Outputs {
    files: RefCell<Vec<(Output, Format)>>,
    stdout: Option<Format>,
    style: Style,
}

/// Gives the next rows of a result; `None` after the last.
type NextRows<'a> = dyn FnMut() -> Result<Option<RecordBatch>> + 'a;

impl Outputs {
    pub(super) fn new(args: &Sql, display: &Display) -> Result<Self> {
        let paths: Vec<&Path> = args.result.output.iter().map(PathBuf::as_path).collect();
        let formats: Vec<Format> = paths.iter().map(|path| Format::from_path(path)).collect::<Result<_>>()?;
        let files: Vec<_> = Output::reserve_all(&paths, args.result.overwrite)?.into_iter().zip(formats).collect();
        let terminal = std::io::stdout().is_terminal();
        let style = Style { width: Some(width()), colour: wants_color(display.color, terminal), headline: false };
        let stdout = stdout_format(args.result.format, terminal, !files.is_empty());
        if stdout.is_some() {
            stdout::open()?;
        }
        Ok(Self { files: RefCell::new(files), stdout, style })
    }

    pub(super) fn has_files(&self) -> bool {
        !self.files.borrow().is_empty()
    }

    /// The paths of the files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.files.borrow().iter().map(|(file, _)| file.path().to_owned()).collect()
    }

    /// Writes a result and returns its number of rows; `None` if there is no file and nobody reads standard output any
    /// more. Then a statement that `may_stop` is not run to its end.
    pub(super) fn write(
        &self,
        schema: &Schema,
        (is_plan, may_stop): (bool, bool),
        conventions: &[(String, Value)],
        rows: &mut NextRows<'_>,
    ) -> Result<Option<usize>> {
        let style = |format| AnswerStyle { format, style: self.style, conventions: conventions.to_vec(), describe };
        let mut files = self.files.borrow_mut();
        let is_alone = files.is_empty();
        let is_heard = AtomicBool::new(true);
        let is_in_vain = || is_alone && !is_heard.load(Ordering::Relaxed);
        let mut rows = || if may_stop && is_in_vain() { Ok(None) } else { rows() };
        let mut writers = Vec::new();
        if let Some(format) = self.stdout {
            let mut out = BufWriter::new(Hearing::new(stdout::open()?, &is_heard));
            if is_plan && is_alone && format == Format::Table {
                let count = show_plan(&mut out, &mut rows)?;
                return Ok((!is_in_vain()).then_some(count));
            }
            writers.push(AnswerWriter::new(Box::new(out), schema, style(format))?);
        }
        let begin: &mut Begin<'_> = &mut |out, format| AnswerWriter::new(out, schema, style(format));
        let count = into_files(&mut files, writers, begin, &mut rows)?;
        Ok((!is_in_vain()).then_some(count))
    }
}

type Begin<'b> = dyn for<'a> FnMut(Box<dyn Write + Send + 'a>, Format) -> Result<AnswerWriter<'a>> + 'b;

/// Opens one file after the other, then writes to all of them at once.
fn into_files(
    files: &mut [(Output, Format)],
    mut writers: Vec<AnswerWriter<'_>>,
    begin: &mut Begin<'_>,
    rows: &mut NextRows<'_>,
) -> Result<usize> {
    if let Some(((file, format), others)) = files.split_first_mut() {
        let mut count = 0;
        file.write(|out| {
            let mut writers = writers;
            writers.push(begin(Box::new(out), *format)?);
            count = into_files(others, writers, begin, rows)?;
            Ok(())
        })?;
        return Ok(count);
    }
    while let Some(batch) = rows()? {
        writers.iter_mut().try_for_each(|writer| writer.write(&batch))?;
    }
    writers.into_iter().try_fold(0, |_, writer| writer.finish())
}

/// Shows a plan as lines of text instead of as a cell of a table.
fn show_plan(out: &mut dyn Write, rows: &mut NextRows<'_>) -> Result<usize> {
    let failed = |error: std::io::Error| Error::io("cannot write the result").with("detail", &error).caused_by(error);
    let mut count = 0;
    while let Some(batch) = rows()? {
        count += batch.num_rows();
        let texts = |at: usize| batch.columns().get(at).and_then(|column| column.as_string_opt::<i32>());
        for row in 0..batch.num_rows() {
            for (at, text) in [texts(0), texts(1)].into_iter().flatten().enumerate() {
                for line in text.value(row).lines() {
                    let indent = if at == 0 { "" } else { "  " };
                    writeln!(out, "{indent}{}", escaped(line)).map_err(failed)?;
                }
            }
        }
    }
    out.flush().map_err(failed)?;
    Ok(count)
}
