//! What goes to standard error: notes, warnings, errors.

use std::io::{IsTerminal, Write};

use serde_json::{Value, json};

use super::args::{ColorName, Display, LogName};
use crate::archive::{commands_terminal, escaped};
use crate::error::{Error, ErrorKind};

/// Standard error, as the user wants it.
pub(super) struct Console {
    quiet: bool,
    verbose: bool,
    json: bool,
    color: bool,
}

/// Whether output to a stream is coloured: <https://no-color.org>, <https://bixense.com/clicolors>.
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
        }
    }

    /// A fact of the run: `  features  feature   list<f32>`.
    pub(super) fn fact(&self, name: &str, text: &str) {
        if !self.quiet {
            self.line("info", name, &format!("  {name:<9} "), text);
        }
    }

    /// Whether somebody asks for more.
    pub(super) fn tells_details(&self) -> bool {
        self.verbose
    }

    /// A fact for those who ask for more.
    pub(super) fn detail(&self, name: &str, text: &str) {
        if self.verbose {
            self.fact(name, text);
        }
    }

    /// A remark between results.
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

    /// A line for people begins with words of ours; what follows may be from outside.
    fn line(&self, level: &str, name: &str, begin: &str, text: &str) {
        if self.json {
            eprint(&safe_json(&json!({"level": level, "name": name, "message": text})));
        } else {
            eprint(&format!("{begin}{}", escaped(text)));
        }
    }

    fn painted(&self, code: &str, word: &str) -> String {
        if self.color { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
    }
}

/// Lines of ours with text from outside in them, safe to show on a terminal.
pub(super) fn escaped_lines(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// A help text, whose further lines are indented: a line that begins as one of ours does cannot come from outside.
fn escaped_help(text: &str) -> String {
    text.split("\n    ").map(escaped).collect::<Vec<_>>().join("\n    ")
}

/// JSON in which no character commands a terminal: they stand in strings alone, where each has a code.
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

/// A closed standard error silences us, and is no failure.
pub(super) fn eprint(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The facts that say where, in this order, on one line; the others follow.
const PLACES: [&str; 5] = ["group", "file", "row group", "row", "column"];

/// An error for people: what, where, why, and what mends it.
fn describe(error: &Error, paint: impl Fn(&str) -> String) -> String {
    // Who stopped a run knows, and wants to know how to go on.
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

/// Digits in groups of three, where the text is a number.
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

/// A count, its digits in groups of three.
pub(super) fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// So many things: `1 file`, `1,024 files`.
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
    fn an_error_says_what_where_why_and_what_mends_it() {
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
