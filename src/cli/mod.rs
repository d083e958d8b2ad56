//! The command line: arguments become a job, and its result becomes an exit code.

mod accumulate;
mod args;
mod bench;
#[cfg(feature = "cluster")]
mod cluster;
mod command_line;
mod compare;
mod console;
mod convert;
mod example;
mod finish;
mod inspect;
pub mod library;
mod measure;
mod merge;
mod metrics;
mod outputs;
mod progress;
#[cfg(feature = "sql")]
mod sql;
mod stdout;
mod units;
mod verify;

use std::any::Any;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};

use crate::archive::{commands_terminal, escaped};
use crate::error::{Error, ErrorKind};
use args::{Args, Verb};
use console::{Console, describe, eprint, escaped_lines};
pub use stdout::look_for_stdout;

/// Runs the command line `arguments`, the program's name first; returns the exit code of the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let typed: Vec<OsString> = arguments.into_iter().collect();
    let args = match Args::try_parse_from(&typed) {
        Ok(args) => args,
        Err(error) => return not_run(&error, &typed),
    };
    // With a handler, a file that exceeds the size limit (`ulimit -f`) is an error like a full disk, and not a fatal
    // signal. If no handler can be registered, it stays one.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let console = Console::new(&args.display);
    let work = AssertUnwindSafe(|| match &args.verb {
        Verb::Measure(measure) => measure::run(measure, &typed, &args.display, &console).map(|()| true),
        Verb::Convert(convert) => convert::run(convert, &args.display, &console).map(|()| true),
        Verb::Inspect(inspect) => inspect::run(inspect, &console).map(|()| true),
        Verb::Accumulate(accumulate) => accumulate::run(accumulate, &typed, &args.display, &console).map(|()| true),
        Verb::Merge(merge) => merge::run(merge, &console).map(|()| true),
        Verb::Finish(finish) => finish::run(finish, &typed, &args.display, &console).map(|()| true),
        Verb::Compare(compare) => compare::run(compare, &typed, &args.display, &console),
        Verb::Verify(verify) => verify::run(verify, &console),
        #[cfg(feature = "sql")]
        Verb::Sql(sql) => sql::run(sql, &args.display, &console).map(|()| true),
        #[cfg(feature = "cluster")]
        Verb::Scheduler(scheduler) => cluster::schedule(scheduler, &console).map(|()| true),
        #[cfg(feature = "cluster")]
        Verb::Executor(executor) => cluster::execute(executor, &console).map(|()| true),
        Verb::Metrics(metrics) => metrics::run(metrics).map(|()| true),
        Verb::Example(example) => example::run(example, &args.display, &console).map(|()| true),
        Verb::Bench(bench) => bench::run(bench, &console).map(|()| true),
    });
    // Decoders may panic on damaged files, and the reader turns that into an error. Any other panic is a bug, which is
    // reported below.
    std::panic::set_hook(Box::new(|_| {}));
    match catch_unwind(work).unwrap_or_else(|panic| Err(bug(panic.as_ref()))) {
        Ok(true) => 0,
        // The command found a difference and printed it.
        Ok(false) => 1,
        Err(error) => {
            console.error(&error);
            exit_code(&error)
        }
    }
}

/// The feature that the command or flag takes which clap does not know, if this program was built without it.
fn lacking(said: &clap::Error, verb: Option<&OsString>, has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let word = |kind: ContextKind| match said.get(kind) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    };
    let takes_cluster = verb.is_some_and(|verb| verb == "accumulate" || verb == "sql");
    let feature = match said.kind() {
        clap::error::ErrorKind::InvalidSubcommand => match word(ContextKind::InvalidSubcommand)?.as_str() {
            "sql" => "sql",
            "scheduler" | "executor" => "cluster",
            _ => return None,
        },
        clap::error::ErrorKind::UnknownArgument
            if takes_cluster && word(ContextKind::InvalidArg)?.starts_with("--cluster") =>
        {
            "cluster"
        }
        _ => return None,
    };
    (!has(feature)).then_some(feature)
}

/// Prints what clap has to say instead of running a command: the help, the version, or a usage error.
fn not_run(said: &clap::Error, typed: &[OsString]) -> u8 {
    let built = [("sql", cfg!(feature = "sql")), ("cluster", cfg!(feature = "cluster"))];
    let has = |feature: &str| built.contains(&(feature, true));
    if let Some(feature) = lacking(said, typed.get(1), has) {
        let error = Error::usage(format!("this program was built without the feature `{feature}`"))
            .help(format!("build it with --features {feature}"));
        eprint(&describe(&error, str::to_owned));
        return exit_code(&error);
    }
    let plain = said.render().to_string();
    let told = if said.use_stderr() {
        // The message repeats arguments, which may be names of files.
        if typed.iter().any(|word| word.to_string_lossy().contains(commands_terminal)) {
            let safe = Args::try_parse_from(typed.iter().map(|word| escaped(&word.to_string_lossy())));
            let text = safe.err().map_or(plain, |said| said.render().to_string());
            eprint(escaped_lines(&text).trim_end());
        } else {
            let _ = said.print();
        }
        let words = [typed.get(1), typed.iter().find(|word| word.to_string_lossy().starts_with("--where"))];
        if let [Some(verb), Some(_)] = words
            && ["finish", "report"].iter().any(|name| verb == name)
        {
            eprint("  tip: the groups of a state are chosen behind its name: 'STATE.ncst?key=value'");
        }
        Ok(())
    } else if std::io::stdout().is_terminal() {
        said.print().map_err(|error| Error::io("cannot write to standard output").caused_by(error))
    } else {
        stdout::write(plain.as_bytes())
    };
    match told {
        Ok(()) => u8::try_from(said.exit_code()).unwrap_or(2),
        Err(error) => {
            eprint(&format!("error: {}", error.message()));
            exit_code(&error)
        }
    }
}

/// The error for a panic.
fn bug(panic: &(dyn Any + Send)) -> Error {
    let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Error::internal("this is a bug in nckit").with("detail", said.unwrap_or("no message"))
}

fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Usage => 2,
        ErrorKind::Data => 65,
        ErrorKind::Missing => 66,
        ErrorKind::Internal => 70,
        ErrorKind::Output => 73,
        ErrorKind::Io => 74,
        ErrorKind::Resource => 75,
        ErrorKind::Interrupted if error.fact("signal") == Some("SIGTERM") => 143,
        ErrorKind::Interrupted => 130,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_not_built_says_which_feature_it_takes() {
        // The error of a command that has these subcommands alone.
        let lacks = |words: &[&str], names: [&'static str; 2]| {
            let command = clap::Command::new("nckit").subcommands(names.map(clap::Command::new));
            let said = command.try_get_matches_from(words).unwrap_err();
            lacking(&said, words.get(1).map(OsString::from).as_ref(), |_| false)
        };
        let verbs = ["accumulate", "measure"];
        assert_eq!(lacks(&["nckit", "sql", "-c", "SELECT 1"], verbs), Some("sql"));
        assert_eq!(lacks(&["nckit", "executor"], verbs), Some("cluster"));
        assert_eq!(lacks(&["nckit", "accumulate", "--cluster", "df://h:1"], verbs), Some("cluster"));
        assert_eq!(lacks(&["nckit", "accumulate", "--cluster=df://h:1"], verbs), Some("cluster"));
        assert_eq!(lacks(&["nckit", "measure", "--cluster", "df://h:1"], verbs), None);
        assert_eq!(lacks(&["nckit", "mesure"], verbs), None);
    }
}
