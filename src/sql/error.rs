//! Errors that come back from DataFusion: ours keep their kind and facts, its own get one.

use std::io::ErrorKind as IoErrorKind;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::error::{Error, ErrorKind, nearest};

const NO_TABLE: &str = "no such table";

/// An error of this crate on its way through DataFusion.
pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Turns an error of DataFusion into an error of this crate.
///
/// An error that came from this crate keeps its kind, its facts and its help, whatever it was wrapped in. What is wrong
/// with a statement is [`Usage`](ErrorKind::Usage), what is wrong with rows is [`Data`](ErrorKind::Data).
pub fn explain(error: DataFusionError) -> Error {
    let explained = ours(&error).unwrap_or_else(|| theirs(&error));
    explained.caused_by(error)
}

/// What a statement failed of before any row was read: whatever is wrong, DataFusion found it in the statement.
pub(in crate::sql) fn explain_plan(error: DataFusionError) -> Error {
    let explained = ours(&error).unwrap_or_else(|| match theirs(&error) {
        error if error.kind() == ErrorKind::Data => copy(&error, ErrorKind::Usage),
        error => error,
    });
    explained.caused_by(error)
}

/// An error about a table that is not there, with the names of those that there are.
pub(in crate::sql) fn missing_table(error: Error, context: &SessionContext) -> Error {
    let Some(name) = error.fact("table").filter(|_| error.message() == NO_TABLE) else { return error };
    let schemas = context.catalog_names().into_iter().filter_map(|name| context.catalog(&name)?.schema("public"));
    let tables: Vec<String> = schemas.flat_map(|schema| schema.table_names()).collect();
    let near = near(name, &tables.iter().map(String::as_str).collect::<Vec<_>>());
    match (near.is_empty(), error.advice()) {
        (false, Some(help)) => {
            let help = format!("did you mean {}? {help}", near.join(", "));
            error.help(help)
        }
        _ => error,
    }
}

/// The error of this crate inside another.
fn ours(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return Some(copy(error, error.kind()));
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return match error {
            DataFusionError::External(inner) => ours(inner.as_ref()),
            DataFusionError::ArrowError(inner, _) => ours(inner.as_ref()),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => ours(inner.as_ref()),
            DataFusionError::Shared(inner) => ours(inner.as_ref()),
            DataFusionError::Collection(several) => several.iter().find_map(|error| ours(error)),
            _ => None,
        };
    }
    match error.downcast_ref::<ArrowError>() {
        Some(ArrowError::ExternalError(inner)) => ours(inner.as_ref()),
        _ => None,
    }
}

/// The same error, of a kind.
fn copy(error: &Error, kind: ErrorKind) -> Error {
    let mut made = Error::new(kind, error.message());
    for (name, value) in error.facts() {
        made = made.with(name, value);
    }
    match error.advice() {
        Some(help) => in_sql(made.help(help)),
        None => made,
    }
}

/// What mends an error on the command line, and in SQL.
const REMEDIES: [(&str, &str); 11] = [
    ("--nulls skip", "SET nc.nulls = 'skip'"),
    ("--nonfinite skip", "SET nc.nonfinite = 'skip'"),
    ("with --grid", "by its exponent as the last argument, as -20"),
    ("give fewer --extra-bits", "choose a smaller nc.extra_bits"),
    (
        "a larger --grid exponent or fewer --extra-bits",
        "a larger exponent as the last argument, or a smaller nc.extra_bits",
    ),
    ("name it with --head", "give it as the last argument"),
    ("name one: --labels ", "name one behind a comma: FEATURES,"),
    ("; --labels names another column or file", ""),
    (", or --allow-duplicates", ""),
    ("; --on-bad-file skip leaves them out together with their features", ""),
    ("--on-bad-file skip leaves such files out and lists them", "fetch or write the file again, or leave it out"),
];

/// The same error with what mends it as it is written in SQL.
pub(in crate::sql) fn in_sql(error: Error) -> Error {
    let Some(help) = error.advice() else { return error };
    let help = REMEDIES.iter().fold(help.to_owned(), |help, (flag, remedy)| help.replace(flag, remedy));
    error.help(help)
}

/// Why something could not be written, where that is why a statement failed.
fn unwritten(error: &DataFusionError) -> Option<Error> {
    let told = |detail: &str| Some(Error::io("the output cannot be written").with("detail", line(detail)));
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(io) = found.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded | IoErrorKind::FileTooLarge)
        {
            return told(&io.to_string());
        }
        cause = found.source();
    }
    // DataFusion keeps some of these as text, and of others not even that.
    match error {
        DataFusionError::Execution(text) => told(text.split_once("Error writing to object store: ")?.1),
        DataFusionError::Internal(text)
            if ["finalizing writes", "writing to ObjectStore", "writing to object store"]
                .iter()
                .any(|what| text.contains(what)) =>
        {
            told("the disk is full, or the file too large")
        }
        _ => None,
    }
}

fn theirs(error: &DataFusionError) -> Error {
    if let Some(error) = unwritten(error) {
        return error;
    }
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => theirs(inner),
        DataFusionError::Shared(inner) => theirs(inner),
        DataFusionError::Collection(several) => {
            several.first().map_or_else(|| Error::internal("no error at all"), theirs)
        }
        DataFusionError::SQL(inner, _) if **inner == ParserError::RecursionLimitExceeded => {
            Error::usage("the statement nests too deep")
                .with("allowed", "some 20 queries or 40 parentheses in one another")
                .help("WITH gives the inner queries names: WITH inner AS (SELECT …) SELECT … FROM inner")
        }
        DataFusionError::SQL(inner, _) => {
            let text = inner.to_string();
            let text = text.strip_prefix("sql parser error: ").unwrap_or(&text);
            Error::usage("this is not SQL").with("detail", line(text))
        }
        DataFusionError::SchemaError(inner, _) => schema(inner),
        DataFusionError::Plan(text) => plan(text),
        DataFusionError::Internal(text) if text.contains("No suitable object store") => {
            Error::usage("SQL reads objects by their address in FROM only, and writes local files")
                .help("SELECT … FROM 's3://BUCKET/KEY'; -o FILE writes the answer")
        }
        DataFusionError::Configuration(text) => Error::usage("the setting cannot be set").with("detail", line(text)),
        DataFusionError::NotImplemented(text) => Error::usage("this is not supported").with("detail", line(text)),
        DataFusionError::ResourcesExhausted(text) => {
            Error::resource("the query needs more memory than it may use").with("detail", line(text)).help(
                "a larger --memory, fewer rows at once by WHERE, or fewer partitions: SET datafusion.execution.target_partitions = 1",
            )
        }
        DataFusionError::IoError(inner) => {
            Error::io("reading or writing failed").with("detail", line(&inner.to_string()))
        }
        DataFusionError::ObjectStore(inner) => {
            Error::io("reading or writing failed").with("detail", line(&inner.to_string()))
        }
        DataFusionError::ArrowError(inner, _) => {
            Error::data("a value cannot be used").with("detail", line(&inner.to_string()))
        }
        DataFusionError::ParquetError(inner) => {
            Error::data("the file is damaged").with("detail", line(&inner.to_string()))
        }
        DataFusionError::Execution(text) => Error::data("the query failed").with("detail", line(text)),
        DataFusionError::External(inner) => Error::data("the query failed").with("detail", line(&inner.to_string())),
        DataFusionError::ExecutionJoin(inner) => {
            Error::internal("this is a bug").with("detail", line(&inner.to_string()))
        }
        other => Error::internal("DataFusion cannot run this query").with("detail", line(&other.strip_backtrace())),
    }
}

/// The most characters of what DataFusion says.
const MOST_DETAIL: usize = 1000;

/// A message on one line, without what DataFusion says of itself.
fn line(text: &str) -> String {
    let text = text.split("\n\nbacktrace:").next().unwrap_or(text);
    let text = text.split(".\nThis issue was likely caused by a bug").next().unwrap_or(text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Some errors repeat the whole input.
    match text.char_indices().nth(MOST_DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> = valid_fields.iter().map(|field| field.name.as_str()).collect();
            // A state is all that is left of its rows.
            if names.iter().any(|name| ["nc_state(", "nc_moments("].iter().any(|state| name.starts_with(state))) {
                return not_grouped(field.name());
            }
            let missing = Error::usage("no such column").with("column", field.name());
            let shown = names.iter().map(|name| quoted(name)).collect::<Vec<_>>();
            let near = near(field.name(), &names);
            match (near.is_empty(), shown.is_empty()) {
                (true, true) => missing.help("this table has no columns"),
                (true, false) => missing.help(format!("the columns are {}", shown.join(", "))),
                (false, _) => {
                    missing.help(format!("did you mean {}? The columns are {}", near.join(", "), shown.join(", ")))
                }
            }
        }
        SchemaError::AmbiguousReference { field } => Error::usage("several tables have this column")
            .with("column", field.name())
            .help(format!("say of which table, as in t.{}", quoted(field.name()))),
        other => Error::usage("two columns have one name")
            .with("detail", line(&other.to_string()))
            .help("give one of them another name with AS"),
    }
}

fn not_grouped(column: &str) -> Error {
    Error::usage("a column is neither grouped by nor inside of an aggregate")
        .with("column", column)
        .help("add it to GROUP BY, or put it into an aggregate as max(…)")
}

/// The names like one that is not there, whatever their case, as they are written in SQL.
fn near(name: &str, names: &[&str]) -> Vec<String> {
    nearest(name, names.iter().copied()).into_iter().map(quoted).collect()
}

/// A name as SQL wants it: in quotes, unless it is plain and in small letters.
fn quoted(name: &str) -> String {
    let plain =
        name.chars().enumerate().all(|(at, c)| c == '_' || c.is_ascii_lowercase() || (at > 0 && c.is_ascii_digit()));
    if plain && !name.is_empty() { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn plan(text: &str) -> Error {
    let between = |start: &str, end: &str| {
        let rest = text.strip_prefix(start)?;
        Some(&rest[..rest.find(end)?])
    };
    if let Some(name) = between("table '", "' not found") {
        let name = name.strip_prefix("datafusion.public.").unwrap_or(name);
        return Error::usage(NO_TABLE)
            .with("table", name)
            .help(format!("--table {name}=PATH names one; or write the path in quotes: FROM 'PATH'"));
    }
    if let Some(name) = between("Invalid function '", "'") {
        let error = Error::usage("no such function").with("function", name);
        return match text.split_once("Did you mean '").and_then(|(_, rest)| rest.split_once('\'')) {
            Some((near, _)) => error.help(format!("did you mean {near}?")),
            None => error,
        };
    }
    if let Some((_, rest)) = text.split_once("must be in GROUP BY or an aggregate function")
        && let Some(name) = rest.split('"').nth(1)
    {
        return not_grouped(name);
    }
    // A function of ours says what it takes; the planner knows less of it.
    if let Some((_, rest)) = text.split_once("coercion failed with: Error during planning: ") {
        let said = rest.split(" No function matches").next().unwrap_or(rest);
        let said = line(said);
        return Error::usage("the arguments do not fit the function").with("detail", said.trim_end_matches('.'));
    }
    Error::usage("the query cannot be planned").with("detail", line(text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use datafusion::common::Column;

    #[test]
    fn an_error_of_ours_comes_out_of_every_wrapper() {
        let ours = || Error::data("label out of range").with("row", 3).help("look there");
        let external = || DataFusionError::External(Box::new(ours()));
        let wrapped = [
            external(),
            external().context("while optimising"),
            DataFusionError::Shared(Arc::new(external().context("again"))),
            DataFusionError::from(ArrowError::ExternalError(Box::new(external()))),
            DataFusionError::Collection(vec![DataFusionError::Plan("first".into()), external()]),
            DataFusionError::External(Box::new(external())),
        ];
        for error in wrapped {
            let shown = format!("{error:?}");
            let error = explain(error);
            assert_eq!(error.kind(), ErrorKind::Data, "{shown}");
            assert_eq!((error.message(), error.fact("row")), ("label out of range", Some("3")));
            assert_eq!(error.advice(), Some("look there"));
        }
    }

    #[test]
    fn remedies_are_those_of_sql() {
        for (help, expected) in [
            ("--nulls skip takes a NaN for a label", "SET nc.nulls = 'skip' takes a NaN for a label"),
            ("leave one of them out, or --allow-duplicates", "leave one of them out"),
            (
                "fix one step for all rows with --grid, or measure the parts apart",
                "fix one step for all rows by its exponent as the last argument, as -20, or measure the parts apart",
            ),
        ] {
            let error = explain(external(Error::data("damaged").help(help)));
            assert_eq!(error.advice(), Some(expected));
        }
    }

    #[test]
    fn kinds_follow_whose_fault_it_is() {
        let cases = [
            (DataFusionError::Plan("no".into()), ErrorKind::Usage),
            (DataFusionError::SQL(Box::new(ParserError::ParserError("no".into())), None), ErrorKind::Usage),
            (DataFusionError::NotImplemented("no".into()), ErrorKind::Usage),
            (DataFusionError::ResourcesExhausted("no".into()), ErrorKind::Resource),
            (DataFusionError::IoError(std::io::Error::other("no")), ErrorKind::Io),
            (DataFusionError::Execution("no".into()), ErrorKind::Data),
            (DataFusionError::Internal("no".into()), ErrorKind::Internal),
            (DataFusionError::Execution("Error writing to object store: no".into()), ErrorKind::Io),
            (DataFusionError::Internal("Error encountered while finalizing writes! Partial".into()), ErrorKind::Io),
            (DataFusionError::External(Box::new(std::io::Error::from(IoErrorKind::StorageFull))), ErrorKind::Io),
        ];
        for (error, kind) in cases {
            assert_eq!(explain(error.context("somewhere")).kind(), kind);
        }
    }

    #[test]
    fn a_wrong_column_shows_those_that_there_are() {
        let column = |name: &str| Column::from_name(name);
        let explained = |name: &str| {
            let valid_fields = vec![column("feature"), column("label"), column("Epoch")];
            let missing = SchemaError::FieldNotFound { field: Box::new(column(name)), valid_fields };
            explain(DataFusionError::SchemaError(Box::new(missing), Box::new(None)))
        };
        let error = explained("features");
        assert_eq!((error.kind(), error.fact("column")), (ErrorKind::Usage, Some("features")));
        assert_eq!(error.advice(), Some("did you mean feature? The columns are feature, label, \"Epoch\""));
        assert_eq!(
            explained("epoch").advice(),
            Some("did you mean \"Epoch\"? The columns are feature, label, \"Epoch\"")
        );
        assert_eq!(explained("zzz").advice(), Some("the columns are feature, label, \"Epoch\""));
    }
}
