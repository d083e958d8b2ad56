//! `nckit sql`.

mod answer;
pub(super) mod args;
mod library;
mod output;
mod remarks;
mod run;
mod shell;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Read};
use std::time::Instant;

pub use self::answer::{Question, Table, TableInMemory, answer};
use self::args::Sql;
use self::output::Outputs;
use self::run::Runner;
use super::args::{Display, pair};
use super::console::{Console, counted};
use super::measure::use_threads;
use super::stdout;
use crate::archive::escaped;
use crate::error::{Error, Result};
use crate::sql::{Access, Query, SessionOptions};

pub(super) fn run(args: &Sql, display: &Display, console: &Console) -> Result<()> {
    if let Some(name) = &args.list {
        return stdout::print(&library::list(name)?);
    }
    let text = text(args)?;
    let outputs = Outputs::new(args, display)?;
    let params: BTreeMap<String, String> = named("--param", &args.param)?.into_iter().collect();
    let queries =
        text.map(|text| queries(&text, &params).and_then(|queries| fitting(queries, &outputs))).transpose()?;
    use_threads(&args.machine, true, console)?;
    let resources = args.machine.resources();
    let options = SessionOptions {
        threads: resources.threads,
        memory: Some(resources.memory),
        device: args.machine.device,
        tables: named("--table", &args.table)?,
    };
    let access = match (args.allow_write, args.result.overwrite) {
        (false, _) => Access::Read,
        (true, false) => Access::Write,
        (true, true) => Access::Replace,
    };
    #[cfg(not(feature = "cluster"))]
    let runner = Runner::new(&options, access)?;
    #[cfg(feature = "cluster")]
    let runner = Runner::new(&options, access)?.on(&args.cluster)?;
    console.detail("device", &args.machine.device.to_string());
    let Some(queries) = queries else { return shell::run(&runner, &outputs, &params, console) };
    let mut is_heard = true;
    for query in queries {
        // Statements that do more than answer run even if nobody reads results any more.
        if !is_heard && query.only_answers() {
            continue;
        }
        let start = Instant::now();
        let Some(rows) = runner.run(query, &outputs, console)? else {
            is_heard = false;
            continue;
        };
        let seconds = start.elapsed().as_secs_f64();
        console.detail("time", &format!("{} in {seconds:.2} s", counted(rows as u64, "row", "s")));
    }
    Ok(())
}

/// The names and values that a flag gives, each name once.
fn named(flag: &'static str, texts: &[String]) -> Result<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::with_capacity(texts.len());
    for text in texts {
        let (name, value) = pair(flag, text)?;
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(Error::usage("a name is given twice").with("flag", flag).with("name", escaped(&name)));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// The statements from the command line, a file or standard input; `None` means an interactive shell.
fn text(args: &Sql) -> Result<Option<String>> {
    let stdin = || {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Error::io("cannot read standard input").with("detail", &error).caused_by(error))?;
        Ok(Some(text))
    };
    match (&args.command, args.file.as_deref()) {
        (Some(text), _) => Ok(Some(text.clone())),
        (None, Some("-")) => stdin(),
        (None, Some(file)) => library::read(file).map(Some),
        (None, None) if std::io::stdin().is_terminal() => Ok(None),
        (None, None) => stdin(),
    }
}

/// Parses the statements of a text, and fills in their parameters.
fn queries(text: &str, params: &BTreeMap<String, String>) -> Result<Vec<Query>> {
    // Some editors begin a text with this mark.
    let mut queries = Query::parse(text.trim_start_matches('\u{feff}'))?;
    if queries.is_empty() {
        return Err(Error::usage("no statement is given").help("use -c SQL, -f FILE, or standard input"));
    }
    let mut used = BTreeSet::new();
    for query in &mut queries {
        query.fill(params, &mut used);
    }
    if let Some(unused) = params.keys().find(|name| !used.contains(*name)) {
        return Err(Error::usage("no statement uses this parameter").with("parameter", format!("${unused}")));
    }
    Ok(queries)
}

/// Checks that the outputs can take the results of queries.
fn fitting(queries: Vec<Query>, outputs: &Outputs) -> Result<Vec<Query>> {
    let answers = queries.iter().filter(|query| query.returns_rows()).count();
    if outputs.has_files() && answers != 1 {
        return Err(Error::usage("an output file takes the result of one query")
            .with("queries", answers)
            .help("run the queries one by one, each with its own -o"));
    }
    Ok(queries)
}
