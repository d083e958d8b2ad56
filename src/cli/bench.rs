//! `nckit bench`.

use std::fmt::Write as _;

use super::args::Bench;
use super::console::{Console, bytes, count};
use super::stdout;
use crate::archive::Archive;
use crate::error::Result;
use crate::kernels::Device;
use crate::pipeline::{ManyStage, Stage, bench, bench_many};

pub(super) fn run(args: &Bench, console: &Console) -> Result<()> {
    if let Some(classes) = args.classes {
        let stages = bench_many(classes, args.dim)?;
        let (classes, dim) = (count(classes as u64), count(args.dim as u64));
        console.fact("classes", &format!("K={classes} · D={dim} · f32 rows, on one thread"));
        return stdout::print(&table_of_many(&stages));
    }
    let archive = match &args.input {
        Some(input) => Some(Archive::open(std::slice::from_ref(input), &args.request())?),
        None => None,
    };
    let device = Device::chosen(args.device)?;
    let measured = bench(archive.as_ref(), &device)?;
    console.fact(
        "chunk",
        &format!(
            "{} rows · D={} · K={} · {}, on one thread",
            count(measured.rows as u64),
            count(measured.dim as u64),
            count(measured.classes as u64),
            bytes(measured.bytes)
        ),
    );
    let mut text = table(&measured.stages, measured.bytes);
    for (name, stages) in &measured.on_devices {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{name}\n{}", table(stages, measured.bytes));
    }
    stdout::print(&text)
}

/// A line for each part of a run with many classes: its time, and that of what bounds it.
fn table_of_many(stages: &[ManyStage]) -> String {
    let mut table = String::new();
    for ManyStage { stage: Stage { name, seconds, limit, limit_seconds }, each } in stages {
        let (own, bound) = (short(*seconds), short(*limit_seconds));
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{name:<28} {own:>8} a {each:<6} {:>5.2} × {limit} ({bound})", seconds / limit_seconds);
    }
    table
}

/// A time of less than a second, in three digits.
fn short(seconds: f64) -> String {
    let (number, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s => (s * 1e3, "ms"),
    };
    if number < 10.0 { format!("{number:.2} {unit}") } else { format!("{number:.0} {unit}") }
}

/// A line for each part: its speed, and that of what bounds it.
fn table(stages: &[Stage], bytes: u64) -> String {
    let speed = |seconds: f64| bytes as f64 / seconds / 1e9;
    let mut table = String::new();
    for stage in stages {
        let share = 100.0 * stage.limit_seconds / stage.seconds;
        let (own, limit) = (speed(stage.seconds), speed(stage.limit_seconds));
        // Writing to a string cannot fail.
        let _ =
            writeln!(table, "{:<13} {own:>6.2} GB/s   {share:>3.0} % of {} ({limit:.2} GB/s)", stage.name, stage.limit);
    }
    table
}
