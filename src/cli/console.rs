//! Standard error: facts, notes, warnings and errors.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::args::{ColorName, Display, LogName};
use crate::archive::{commands_terminal, escaped};
use crate::error::{Error, ErrorKind};

/// Writes to standard error in the way that the user chose.
pub(super) struct Console {
    quiet: bool,
    verbose: bool,
    json: bool,
    color: bool,
    /// The warnings so far, where nobody reads standard error: nothing is written.
    kept: Option<Mutex<Vec<String>>>,
}

/// Whether to colour the output to a stream: <https://no-color.org>, <https://bixense.com/clicolors>.
pub(super) fn wants_color(choice: ColorName, is_terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    match choice {
        ColorName::Always => true,
        ColorName::Never => false,
        ColorName::Auto if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) => false,
        ColorName::Auto => is_terminal || set("CLICOLOR_FORCE"),
    }
}

impl Console {
    pub(super) fn new(display: &Display) -> Self {
        Self {
            quiet: display.quiet,
            verbose: display.verbose,
            json: display.log_format == LogName::Json,
            color: wants_color(display.color, std::io::stderr().is_terminal()),
            kept: None,
        }
    }

    /// Writes nothing, and keeps warnings.
    pub(super) fn keeping() -> Self {
        Self { quiet: false, verbose: false, json: false, color: false, kept: Some(Mutex::default()) }
    }

    /// The warnings that were kept.
    pub(super) fn into_warnings(self) -> Vec<String> {
        self.kept.map_or_else(Vec::new, |kept| kept.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// A fact of the run: `  features  feature   list<f32>`.
    pub(super) fn fact(&self, name: &str, text: &str) {
        if !self.quiet {
            self.line("info", name, &format!("  {name:<9} "), text);
        }
    }

    /// Whether the user asked for details.
    pub(super) fn tells_details(&self) -> bool {
        self.verbose
    }

    /// A fact that only `--verbose` shows.
    pub(super) fn detail(&self, name: &str, text: &str) {
        if self.verbose {
            self.fact(name, text);
        }
    }

    /// A remark between the results of queries.
    #[cfg(feature = "sql")]
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            self.line("info", "note", "", text);
        }
    }

    pub(super) fn warn(&self, text: &str) {
        if !self.quiet {
            self.line("warning", "warning", &format!("{}: ", self.painted("33", "warning")), text);
        }
    }

    pub(super) fn error(&self, error: &Error) {
        if self.json {
            let facts: serde_json::Map<_, _> =
                error.facts().iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            let line = json!({"level": "error", "message": error.message(), "facts": facts, "help": error.advice()});
            eprint(&safe_json(&line));
        } else {
            eprint(&describe(error, |word| self.painted("1;31", word)));
        }
    }

    /// Writes a line. Its beginning is ours; the text after it may come from outside, and is escaped.
    fn line(&self, level: &str, name: &str, begin: &str, text: &str) {
        if let Some(kept) = &self.kept {
            if level == "warning" {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
            }
        } else if self.json {
            eprint(&safe_json(&json!({"level": level, "name": name, "message": text})));
        } else {
            eprint(&format!("{begin}{}", escaped(text)));
        }
    }

    fn painted(&self, code: &str, word: &str) -> String {
        if self.color { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
    }
}

/// Escapes each line of a text, so that a terminal can show names from outside in it.
pub(super) fn escaped_lines(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// Escapes a help text. Its further lines are indented, so no text from outside can begin a line like one of ours.
fn escaped_help(text: &str) -> String {
    text.split("\n    ").map(escaped).collect::<Vec<_>>().join("\n    ")
}

/// JSON without characters that command a terminal: such characters occur in strings alone, and become their codes.
fn safe_json(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if commands_terminal(c) {
            text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    text
}

/// Writes a line. If standard error is closed, the line is dropped without an error.
pub(super) fn eprint(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Facts that name a place come first, in this order; the others follow on the same line.
const PLACES: [&str; 5] = ["group", "file", "row group", "row", "column"];

/// Describes an error to people: what failed, where, why, and what helps.
pub(super) fn describe(error: &Error, paint: impl Fn(&str) -> String) -> String {
    // Whoever stopped a run knows why, and needs the command that continues.
    let stopped = error.kind() == ErrorKind::Interrupted;
    let message = escaped(error.message());
    let mut text = if stopped { message } else { format!("{}: {message}", paint("error")) };
    let place: Vec<String> = PLACES
        .iter()
        .flat_map(|place| error.facts().iter().filter(move |(name, _)| name == place))
        .map(|(name, value)| (name, escaped(value)))
        .map(|(name, value)| match *name {
            "file" => value,
            "column" => format!("column \"{value}\""),
            name => format!("{name} {}", grouped(&value)),
        })
        .collect();
    let others: Vec<String> = error
        .facts()
        .iter()
        .filter(|(name, _)| !PLACES.contains(name) && *name != "signal")
        .map(|(name, value)| (name, escaped(value)))
        .map(|(name, value)| if *name == "detail" { value } else { format!("{name} {value}") })
        .collect();
    let separator = if place.is_empty() || others.is_empty() { "" } else { ": " };
    if !(place.is_empty() && others.is_empty()) {
        text.extend(["\n  ", &place.join(" · "), separator, &others.join(", ")]);
    }
    if let Some(help) = error.advice() {
        text.extend([if stopped { "\n  resume: " } else { "\n  help: " }, &escaped_help(help)]);
    }
    text
}

/// Groups the digits of a number by three; leaves any other text as it is.
fn grouped(text: &str) -> String {
    if text.len() < 4 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.to_owned();
    }
    let mut out = String::new();
    for (at, digit) in text.chars().enumerate() {
        if at > 0 && (text.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its digits grouped by three.
pub(super) fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// A count of things: `1 file`, `1,024 files`.
pub(super) fn counted(n: u64, thing: &str, plural: &str) -> String {
    format!("{} {thing}{}", count(n), if n == 1 { "" } else { plural })
}

/// Bytes in binary units.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (n.max(1).ilog2() / 10).min(4);
    if unit == 0 {
        return format!("{n} B");
    }
    format!("{:.1} {}", n as f64 / f64::from(1 << 10).powi(unit as i32), UNITS[unit as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_failed_where_why_and_what_helps() {
        let error = Error::data("feature vector has the wrong length")
            .with("row", 1287)
            .with("expected", 768)
            .with("found", 767)
            .with("column", "embedding")
            .with("row group", 3)
            .with("file", "feats.parquet")
            .help("nckit inspect feats.parquet");
        let text = "error: feature vector has the wrong length\n  feats.parquet · row group 3 · row 1,287 · column \
                    \"embedding\": expected 768, found 767\n  help: nckit inspect feats.parquet";
        assert_eq!(describe(&error, str::to_owned), text);
    }

    #[test]
    fn no_part_of_an_error_commands_a_terminal() {
        let hostile = "a\u{1b}[2J\nerror: \u{202e}b\u{9b}";
        let error = Error::data(hostile).with("file", hostile).with("detail", hostile).help(hostile);
        let shown = describe(&error, str::to_owned);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(!shown.contains(|c: char| c != '\n' && commands_terminal(c)), "{shown:?}");
        let line = safe_json(&json!({ "message": format!("{hostile}\u{e0041}") }));
        assert!(line.is_ascii() && !line.contains(commands_terminal), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["message"], format!("{hostile}\u{e0041}"));
    }

    #[test]
    fn counts_and_bytes_for_people() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
    }
}
