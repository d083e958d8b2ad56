//! Statements typed at a prompt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use super::output::Outputs;
use super::run::Runner;
use crate::archive::escaped;
use crate::cli::console::{Console, counted};
use crate::cli::stdout;
use crate::error::{Error, Result, nearest};
use crate::sql::{Query, functions};
use crate::store::Staged;

const WELCOME: &str = "nckit sql: end statements with a semicolon; .help shows more, .quit ends";

const HELP: &str = "\
.functions [WORD]   list nckit's functions, or those with the word in their name or summary
.tables             list tables by name; a path in quotes is a table too: FROM 'archive/**/*.parquet'
.help               show this
.quit               end (or control-D)

Any other line is SQL up to its semicolon. A first query:
  SELECT epoch, nc1_pinv(feature, label) FROM 'archive' GROUP BY epoch ORDER BY epoch;
EXPLAIN shows a plan, DESCRIBE 'archive' the columns, SET nc.centring = 'sample' a convention, SHOW ALL all settings.";

pub(super) fn run(
    runner: &Runner,
    outputs: &Outputs,
    params: &BTreeMap<String, String>,
    console: &Console,
) -> Result<()> {
    let config =
        Config::builder().auto_add_history(false).max_history_size(1000).map(rustyline::config::Builder::build);
    let config = config.map_err(failed)?;
    runner.watch().at_a_terminal();
    let mut editor = DefaultEditor::with_config(config).map_err(failed)?;
    let history = history();
    if let Some(path) = history.as_ref().filter(|path| path.is_file()) {
        // The shell works without its history.
        let _ = editor.load_history(path);
    }
    console.note(WELCOME);
    let mut typed = String::new();
    loop {
        let prompt = if typed.is_empty() { "nckit> " } else { "   ..> " };
        match editor.readline(prompt) {
            Ok(line) => {
                if typed.is_empty() && line.trim().is_empty() {
                    continue;
                }
                typed.push_str(&line);
                typed.push('\n');
                let entry = match typed.trim() {
                    // Other shells end so.
                    "\\q" | "exit" | "exit;" | "quit" | "quit;" => ".quit",
                    entry => entry,
                };
                if entry.starts_with('.') || is_closed(entry) {
                    let entry = entry.to_owned();
                    typed.clear();
                    // The shell works without its history.
                    let _ = editor.add_history_entry(entry.as_str());
                    if !execute(&entry, runner, outputs, params, console) {
                        break;
                    }
                }
            }
            Err(ReadlineError::Interrupted) => typed.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        }
    }
    if let Some(path) = history {
        // A history that cannot be saved is not a failure of the session.
        let _ = save(&mut editor, &path);
    }
    Ok(())
}

/// Whether a text ends with a semicolon that is part of no comment.
fn is_closed(text: &str) -> bool {
    match Tokenizer::new(&GenericDialect {}, text).tokenize() {
        Ok(tokens) => {
            let last = tokens.iter().rev().find(|token| !matches!(token, Token::Whitespace(_)));
            last == Some(&Token::SemiColon)
        }
        // A mistake is told when the text is run. A comment may go on.
        Err(error) => text.ends_with(';') && !error.message.contains("comment"),
    }
}

/// Replaces the file of the history atomically.
fn save(editor: &mut DefaultEditor, path: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::io("cannot save the history").caused_by(error);
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    let staged = Staged::new(path, false, true)?;
    editor.save_history(staged.place()).map_err(self::failed)?;
    // The editor writes no file if there are no new entries.
    if staged.place().exists() { staged.commit() } else { Ok(()) }
}

fn failed(error: ReadlineError) -> Error {
    Error::io("cannot read from the terminal").with("detail", &error).caused_by(error)
}

/// Runs an entry; whether the shell goes on.
fn execute(
    entry: &str,
    runner: &Runner,
    outputs: &Outputs,
    params: &BTreeMap<String, String>,
    console: &Console,
) -> bool {
    if let Some(command) = entry.strip_prefix('.') {
        return match command_text(command.trim_end_matches(';'), &runner.tables()) {
            Ok(Some(text)) => stdout::print(&text).is_ok(),
            Ok(None) => false,
            Err(error) => {
                console.error(&error);
                true
            }
        };
    }
    let start = Instant::now();
    let run = || -> Result<Option<Option<usize>>> {
        let mut rows = None;
        for mut query in Query::parse(entry)? {
            query.fill(params, &mut BTreeSet::new());
            let returns_rows = query.returns_rows();
            match runner.run(query, outputs, console)? {
                Some(count) => rows = returns_rows.then_some(count).or(rows),
                None => return Ok(None),
            }
        }
        Ok(Some(rows))
    };
    match run() {
        Ok(Some(Some(rows))) => {
            let seconds = start.elapsed().as_secs_f64();
            console.note(&format!("{} · {seconds:.2} s", counted(rows as u64, "row", "s")));
        }
        Ok(Some(None)) => {}
        Ok(None) => return false,
        Err(error) => console.error(&error),
    }
    true
}

/// The output of a command; `None` ends the shell.
fn command_text(command: &str, tables: &[String]) -> Result<Option<String>> {
    let (name, argument) = command.trim().split_once(char::is_whitespace).unwrap_or((command.trim(), ""));
    let text = match name {
        "help" => format!("{HELP}\n"),
        "quit" | "exit" => return Ok(None),
        "functions" => functions_text(argument.trim()),
        "tables" if tables.is_empty() => {
            "no table has a name; --table NAME=PATH gives it one, and a path in quotes is a table: FROM 'archive'\n"
                .to_owned()
        }
        "tables" => tables.iter().flat_map(|name| [escaped(name), "\n".to_owned()]).collect(),
        _ => {
            let near = nearest(name, ["help", "functions", "tables", "quit"]);
            let help =
                near.first().map_or_else(|| ".help lists them".to_owned(), |near| format!("did you mean .{near}?"));
            return Err(Error::usage("unknown command").with("command", format!(".{name}")).help(help));
        }
    };
    Ok(Some(text))
}

/// Functions with a word in their name or summary.
fn functions_text(word: &str) -> String {
    let lower = word.to_lowercase();
    let found: Vec<_> = functions()
        .iter()
        .filter(|function| function.name.contains(&lower) || function.summary.to_lowercase().contains(&lower))
        .collect();
    if found.is_empty() {
        let near = nearest(word, functions().iter().map(|function| function.name.as_str()));
        let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) };
        return format!("no function has {} in its name or summary{hint}\n", escaped(word));
    }
    found.into_iter().flat_map(|function| [&function.signature, "\n    ", &function.summary, "\n"]).collect()
}

/// The file that keeps entries from one shell to the next.
fn history() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("nckit/sql_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_in_a_comment_closes_nothing() {
        for text in ["SELECT 1;", "SELECT 1; -- done", "SELECT '/* a';", "/* a; */ SELECT 1;", "SELECT 'it's;"] {
            assert!(is_closed(text), "{text}");
        }
        for text in ["SELECT 1", "SELECT 1 /* a;", "SELECT 1 -- a;", ""] {
            assert!(!is_closed(text), "{text}");
        }
    }
}
