//! `nckit inspect`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::args::Inspect;
use super::console::{Console, bytes, count, counted};
use super::measure::{key_text, memory_text, names_text, passed_over, time_text, use_threads};
use super::{stdout, verify};
use crate::archive::{Archive, Request, escaped};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::pipeline::{Job, Plan, Resources};
use crate::store::StateFile;

/// The most groups that are listed; the rest are counted.
const LISTED: usize = 50;

pub(super) fn run(args: &Inspect, console: &Console) -> Result<()> {
    use_threads(&args.machine, false, console)?;
    stdout::print(&description(args, console)?)
}

/// What the command prints.
pub(super) fn description(args: &Inspect, console: &Console) -> Result<String> {
    let is_state = |input: &String| StateFile::is_at(Path::new(input));
    if args.input.inputs.iter().all(is_state) {
        return args.input.inputs.iter().map(|input| verify::describe(Path::new(input))).collect();
    }
    let Resources { threads, memory } = args.machine.resources();
    let request = Request { memory: Some(memory), ..args.input.request()? };
    let archive = Archive::open(&args.input.inputs, &request)?;
    passed_over(&archive, "", console);
    archive.warnings().iter().for_each(|warning| console.warn(warning));
    archive.bad_files().iter().for_each(|(file, reason)| console.warn(&format!("left out: {file}: {reason}")));
    let text = describe(&archive, &request.group_by)?;
    archive.all_pooled().iter().for_each(|pooled| console.warn(&pooled.describe()));
    let request = Request { keys_optional: true, ..request };
    let plan = Plan::new(Job { request, threads, memory, ..Job::new(&args.input.inputs) });
    // An archive whose rows differ in length is described too, though it needs another key to be measured.
    // Memory and time differ from machine to machine, so they go to standard error and not into the result.
    match plan {
        Ok(plan) => {
            let summary = plan.summary();
            console.fact("memory", &memory_text(&summary));
            let passes = counted(summary.passes as u64, "pass", "es");
            console.fact("time", &format!("{} to measure all metrics, in {passes}", time_text(&plan.estimate())));
        }
        Err(error) => console.fact("time", &format!("unknown: {}", error.message())),
    }
    Ok(text)
}

fn describe(archive: &Archive, group_by: &[String]) -> Result<String> {
    let counts = archive.count_labels(&(0..archive.units().len()).collect::<Vec<_>>())?;
    archive.check_filters()?;
    let classes: BTreeSet<&Label> = counts.values().flat_map(BTreeMap::keys).collect();
    let rows: u64 = counts.values().flat_map(BTreeMap::values).sum();
    let touched: u64 = archive.units().iter().map(|unit| unit.rows).sum();
    if rows == 0 && touched > 0 {
        return Err(Error::missing("no row is left")
            .with("rows read", touched)
            .help("loosen --where, or leave out --ignore-label"));
    }
    let stored: u64 = archive.units().iter().map(|unit| unit.bytes).sum();
    let dims: BTreeSet<usize> = (0..archive.files().len())
        .map(|file| archive.file_dim(file))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    let dims: Vec<String> = dims.into_iter().map(|dim| count(dim as u64)).collect();
    let checked = (0..archive.files().len()).map(|file| archive.checksums(file)).collect::<Result<Vec<_>>>()?;
    let checked = checked.into_iter().filter(|&checked| checked).count();
    let largest = archive.units().iter().map(|unit| unit.rows).max().unwrap_or(0);

    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10}{}", escaped(&value));
    };
    line(
        "files",
        format!(
            "{} · {} of at most {}",
            count(archive.files().len() as u64),
            counted(archive.units().len() as u64, "row group", "s"),
            counted(largest, "row", "s")
        ),
    );
    // Row groups are read whole, whatever part of their rows counts.
    let of_touched = if rows < touched { format!(" of {} in these row groups", count(touched)) } else { String::new() };
    line("rows", format!("N = {}{of_touched} · {} as stored", count(rows), bytes(stored)));
    let features = archive.features();
    line("features", format!("{}   {}   D = {}   ({})", features.name, features.kind, dims.join(", "), features.why));
    match archive.labels() {
        Some(labels) => {
            let range = match (classes.first(), classes.last()) {
                (Some(first), Some(last)) if classes.len() > 1 => format!(", {first} to {last}"),
                (Some(only), _) => format!(", {only}"),
                _ => String::new(),
            };
            line(
                "labels",
                format!(
                    "{}   {}   K = {}{range}   ({})",
                    labels.name,
                    labels.kind,
                    count(classes.len() as u64),
                    labels.why
                ),
            );
        }
        None => line("labels", "none".to_owned()),
    }
    if let Some(names) = archive.class_names() {
        line("classes", names_text(names));
    }
    let named =
        |n: usize| if n == archive.files().len() { "all files".to_owned() } else { counted(n as u64, "file", "s") };
    line(
        "checksums",
        if checked == 0 { "none: flipped bits of values cannot be seen".to_owned() } else { named(checked) },
    );
    let keys: BTreeSet<&String> = archive.files().iter().flat_map(|file| file.keys.keys()).collect();
    for key in keys {
        line("key", key_text(archive, key));
    }
    if !group_by.is_empty() {
        line("groups", count(counts.len() as u64));
        for (key, labels) in counts.iter().take(LISTED) {
            let names: Vec<String> = group_by.iter().zip(key).map(|(name, value)| format!("{name}={value}")).collect();
            let rows: u64 = labels.values().sum();
            line("", format!("{}   N = {} · K = {}", names.join(" "), count(rows), count(labels.len() as u64)));
        }
        if counts.len() > LISTED {
            line("", format!("… and {} more", count((counts.len() - LISTED) as u64)));
        }
    }
    Ok(text)
}
