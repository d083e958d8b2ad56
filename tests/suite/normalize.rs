//! `--normalize`: rows at length 1, the same numbers on every path.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use nckit::archive::{Archive, Request, Values};
use nckit::pipeline::{Job, RowSource};
use serde_json::Value;
use tempfile::TempDir;

use crate::archives::Table;
use crate::goldens::plain_job;
use crate::rows::Random;
use crate::sql::{query, register_session, try_query};

const KEYS: [&str; 6] = [
    "nc1_pinv",
    "nc1_cdnv",
    "spectrum_pair_cosine",
    "separation_alignment",
    "spectrum_effective_rank",
    "nc2_etf_error",
];

/// Rows of three classes, whose lengths go over six powers of ten.
fn table() -> Table {
    let (mut random, dim) = (Random::new(7), 5_usize);
    let labels: Vec<i64> = (0..400).map(|_| random.below(3) as i64).collect();
    let mut values = Vec::new();
    for &label in &labels {
        let scale = 10_f32.powi(random.below(7) as i32 - 3);
        values.extend(
            (0..dim).map(|j| scale * (random.normal() as f32 * 0.3 + if j as i64 == label { 1.0 } else { 0.2 })),
        );
    }
    Table { dim, values, labels }
}

struct Place(TempDir);

impl Place {
    fn of(table: &Table) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        table.write(&place.path("rows.parquet"), 0..table.labels.len(), 150);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_nckit")).args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeed(&[arguments, &["--format=json", "-q"]].concat())).unwrap()
    }
}

/// The rows of a file as they are read, at length 1, and their classes.
fn unit_rows(path: &Path) -> Vec<(u32, Vec<f64>)> {
    let archive = Archive::open(&[path.to_str().unwrap().to_owned()], &Request::default()).unwrap();
    let mut rows = Vec::new();
    for unit in 0..archive.units().len() {
        let mut reader = archive.read(unit).unwrap();
        while let Some(chunk) = reader.next().unwrap() {
            let Values::F32(values) = &chunk.values else { panic!("f32") };
            for (row, &code) in values.chunks(chunk.dim).zip(&chunk.codes) {
                let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
                let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                let nckit::batch::Label::Int(class) = chunk.classes[code as usize] else { panic!("integers") };
                rows.push((class as u32, row.iter().map(|x| x / length).collect()));
            }
        }
    }
    rows
}

#[test]
fn pairs_of_rows_say_what_sums_do() {
    let place = Place::of(&table());
    let rows = unit_rows(&place.path("rows.parquet"));
    let (mut cosines, mut squares) = (Vec::new(), vec![Vec::new(); 3]);
    for (at, (class, x)) in rows.iter().enumerate() {
        for (other, y) in &rows[..at] {
            let cosine: f64 = x.iter().zip(y).map(|(a, b)| a * b).sum();
            cosines.push(cosine);
            if class == other {
                squares[*class as usize].push(x.iter().zip(y).map(|(a, b)| (a - b).powi(2)).sum::<f64>());
            }
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let expected = [mean(&cosines), squares.iter().map(|of_class| mean(of_class)).sum::<f64>() / squares.len() as f64];
    // A fine grid, so that formulas are compared and not rounding.
    let base = ["measure", "rows.parquet", "--metrics=spectrum_pair_cosine,separation_alignment", "--extra-bits=20"];
    let json = place.json(&[&base[..], &["--normalize"]].concat());
    for (key, expected) in ["spectrum_pair_cosine", "separation_alignment"].into_iter().zip(expected) {
        let found = json["groups"][0]["metrics"][key]["value"].as_f64().unwrap();
        assert!((found / expected - 1.0).abs() < 1e-9, "{key}: {found} {expected}");
    }
    assert_eq!(json["options"]["normalize"], "true");
    assert_eq!(place.json(&base)["groups"][0]["metrics"]["spectrum_pair_cosine"]["reason"], "not_normalized");
    let shown = place.succeed(&[&base[..], &["--normalize", "--format=table"]].concat());
    assert!(shown.contains("normalize=true"), "{shown}");
}

#[test]
fn every_path_has_the_same_bits() {
    let place = Place::of(&table());
    let metrics = format!("--metrics={}", KEYS.join(","));
    let measure = ["measure", "rows.parquet", "--normalize", &metrics];
    let expected = place.json(&measure);
    let values = |json: &Value| -> Vec<f64> {
        KEYS.iter().map(|key| json["groups"][0]["metrics"][*key]["value"].as_f64().unwrap()).collect()
    };
    for threads in ["--threads=1", "--threads=3"] {
        assert_eq!(values(&place.json(&[&measure[..], &[threads]].concat())), values(&expected));
    }
    place.succeed(&["accumulate", "rows.parquet", "--normalize", "-o", "unit.ncst", "-q"]);
    let finished = place.json(&["finish", "unit.ncst", &metrics]);
    assert_eq!(values(&finished), values(&expected));
    assert_eq!(finished["options"]["normalize"], "true");

    let context = register_session(2, 64);
    let table = nckit::sql::ArchiveTable::open(&[place.path("rows.parquet").to_str().unwrap().to_owned()]).unwrap();
    context.register_table("t", std::sync::Arc::new(table)).unwrap();
    let calls: Vec<String> = KEYS.iter().map(|key| format!("{key}(feature, label)")).collect();
    let select = format!("SELECT {} FROM t", calls.join(", "));
    let numbers = || -> Vec<f64> {
        let found = query(&context, &select);
        (0..KEYS.len()).map(|at| found.column(at).as_primitive::<Float64Type>().value(0)).collect()
    };
    let request = Request { normalize: true, ..Request::default() };
    let job = plain_job(vec![place.path("rows.parquet").to_str().unwrap().to_owned()], request, &KEYS).run().unwrap();
    let of_job: Vec<f64> = KEYS.iter().map(|key| job.groups[0].value(key).unwrap()).collect();
    query(&context, "CREATE TABLE raw AS SELECT nc_state(feature, label) AS s FROM t");
    query(&context, "SET nc.normalize = true");
    assert_eq!(numbers(), of_job);
    query(&context, "CREATE TABLE unit AS SELECT nc_state(feature, label) AS s FROM t");
    let refused = |sql: &str| try_query(&context, sql).unwrap_err().to_string();
    assert!(refused("SELECT nc_merge(s) FROM (SELECT s FROM raw UNION ALL SELECT s FROM unit)").contains("length 1"));
    let decided = |state: &str| format!("SELECT ncc_accuracy(feature, label, (SELECT s FROM {state})) FROM t");
    assert!(refused(&decided("raw")).contains("the state is of rows as they are"));
    let accuracy = query(&context, &decided("unit")).column(0).as_primitive::<Float64Type>().value(0);
    let measured = place.json(&["measure", "rows.parquet", "--normalize", "--metrics=ncc_accuracy"]);
    assert_eq!(measured["groups"][0]["metrics"]["ncc_accuracy"]["value"].as_f64(), Some(accuracy));
}

#[test]
fn states_of_both_kinds_do_not_merge() {
    let place = Place::of(&table());
    place.succeed(&["accumulate", "rows.parquet", "--normalize", "-o", "unit.ncst", "-q"]);
    fs::copy(place.path("rows.parquet"), place.path("other.parquet")).unwrap();
    place.succeed(&["accumulate", "other.parquet", "-o", "raw.ncst", "-q"]);
    let said = place.fail(65, &["merge", "unit.ncst", "raw.ncst", "-o", "both.ncst"]);
    assert!(said.contains("normalize: true and none"), "{said}");
    assert!(!place.path("both.ncst").exists());
}

#[test]
fn rows_of_zeros_have_no_direction() {
    let mut table = table();
    table.values[20 * table.dim..21 * table.dim].fill(0.0);
    let place = Place::of(&table);
    let measure = ["measure", "rows.parquet", "--metrics=spectrum_pair_cosine,nc1_cdnv"];
    place.succeed(&measure);
    let said = place.fail(65, &[&measure[..], &["--normalize"]].concat());
    assert!(said.contains("a row of zeros has no length") && said.contains("row 20"), "{said}");
    assert!(said.contains("--nonfinite skip"), "{said}");
    let json = place.json(&[&measure[..], &["--normalize", "--nonfinite=skip"]].concat());
    assert_eq!(
        (&json["groups"][0]["rows"], json["groups"][0]["metrics"]["nc1_cdnv"]["value"].is_f64()),
        (&399.into(), true)
    );
}

/// Out-of-distribution rows and rows of decisions are at length 1 as the others are, beside states too.
#[test]
fn further_rows_are_at_length_one() {
    let place = Place::of(&table());
    let mut scaled = table();
    scaled.values.iter_mut().for_each(|x| *x *= 1000.0);
    scaled.write(&place.path("scaled.parquet"), 0..400, 400);
    let rows = |name: &str| RowSource { path: place.path(name).to_str().unwrap().to_owned(), filters: Vec::new() };
    let job = |name: &str| Job {
        decisions: Some(rows(name)),
        ood: Some(rows(name)),
        ..plain_job(
            vec![place.path("rows.parquet").to_str().unwrap().to_owned()],
            Request { normalize: true, ..Request::default() },
            &["ncc_accuracy", "nc5_ortho_dev", "nc5_neco_auroc"],
        )
    };
    let (one, other) = (job("rows.parquet").run().unwrap(), job("scaled.parquet").run().unwrap());
    for key in ["ncc_accuracy", "nc5_ortho_dev", "nc5_neco_auroc"] {
        let (one, other) = (one.groups[0].value(key).unwrap(), other.groups[0].value(key).unwrap());
        assert!((one - other).abs() < 1e-6, "{key}: {one} {other}");
    }
    place.succeed(&["accumulate", "rows.parquet", "--normalize", "-o", "unit.ncst", "-q"]);
    let metrics =
        "--metrics=ncc_accuracy,nc5_ortho_dev,lda_accuracy,nc5_mahalanobis_auroc,nc5_relative_mahalanobis_fpr95";
    let further = [metrics, "--decisions=scaled.parquet", "--ood=scaled.parquet"];
    let finished = place.json(&[&["finish", "unit.ncst"], &further[..]].concat());
    let measured = place.json(&[&["measure", "rows.parquet", "--normalize"], &further[..]].concat());
    assert_eq!(finished["groups"][0]["metrics"], measured["groups"][0]["metrics"]);
}
