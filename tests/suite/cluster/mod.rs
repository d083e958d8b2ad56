//! A cluster on this machine, of real processes: the bytes that one process writes.

mod faults;
mod objects;
mod queries;
mod servers;

use std::process::{Output, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array};

use crate::faults::{Place, ints, said, vectors};
use crate::objects::data;
use crate::rows::Random;
use servers::{Servers, wait};

/// Runs a command on the cluster.
fn run(place: &Place, servers: &Servers, arguments: &[&str]) -> Output {
    let mut command = place.command(arguments);
    command.args(["--cluster", &servers.address]);
    wait(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Counts locally and on the cluster, with small tasks, and compares the bytes.
fn same(place: &Place, servers: &Servers, arguments: &[&str]) {
    same_in_tasks(place, servers, "20kB", arguments);
}

fn same_in_tasks(place: &Place, servers: &Servers, size: &str, arguments: &[&str]) {
    place.succeed(&[&["accumulate", "-o", "local.ncst", "--overwrite", "-q"], arguments].concat());
    let far = ["accumulate", "-o", "far.ncst", "--overwrite", "--task-size", size];
    let output = run(place, servers, &[&far[..], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    assert!(said(&output).contains("states from"), "{}", said(&output));
    assert!(place.read("far.ncst") == place.read("local.ncst"), "{arguments:?}");
}

/// Rows of so many classes in their order, in row groups of `row_group`.
fn sorted(place: &Place, name: &str, (rows, dim, classes): (usize, usize, usize), row_group: usize) {
    let mut random = Random::new(rows as u64);
    let labels: Vec<i32> = (0..rows).map(|row| (row * classes / rows) as i32).collect();
    let values = labels.iter().flat_map(|&label| (0..dim).map(move |j| (label, j)));
    let values = values.map(|(label, j)| ((label as usize * 7 + j) % 5) as f32 + random.normal() as f32).collect();
    place.write_columns(name, &[("feature", vectors(values, dim)), ("label", ints(labels))], row_group);
}

#[test]
fn a_cluster_writes_the_bytes_of_one_process() {
    let place = Place::new();
    std::os::unix::fs::symlink(data("digits"), place.path("digits")).unwrap();
    let servers = Servers::start(&place, 3);
    same(&place, &servers, &["digits/flat/h3_final.parquet"]);
    same(&place, &servers, &["digits/hive", "--group-by=layer,epoch", "--where=split=train"]);
    same(&place, &servers, &["digits/hive", "--group-by=layer,epoch,split", "--metrics=nc1_cdnv", "--normalize"]);
    same(&place, &servers, &["digits/hive", "--group-by=layer,epoch", "--error-bars=jackknife:8", "--extra-bits=3"]);
    same(&place, &servers, &["digits/arrays/test_features.npy"]);
    same(&place, &servers, &["digits/hive", "--group-by=layer,epoch", "--shard=1/3", "--grid=-12"]);
    // Many units of one class, several in a task.
    sorted(&place, "sorted/a.parquet", (20_000, 8, 100), 20);
    sorted(&place, "sorted/b.parquet", (20_000, 8, 100), 20);
    same(&place, &servers, &["sorted", "--allow-duplicates"]);
    // Large states, and more classes than rows of a unit.
    sorted(&place, "classes/a.parquet", (30_000, 16, 10_000), 500);
    same(&place, &servers, &["classes"]);
}

#[test]
fn a_part_knows_the_kinds_of_all_keys() {
    let place = Place::new();
    for epoch in ["1", "2", "10", "last"] {
        place.write(&format!("runs/epoch={epoch}/a.parquet"), epoch.len() as u64 + 7, 90, 4, 30);
    }
    let servers = Servers::start(&place, 2);
    // All keys are texts, since one is; a task sees some of the files.
    same_in_tasks(&place, &servers, "1kB", &["runs", "--group-by=epoch", "--allow-duplicates"]);
    same_in_tasks(
        &place,
        &servers,
        "1kB",
        &["runs", "--group-by=epoch", "--where=epoch=1", "--where=epoch=10", "--allow-duplicates"],
    );
    // Columns that the first file decides on.
    let other: ArrayRef = Arc::new(Int32Array::from(vec![5; 30]));
    let columns = [("feature", vectors(vec![1.5; 60], 2)), ("label", ints(vec![1; 30]))];
    place.write_columns("two/a.parquet", &columns, 10);
    let (values, more) = (vectors(vec![0.5; 60], 2), vectors(vec![9.5; 60], 2));
    let columns = [("other", more), ("feature", values), ("label", ints(vec![2; 30])), ("class", other)];
    place.write_columns("two/b.parquet", &columns, 10);
    same(&place, &servers, &["two"]);
}

#[test]
fn a_state_is_extended_and_resumed_by_a_cluster() {
    let place = Place::new();
    place.archive(4, 4);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    place.succeed(&["accumulate", "in/00.parquet", "in/02.parquet", "-o", "x.ncst", "-q"]);
    let servers = Servers::start(&place, 2);
    let output = run(&place, &servers, &["accumulate", "in", "-o", "x.ncst", "--extend", "--task-size=1kB"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(place.read("x.ncst") == place.read("whole.ncst"));
    // Nothing is left.
    let output = run(&place, &servers, &["accumulate", "in", "-o", "x.ncst", "--resume"]);
    assert!(said(&output).contains("already finished"), "{}", said(&output));
}
