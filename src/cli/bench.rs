//! `nckit bench`.

use std::fmt::Write as _;

use super::args::Bench;
use super::console::{Console, bytes, count};
use super::stdout;
use crate::archive::Archive;
use crate::error::Result;
use crate::pipeline::bench;

pub(super) fn run(args: &Bench, console: &Console) -> Result<()> {
    let archive = match &args.input {
        Some(input) => Some(Archive::open(std::slice::from_ref(input), &args.request())?),
        None => None,
    };
    let measured = bench(archive.as_ref())?;
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
    let speed = |seconds: f64| measured.bytes as f64 / seconds / 1e9;
    let mut table = String::new();
    for stage in &measured.stages {
        let share = 100.0 * stage.limit_seconds / stage.seconds;
        let (own, limit) = (speed(stage.seconds), speed(stage.limit_seconds));
        // Writing to a string cannot fail.
        let _ =
            writeln!(table, "{:<13} {own:>6.2} GB/s   {share:>3.0} % of {} ({limit:.2} GB/s)", stage.name, stage.limit);
    }
    stdout::print(&table)
}
