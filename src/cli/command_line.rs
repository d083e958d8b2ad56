//! Commands as one would type them in a shell.

use std::ffi::OsString;

use crate::archive::commands_terminal;

/// The command of these words; `nckit` is the first of them, wherever it lies.
pub(super) fn command_line(typed: &[OsString]) -> String {
    let words = typed.iter().skip(1).map(|word| quoted(&word.to_string_lossy()));
    std::iter::once("nckit".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// A word, quoted for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+%@{}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.contains(commands_terminal) {
        let code = |c: char| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_ascii_control() => format!("\\x{:02x}", c as u32),
            c if commands_terminal(c) => format!("\\U{:08x}", c as u32),
            c => c.to_string(),
        };
        format!("$'{}'", word.chars().map(code).collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
