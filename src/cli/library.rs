//! Commands as functions, for programs in other languages: the words of a command go in, what it makes comes out, and nothing
//! is printed.
//!
//! No function here has a thread pool that outlives its call, so a process that was forked can go on.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::{ArgAction, CommandFactory, Parser};
use rayon::ThreadPoolBuilder;

use super::args::{Args, Finish, FormatName, Inspect, Machine, Measure, Outputs, Verb};
use super::console::{Console, describe};
use super::outputs::{Targets, job};
use super::progress::Watcher;
#[cfg(feature = "sql")]
pub use super::sql::{Question, Table, TableInMemory, answer};
use super::units::parse_size;
use super::{accumulate, bug, finish, inspect, measure, metrics};
use crate::archive::{HeadSource, Request};
use crate::error::{Error, Result};
use crate::pipeline::{AtHand, Job, Rounding, Watch};
use crate::report::{self, Report};
use crate::store::StateFile;

/// What a program has in memory, and words cannot say.
#[derive(Debug, Default)]
pub struct InMemory {
    /// The states of `finish`, in place of the files that are named.
    pub states: Option<StateFile>,
    /// The classifier.
    pub head: Option<HeadSource>,
    /// Whether the report has classes one by one, without a file for them.
    pub per_class: bool,
    /// Rows of `finish`.
    pub at_hand: AtHand,
}

/// A report, and what was said beside it.
#[derive(Debug)]
pub struct Answer {
    /// The result.
    pub report: Report,
    /// Whether a table of it shows the headline only, because no metrics were named.
    pub headline: bool,
    /// What the command writes to standard error as warnings.
    pub warnings: Vec<String>,
}

/// A flag of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its long name, without hyphens before it.
    pub name: String,
    /// Whether a value follows.
    pub takes_value: bool,
    /// Whether it can be given several times.
    pub repeats: bool,
    /// What it does.
    pub help: String,
}

/// Runs `nckit measure` or `nckit finish` with these words, the program's name first.
///
/// # Errors
///
/// Those of the command; [`Usage`](crate::error::ErrorKind::Usage) for words that clap refuses, or of another command.
pub fn report(words: &[OsString], in_memory: InMemory, watch: &Watch) -> Result<Answer> {
    let from_memory = in_memory.states.is_some() || in_memory.head.is_some();
    let InMemory { states, head, per_class, at_hand } = in_memory;
    let mut words = words.to_vec();
    if head.is_some() {
        // Some flags are refused without one.
        words.insert(words.len().min(2), "--head=memory".into());
    }
    let words = words.as_slice();
    let console = Console::keeping();
    let adjust = move |job: &mut Job| {
        job.head = head.or(job.head.take());
        job.at_hand = at_hand;
    };
    let (mut report, headline) = match parsed(words)?.verb {
        Verb::Measure(mut args) => {
            let args: &mut Measure = &mut args;
            refuse_plan(args.dry_run)?;
            to_program(&mut args.outputs, per_class);
            let work = || {
                let made = measure::report(args, words, &Watcher::Caller(watch), &console, adjust)?;
                let (report, targets) = made.ok_or_else(|| Error::internal("measure has no report"))?;
                written(report, targets, watch, &console)
            };
            (in_pool(&args.machine, &console, work)?, args.conventions.metrics.is_empty())
        }
        Verb::Finish(mut args) => {
            let args: &mut Finish = &mut args;
            to_program(&mut args.outputs, per_class);
            let work = || {
                let (report, targets) = finish::report(args, states, words, &Watcher::Caller(watch), &console, adjust)?;
                written(report, targets, watch, &console)
            };
            (in_pool(&args.machine, &console, work)?, args.conventions.metrics.is_empty())
        }
        _ => return Err(Error::usage("this command makes no report")),
    };
    if from_memory {
        // No command says where these came from.
        report.command = None;
    }
    Ok(Answer { report, headline, warnings: console.into_warnings() })
}

/// Fails for words of `nckit finish` that contradict each other, before there is a state.
///
/// # Errors
///
/// Those of [`report`] that no row and no state is needed for.
pub fn check_finish(words: &[OsString], in_memory: &InMemory) -> Result<()> {
    let mut words = words.to_vec();
    if in_memory.head.is_some() {
        words.insert(words.len().min(2), "--head=memory".into());
    }
    let Verb::Finish(mut args) = parsed(&words)?.verb else { return Err(Error::usage("not nckit finish")) };
    to_program(&mut args.outputs, in_memory.per_class);
    let parts = (&args.further, &args.conventions, &args.outputs);
    job(&[], Request::default(), Rounding::default(), parts, &args.machine).map(|_| ())
}

/// Bytes as they are typed, such as `8GiB`.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) for anything else.
pub fn bytes(text: &str) -> Result<u64> {
    parse_size(text).map_err(|expected| Error::usage(expected).with("found", text))
}

/// Runs `nckit accumulate`; returns its warnings.
///
/// # Errors
///
/// Those of the command and of [`report`].
pub fn accumulate(words: &[OsString], watch: &Watch) -> Result<Vec<String>> {
    let Verb::Accumulate(args) = parsed(words)?.verb else { return Err(Error::usage("not nckit accumulate")) };
    refuse_plan(args.dry_run)?;
    let console = Console::keeping();
    let task = accumulate::task(&args)?;
    let work = || accumulate::count_rows(&args, &task, words, &Watcher::Caller(watch), &console);
    in_pool(&args.machine, &console, work)?;
    Ok(console.into_warnings())
}

/// Runs `nckit inspect`; returns what it prints, and its warnings.
///
/// # Errors
///
/// Those of the command and of [`report`].
pub fn inspect(words: &[OsString]) -> Result<(String, Vec<String>)> {
    let Verb::Inspect(args) = parsed(words)?.verb else { return Err(Error::usage("not nckit inspect")) };
    let args: &Inspect = &args;
    let console = Console::keeping();
    let text = in_pool(&args.machine, &console, || inspect::description(args, &console))?;
    Ok((text, console.into_warnings()))
}

/// Runs `nckit metrics`; returns what it prints.
///
/// # Errors
///
/// Those of the command and of [`report`].
pub fn metrics(words: &[OsString]) -> Result<String> {
    let Verb::Metrics(args) = parsed(words)?.verb else { return Err(Error::usage("not nckit metrics")) };
    metrics::text(&args)
}

/// The flags of a command that mean something to a program, in the order of the help; none if there is no such command.
///
/// Those of display are left out, and the ones that print a plan.
pub fn flags(command: &str) -> Vec<Flag> {
    let args = Args::command();
    let Some(command) = args.find_subcommand(command) else { return Vec::new() };
    let shown =
        command.get_arguments().filter(|flag| !["help", "dry_run", "format", "json"].contains(&flag.get_id().as_str()));
    let flag = |flag: &clap::Arg| {
        Some(Flag {
            name: flag.get_long()?.to_owned(),
            takes_value: flag.get_action().takes_values(),
            repeats: matches!(flag.get_action(), ArgAction::Append),
            help: flag.get_help().map(ToString::to_string).unwrap_or_default(),
        })
    };
    shown.filter_map(flag).collect()
}

/// An error as the command line tells it.
pub fn text(error: &Error) -> String {
    let text = describe(error, str::to_owned);
    text.strip_prefix("error: ").map(str::to_owned).unwrap_or(text)
}

/// Does some work; a panic becomes an error.
///
/// # Errors
///
/// Those of the work; [`Internal`](crate::error::ErrorKind::Internal) if it panics.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(bug(panic.as_ref())))
}

/// Does work in a pool of threads that ends with it; a panic becomes an error. What merges states or writes them uses the
/// pool on which it runs, and one that stays would be missing in a process that was forked.
///
/// # Errors
///
/// Those of the work; [`Resource`](crate::error::ErrorKind::Resource) if threads cannot be started.
pub fn pooled<T: Send>(threads: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().map_err(measure::cannot_start_threads)?;
    pool.install(|| guarded(work))
}

fn parsed(words: &[OsString]) -> Result<Args> {
    Args::try_parse_from(words).map_err(|error| {
        let text = error.render().to_string();
        // Behind the message, clap shows the usage of the program.
        let message = text.split("\n\nUsage:").next().unwrap_or(&text).split("\n\nFor more").next().unwrap_or(&text);
        let words: Vec<&str> = message.trim().trim_start_matches("error: ").split_whitespace().collect();
        Error::usage(words.join(" "))
    })
}

fn refuse_plan(dry_run: bool) -> Result<()> {
    if dry_run { Err(Error::usage("a plan is printed, and makes no result")) } else { Ok(()) }
}

/// All metrics are made, wherever the program's own output goes.
fn to_program(outputs: &mut Outputs, per_class: bool) {
    outputs.classes_to_program = per_class;
    outputs.result.format = FormatName::Named(report::Format::Json);
}

/// Writes the report to its files, unless the caller has stopped in the meantime.
fn written(report: Report, mut targets: Targets<'_>, watch: &Watch, console: &Console) -> Result<Report> {
    watch.check()?;
    if let Some(error) = targets.write_files(&report, console)? {
        return Err(error);
    }
    Ok(report)
}

/// Does work in a pool of its own.
fn in_pool<T: Send>(machine: &Machine, console: &Console, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pool = measure::thread_pool(machine, true, console)?.build().map_err(measure::cannot_start_threads)?;
    pool.install(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::HeadInMemory;
    use crate::error::ErrorKind;

    const DIGITS: &str = "tests/data/digits/flat/h3_final.parquet";

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn refused(typed: &[&str]) -> Error {
        report(&words(typed), InMemory::default(), &Watch::default()).unwrap_err()
    }

    #[test]
    fn words_become_a_report_and_warnings() {
        let typed = words(&["nckit", "measure", DIGITS, "--where=split=train"]);
        let Answer { report: made, headline, warnings } =
            report(&typed, InMemory::default(), &Watch::default()).unwrap();
        assert_eq!(made.groups[0].value("nc1_cdnv"), Some(0.000_565_074_835_316_864_8));
        // All metrics, although a table would show the headline.
        assert!(headline && made.groups[0].metric("gnc2_min_distance").is_some() && warnings.is_empty());
        assert_eq!(made.command.as_deref(), Some(&*format!("nckit measure {DIGITS} --where=split=train")));
        // The second run of a process has no pool that is there already.
        let named = words(&["nckit", "measure", DIGITS, "--metrics=nc1", "--threads=1"]);
        let pooled = report(&named, InMemory::default(), &Watch::default()).unwrap();
        assert!(!pooled.headline && pooled.warnings.iter().any(|text| text.contains("split")), "{:?}", pooled.warnings);
    }

    #[test]
    fn a_head_in_memory_is_used() {
        let weights: Vec<f32> = (0..640).map(|at| ((at * 37) % 101) as f32 - 50.0).collect();
        let head = HeadSource::in_memory(HeadInMemory::new(weights.as_slice().into(), [10, 64], None));
        let in_memory = InMemory { head: Some(head), per_class: true, ..InMemory::default() };
        let typed = words(&["nckit", "measure", DIGITS, "--where=split=train", "--head-rows=label"]);
        let made = report(&typed, in_memory, &Watch::default()).unwrap().report;
        assert!(made.groups[0].value("nc3_dot_mean").is_some() && made.groups[0].measurements.per_class.len() == 10);
        assert_eq!((made.command, made.settings["head"].as_str()), (None, "in memory"));
    }

    #[test]
    fn classes_for_a_program_have_names() {
        let names = std::env::temp_dir().join(format!("nckit-names-{}", std::process::id()));
        std::fs::write(&names, "zero\none\n2\n3\n4\n5\n6\n7\n8\nnine\n").unwrap();
        let typed = words(&["nckit", "measure", DIGITS, "--where=split=train", "--metrics=nc1"]);
        let typed = [typed, vec![format!("--class-names={}", names.display()).into()]].concat();
        assert_eq!(report(&typed, InMemory::default(), &Watch::default()).unwrap_err().kind(), ErrorKind::Usage);
        let in_memory = InMemory { per_class: true, ..InMemory::default() };
        let made = report(&typed, in_memory, &Watch::default()).unwrap().report;
        std::fs::remove_file(&names).unwrap();
        assert_eq!(made.class_names[&crate::batch::Label::Int(9)], "nine");
    }

    #[test]
    fn words_of_finish_are_checked_without_states() {
        let check = |typed: &[&str]| check_finish(&words(typed), &InMemory::default());
        assert!(check(&["nckit", "finish", "memory", "--metrics=nc1", "--min-count=3"]).is_ok());
        for typed in [
            &["nckit", "finish", "memory", "--metrics=nc9"][..],
            &["nckit", "finish", "memory", "--head-rows=rank"],
            &["nckit", "finish", "memory", "--min-count=few"],
            &["nckit", "measure", "memory"],
        ] {
            let error = check(typed).unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && !error.message().contains('\n'), "{typed:?}: {error}");
        }
        assert_eq!((bytes("2KiB").unwrap(), bytes("much").unwrap_err().kind()), (2048, ErrorKind::Usage));
    }

    #[test]
    fn words_that_make_no_report_are_refused() {
        let error = refused(&["nckit", "measure", DIGITS, "--grid=x"]);
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(text(&error).starts_with("invalid value 'x' for '--grid <E>'"), "{error}");
        for typed in [&["nckit", "metrics"][..], &["nckit", "measure", DIGITS, "--dry-run"], &["nckit", "--help"]] {
            assert_eq!(refused(typed).kind(), ErrorKind::Usage, "{typed:?}");
        }
        let stopped = Watch::default();
        stopped.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let error = report(&words(&["nckit", "measure", DIGITS]), InMemory::default(), &stopped).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = guarded(|| -> Result<()> { panic!("twelve") }).unwrap_err();
        assert_eq!((error.kind(), error.fact("detail")), (ErrorKind::Internal, Some("twelve")));
    }

    #[test]
    fn flags_are_those_of_the_commands() {
        let flag = |name: &str| {
            flags("measure").into_iter().find(|flag| flag.name == name).map(|f| (f.takes_value, f.repeats))
        };
        assert_eq!(flag("group-by"), Some((true, true)));
        assert_eq!(flag("grid"), Some((true, false)));
        assert_eq!(flag("overwrite"), Some((false, false)));
        assert_eq!((flag("dry-run"), flag("quiet"), flags("nothing").len()), (None, None, 0));
    }
}
