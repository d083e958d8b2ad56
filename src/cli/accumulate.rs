//! `nckit accumulate`.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use super::args::{Accumulate, Display, check_named};
use super::command_line::quoted;
use super::console::{Console, bytes, count, counted};
use super::measure::{
    describe_columns, describe_keys, device_text, dry_run, memory_text, plan_text, time, use_threads, warn_of_failures,
};
use super::progress::{Stopping, Watcher};
use crate::archive::File;
#[cfg(feature = "cluster")]
use crate::archive::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Device;
use crate::metrics::Selection;
use crate::pipeline::{CheckpointedPass, Resources, Saving, Task};
use crate::store::{Lock, StateFile, refuse_inputs};

pub(super) fn run(args: &Accumulate, typed: &[OsString], display: &Display, console: &Console) -> Result<()> {
    let task = task(args)?;
    use_threads(&args.machine, task.scatter, console)?;
    count_rows(args, &task, typed, &Watcher::User(display), console)
}

/// Counts the rows that the flags name into the state file, or prints the plan.
pub(super) fn count_rows(
    args: &Accumulate,
    task: &Task,
    typed: &[OsString],
    watcher: &Watcher<'_>,
    console: &Console,
) -> Result<()> {
    if args.dry_run {
        let accumulation = CheckpointedPass::begin(task, None)?;
        describe_keys(accumulation.archive(), console);
        return dry_run(&accumulation.summary(), &accumulation.estimate());
    }
    let path = &args.output;
    let _lock = Lock::acquire(path)?;
    let Some(mut accumulation) = accumulation(args, task, console)? else { return Ok(()) };
    let inputs = accumulation.archive().files().iter().flat_map(File::paths).map(Path::to_path_buf);
    refuse_inputs([path.as_path()], inputs)?;
    describe_columns(accumulation.archive(), console);
    let summary = accumulation.summary();
    console.fact("plan", &plan_text(&summary));
    accumulation.notes().iter().for_each(|note| console.warn(note));
    console.detail("memory", &memory_text(&summary));
    console.detail("device", &device_text(&summary));
    let saving = Saving { path: path.clone(), every: args.checkpoint_every };
    let start = Instant::now();
    let run = watcher.run(summary.bytes, stopping(args), |watch| {
        #[cfg(feature = "cluster")]
        if let Some(address) = &args.cluster.cluster {
            if task.request.bad_files == Policy::Skip {
                console.warn(
                    "this process decodes all files once, to find the damaged ones; the cluster counts the others",
                );
            }
            return args.cluster.count(address, &mut accumulation, watch, &saving, console);
        }
        accumulation.run(watch, &saving)
    });
    let (done, units) = accumulation.progress();
    accumulation.warnings().iter().for_each(|warning| console.warn(warning));
    warn_of_failures(&accumulation.device_failures(), console);
    run.map_err(|error| match error.kind() {
        ErrorKind::Interrupted => {
            let saved = if accumulation.has_begun() {
                format!("state saved ({} of {})", count(done), counted(units, "unit", "s"))
            } else {
                "stopped before anything was counted".to_owned()
            };
            let signal = error.fact("signal").map(str::to_owned);
            let error = Error::interrupted(saved).help(resume_command(typed, accumulation.has_begun()));
            signal.into_iter().fold(error, |error, signal| error.with("signal", signal))
        }
        // A cluster has failed, and what had come is saved.
        ErrorKind::Io | ErrorKind::Resource if is_elsewhere(args) && done > 0 => error
            .help(resume_command(typed, true))
            .with("saved", format!("{} of {}", count(done), counted(units, "unit", "s"))),
        _ => error,
    })?;
    time(start, summary.bytes, console);
    let size = StateFile::size_at(path)?.unwrap_or(0);
    let text = format!("{}   {} · {}", path.display(), counted(done, "unit", "s"), bytes(size));
    console.fact("state", &text);
    Ok(())
}

/// Whether a cluster counts.
fn is_elsewhere(args: &Accumulate) -> bool {
    #[cfg(feature = "cluster")]
    return args.cluster.cluster.is_some();
    #[cfg(not(feature = "cluster"))]
    return {
        let _ = args;
        false
    };
}

/// A cluster gives its units back; here those in hand are finished.
fn stopping(args: &Accumulate) -> Stopping {
    if is_elsewhere(args) { Stopping::AtOnce } else { Stopping::AfterUnits }
}

pub(super) fn task(args: &Accumulate) -> Result<Task> {
    let Resources { threads, memory } = args.machine.resources();
    check_named("--metrics", &args.metrics)?;
    Ok(Task {
        inputs: args.input.inputs.clone(),
        request: args.input.request()?,
        rounding: args.exactness.rounding(),
        scatter: Task::needs_scatter(&Selection::parse(&args.metrics)?),
        error_bars: args.error_bars.parse()?,
        shard: args.shard,
        device: Device::chosen(args.machine.device)?,
        threads,
        memory,
    })
}

/// The accumulation that the flags ask for; `None` if the state is finished.
fn accumulation(args: &Accumulate, task: &Task, console: &Console) -> Result<Option<CheckpointedPass>> {
    let path = &args.output;
    if args.overwrite || StateFile::size_at(path)?.is_none() {
        if args.extend {
            return Err(Error::missing("there is no state to extend").with("file", path.display()));
        }
        return CheckpointedPass::begin(task, None).map(Some);
    }
    if !args.resume && !args.extend {
        return Err(Error::output("the state file already exists")
            .with("file", path.display())
            .help("--resume continues it, --extend adds new files to it, --overwrite replaces it"));
    }
    let in_file = |error: Error| error.with_default("file", path.display());
    let state = StateFile::read(path)?;
    if args.extend {
        return CheckpointedPass::begin(task, Some(state)).map_err(in_file).map(Some);
    }
    if state.unfinished.is_some() {
        return CheckpointedPass::resume(task, state).map_err(in_file).map(Some);
    }
    finished(path, task, &state, console).map_err(in_file)?;
    Ok(None)
}

/// Says that nothing is left to resume, or fails if the state is of other inputs.
fn finished(path: &Path, task: &Task, state: &StateFile, console: &Console) -> Result<()> {
    let (known, new) = match CheckpointedPass::compare(task, state) {
        // The inputs may have been removed once they were counted.
        Err(error) if error.kind() == ErrorKind::Missing => (1, 0),
        compared => compared?,
    };
    if known == 0 && new > 0 {
        return Err(Error::data("the state is finished, and holds other files")
            .help("--extend adds these, --overwrite begins again"));
    }
    if new > 0 {
        let units = counted(new as u64, "row group", "s");
        let are = if new == 1 { "is" } else { "are" };
        console.warn(&format!("{units} of the inputs {are} not in the state, which is finished: --extend adds them"));
    }
    console.fact("state", &format!("{}   already finished", path.display()));
    Ok(())
}

/// The command that continues this one; the same command if nothing was saved.
fn resume_command(typed: &[OsString], saved: bool) -> String {
    let mut words = vec!["nckit".to_owned()];
    words.extend(typed.iter().skip(1).map(|word| word.to_string_lossy().into_owned()));
    if saved {
        words.retain(|word| !matches!(word.as_str(), "--overwrite" | "--extend" | "--resume"));
        words.push("--resume".to_owned());
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_continues_can_be_pasted() {
        let typed = ["/usr/bin/nckit", "accumulate", "emb/*.parquet", "it's", "-o", "lm.ncst", "--overwrite"];
        let typed: Vec<OsString> = typed.iter().map(OsString::from).collect();
        let expected = r"nckit accumulate 'emb/*.parquet' 'it'\''s' -o lm.ncst --resume";
        assert_eq!(resume_command(&typed, true), expected);
        assert!(resume_command(&typed, false).ends_with("--overwrite"));
        // Bash and zsh read it like this.
        assert_eq!(quoted("a\u{1b}'\u{202e}é"), r"$'a\x1b\'\U0000202eé'");
    }
}
