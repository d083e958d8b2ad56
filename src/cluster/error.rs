//! Errors that pass through the engine as text, and are errors of this crate again on the other side.
//!
//! The engine hands on what an error says when it is debugged. So the kind and the facts stand in it a second time, in
//! digits that no quoting changes.

use std::error::Error as StdError;
use std::fmt::Write as _;

use datafusion::error::DataFusionError;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};

const START: &str = "[nckit ";
const END: &str = "]";

const KINDS: [(&str, ErrorKind); 8] = [
    ("usage", ErrorKind::Usage),
    ("data", ErrorKind::Data),
    ("missing", ErrorKind::Missing),
    ("internal", ErrorKind::Internal),
    ("output", ErrorKind::Output),
    ("io", ErrorKind::Io),
    ("resource", ErrorKind::Resource),
    ("interrupted", ErrorKind::Interrupted),
];

/// An error of this crate as one of the engine, which tries again what failed of input or output, and nothing else: damaged
/// files stay damaged.
pub(super) fn to_engine(error: &Error) -> DataFusionError {
    let text = written(error);
    match error.kind() {
        ErrorKind::Io => DataFusionError::IoError(std::io::Error::other(text)),
        _ => DataFusionError::External(text.into()),
    }
}

fn written(error: &Error) -> String {
    let kind = KINDS.iter().find(|(_, kind)| *kind == error.kind()).map_or("internal", |(name, _)| name);
    let all = json!({"kind": kind, "message": error.message(), "facts": error.facts(), "help": error.advice()});
    let mut text = format!("{error} {START}");
    for byte in all.to_string().bytes() {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text + END
}

/// The error of this crate in a text of the engine, if there is one.
pub(super) fn read(text: &str) -> Option<Error> {
    let rest = &text[text.find(START)? + START.len()..];
    let digits = &rest[..rest.find(END)?];
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes = (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
    let all: Value = serde_json::from_slice(&bytes).ok()?;
    let kind = KINDS.iter().find(|(name, _)| all["kind"] == *name)?.1;
    let mut error = Error::new(kind, all["message"].as_str()?);
    for fact in all["facts"].as_array()? {
        // The names of facts are few, and are kept as long as the program runs.
        let name: &'static str = fact[0].as_str()?.to_owned().leak();
        error = error.with(name, fact[1].as_str()?);
    }
    Some(match all["help"].as_str() {
        Some(help) => error.help(help),
        None => error,
    })
}

/// An error of the engine itself, or the error of this crate inside it.
pub(super) fn of_engine(error: &(dyn StdError + 'static)) -> Error {
    let text = format!("{error:?}");
    read(&text).unwrap_or_else(|| Error::io("the cluster failed").with("detail", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_kind_and_facts_however_they_are_quoted() {
        let error = Error::data("a \"label\" is wrong").with("file", "it's\n.parquet").with("row", 3).help("mend it");
        let quoted = format!("{:?}", format!("{:?}", to_engine(&error).context("and so on")));
        let back = read(&quoted).unwrap();
        assert_eq!((back.kind(), back.to_string(), back.advice()), (error.kind(), error.to_string(), error.advice()));
        assert!(read("Job failed").is_none());
        assert!(read("[nckit 7b").is_none() && read("[nckit zz]").is_none());
    }

    #[test]
    fn what_failed_of_input_is_tried_again_and_what_is_damaged_is_not() {
        let is_io = |error: &Error| matches!(to_engine(error), DataFusionError::IoError(_));
        assert!(is_io(&Error::io("cannot read")));
        for error in [Error::data("damaged"), Error::missing("gone"), Error::resource("too little memory")] {
            assert!(!is_io(&error));
        }
    }
}
