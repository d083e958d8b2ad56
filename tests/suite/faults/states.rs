//! State files that differ, are newer, or damaged; and the arithmetic of ledgers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use arrow::datatypes::i256;
use nckit::batch::Label;
use nckit::error::ErrorKind;
use nckit::grid::ExponentRows;
use nckit::state::RawState;
use nckit::store::StateFile;

use super::{Place, classes_and_dims, ints, vectors};
use crate::rows::Random;

#[test]
fn fault_21_states_merge_where_the_arithmetic_allows_it() {
    let place = Place::new();
    place.archive(1, 2);
    let state = |name: &str, input: &str, flags: &[&str]| {
        place.succeed(&[&["accumulate", input, "-o", name, "-q"], flags].concat());
    };
    state("base.ncst", "in", &[]);
    // Another dimension, other classes, another grid, another scale, one row.
    place.write("wide.parquet", 3, 30, 9, 40);
    place.write("other.parquet", 4, 30, 8, 40);
    let far: Vec<f32> = (0..80).map(|at| 1e6 * (1.0 + at as f32)).collect();
    place.write_columns("far.parquet", &[("feature", vectors(far, 8)), ("label", ints((7..17).collect()))], 40);
    place.write_columns("row.parquet", &[("feature", vectors(vec![0.5; 8], 8)), ("label", ints(vec![3]))], 40);
    let names = super::values::texts(&["a", "b", "a"]);
    place.write_columns("text.parquet", &[("feature", vectors(vec![0.5; 24], 8)), ("label", names)], 40);
    place.write_columns("y.parquet", &[("embedding", vectors(vec![0.5; 8], 8)), ("y", ints(vec![3]))], 40);
    for (name, flags) in [("other", &[][..]), ("far", &[]), ("row", &[]), ("wide", &[]), ("text", &[]), ("y", &[])] {
        state(&format!("{name}.ncst"), &format!("{name}.parquet"), flags);
    }
    state("grid.ncst", "other.parquet", &["--grid=-30"]);
    state("bits.ncst", "other.parquet", &["--extra-bits=3"]);
    state("sums.ncst", "other.parquet", &["--metrics=nc2"]);
    state("skip.ncst", "other.parquet", &["--nulls=skip", "--nonfinite=skip"]);
    state("keyed.ncst", "other.parquet", &["--group-by=label"]);
    for name in ["other", "far", "row", "grid", "bits", "skip"] {
        let name = format!("{name}.ncst");
        place.succeed(&["merge", "base.ncst", &name, "-o", "one.ncst", "--overwrite", "-q"]);
        place.succeed(&["merge", &name, "base.ncst", "-o", "two.ncst", "--overwrite", "-q"]);
        assert!(place.read("one.ncst") == place.read("two.ncst"), "{name}");
        place.succeed(&["verify", "one.ncst"]);
        if !["grid.ncst", "bits.ncst", "skip.ncst"].contains(&name.as_str()) {
            place.succeed(&["merge", "one.ncst", "--subtract", &name, "-o", "rest.ncst", "--overwrite", "-q"]);
            assert!(place.read("rest.ncst") == place.read("base.ncst"), "{name}");
        }
    }
    for (name, difference) in [
        ("wide", "D = 8 and D = 9"),
        ("text", "label_kind: integer and string"),
        ("y", "features: feature and embedding"),
        ("sums", "scatter: true and false"),
        ("keyed", "group-by: none and label"),
    ] {
        let text = place.fail(65, &["merge", "base.ncst", &format!("{name}.ncst"), "-o", "x.ncst"]);
        assert!(text.contains(difference), "{name}: {text}");
        assert!(!place.path("x.ncst").exists());
    }
}

/// Rows beside states of several grids are rounded as beside the best of them, and it is said how.
#[test]
fn fault_21_rows_beside_states_of_several_grids() {
    let place = Place::new();
    place.write("ood.parquet", 9, 60, 8, 40);
    let ways =
        [("coarse", "--grid=-1"), ("fine", "--grid=-4"), ("chunk", "--extra-bits=0"), ("bits", "--extra-bits=7")];
    for (tag, (name, way)) in (20..).zip(ways) {
        place.write(&format!("in/run={name}/a.parquet"), tag, 150, 8, 40);
        let only = format!("--where=run={name}");
        place.succeed(&["accumulate", "in", "--group-by=run", &only, way, "-q", "-o", &format!("{name}.ncst")]);
    }
    let finish = |names: &[&str]| {
        let states: Vec<String> = names.iter().map(|name| format!("{name}.ncst")).collect();
        let states: Vec<&str> = states.iter().map(String::as_str).collect();
        let output = place.run(&[&["finish", "--ood=ood.parquet", "--format=json"], &states[..]].concat());
        assert!(output.status.success(), "{}", super::said(&output));
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let groups = said["groups"].as_array().unwrap().clone();
        let nc5 = |group: &serde_json::Value| group["metrics"]["nc5_ortho_dev"]["value"].as_f64().unwrap();
        let of = |group: &serde_json::Value| group["key"]["run"].as_str().unwrap().to_owned();
        let nc5: BTreeMap<String, f64> = groups.iter().map(|group| (of(group), nc5(group))).collect();
        (nc5, String::from_utf8(output.stderr).unwrap())
    };
    let alone: BTreeMap<&str, f64> = ways.map(|(name, _)| (name, finish(&[name]).0[name])).into();
    for (names, best, note) in [
        (["coarse", "fine"], "fine", "(grid -1 | -4, extra_bits 0): --ood is rounded with --grid -4"),
        (["fine", "chunk"], "chunk", "(grid -4 | chunk, extra_bits 0): --ood is rounded on each chunk's own grid"),
        (["chunk", "bits"], "bits", "(grid chunk, extra_bits 0 | 7): --ood is rounded on each chunk's own grid with"),
    ] {
        let (merged, said) = finish(&names);
        let other = if names[0] == best { names[1] } else { names[0] };
        assert_eq!(merged[best].to_bits(), alone[best].to_bits(), "{names:?}");
        // A few bits more change nothing that single precision holds.
        let differs = merged[other].to_bits() != alone[other].to_bits();
        assert_eq!(differs, best != "bits", "{names:?}");
        assert!(said.contains(note), "{names:?}: {said}");
        assert_eq!(finish(&[names[1], names[0]]).0, merged, "{names:?}");
        assert!(!finish(&[best]).1.contains("--ood is rounded"));
    }
}

#[test]
fn fault_21_keys_of_another_type_do_not_merge() {
    let place = Place::new();
    for (directory, tag) in [("a/epoch=1", 1), ("b/epoch=last", 2)] {
        place.write(&format!("{directory}/x.parquet"), tag, 30, 8, 40);
    }
    for name in ["a", "b"] {
        place.succeed(&["accumulate", name, "-o", &format!("{name}.ncst"), "--group-by=epoch", "-q"]);
    }
    let text = place.fail(65, &["merge", "a.ncst", "b.ncst", "-o", "x.ncst"]);
    assert!(text.contains("epoch: integer and string"), "{text}");
}

/// Shards on processes of their own, merged in any tree, and taken out again.
#[test]
fn fault_12_shards_add_up_and_come_apart_byte_for_byte() {
    let place = Place::new();
    for epoch in 0..3 {
        for file in 0..4 {
            place.write(&format!("in/epoch={epoch}/{file}.parquet"), epoch * 10 + file, 100, 8, 30);
        }
    }
    // Rows that are left out are counted, and come apart like the others.
    let odd =
        super::vectors(vec![f32::NAN, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8);
    for (file, labels) in [("4", vec![1, 9]), ("5", vec![9, 1])] {
        let labels = super::ints(labels);
        place.write_columns(&format!("in/epoch=2/{file}.parquet"), &[("feature", odd.clone()), ("label", labels)], 1);
    }
    let base = ["accumulate", "in", "--group-by=epoch", "--nonfinite=skip", "--ignore-label=9", "-q", "-o"];
    place.succeed(&[&base[..], &["whole.ncst"]].concat());
    let children: Vec<_> = (0..8)
        .map(|part| {
            let (name, shard) = (format!("p{part}.ncst"), format!("{part}/8"));
            place.command(&[&base[..], &[&name, "--shard", &shard]].concat()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let whole = StateFile::read(&place.path("whole.ncst")).unwrap();
    let parts: Vec<(String, StateFile)> = (0..8)
        .map(|part| format!("p{part}.ncst"))
        .map(|name| (name.clone(), StateFile::read(&place.path(&name)).unwrap()))
        .collect();
    assert!(parts.iter().all(|(_, part)| part.ledger.units() > 3), "parts of about equal size");
    let mut random = Random::new(8);
    for _ in 0..10 {
        // A random tree: two of what is left become one, until one is left.
        let mut forest = parts.clone();
        while forest.len() > 1 {
            random.shuffle(&mut forest);
            let (name, other) = forest.pop().unwrap();
            let last = forest.last_mut().unwrap();
            last.1.merge(&last.0.clone(), &[(name, other)], false).unwrap();
        }
        assert!(forest[0].1.encode().unwrap() == whole.encode().unwrap());
    }
    let names: Vec<String> = (0..8).rev().map(|part| format!("p{part}.ncst")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    place.succeed(&[&["merge"], &names[..], &["-o", "all.ncst", "-q"]].concat());
    assert!(place.read("all.ncst") == place.read("whole.ncst"));
    // Of the rest, and of nothing.
    for part in ["p7.ncst", "p3.ncst"] {
        place.succeed(&["merge", "all.ncst", "--subtract", part, "-o", "rest.ncst", "--overwrite", "-q"]);
        let others: Vec<&str> = names.iter().copied().filter(|name| *name != part).collect();
        place.succeed(&[&["merge"], &others[..], &["-o", "others.ncst", "--overwrite", "-q"]].concat());
        assert!(place.read("rest.ncst") == place.read("others.ncst"), "{part}");
    }
    let text = place.fail(65, &["merge", "rest.ncst", "--subtract", "p3.ncst", "-o", "x.ncst"]);
    assert!(text.contains("rest.ncst lacks") && text.contains("of p3.ncst"), "{text}");
    place.succeed(&["merge", "p3.ncst", "--subtract", "p3.ncst", "-o", "none.ncst", "-q"]);
    place.succeed(&["merge", "none.ncst", "all.ncst", "-o", "again.ncst", "-q"]);
    assert!(place.read("again.ncst") == place.read("whole.ncst"));
    place.fail(66, &["finish", "none.ncst"]);
}

/// What the states say is what measuring says, to the last byte, whatever became of them on the way.
#[test]
fn fault_12_finish_says_what_measure_says() {
    let place = Place::new();
    for epoch in 0..2 {
        place.write(&format!("in/epoch={epoch}/a.parquet"), epoch, 150, 8, 40);
    }
    place.write("ood.parquet", 9, 60, 8, 40);
    place.write("test.parquet", 10, 60, 8, 40);
    let head: Vec<f32> = (0..32).map(|at| if at / 8 == at % 4 { 1.0 } else { 0.1 }).collect();
    place.write_columns("head.parquet", &[("weight", vectors(head, 8)), ("class", ints((0..4).collect()))], 40);
    let more = ["--head=head.parquet", "--decisions=test.parquet", "--ood=ood.parquet", "--format=json", "-q"];
    // What decided the states decides what is read beside them.
    let odd = ["in", "--group-by=epoch", "--ignore-label=2", "--grid=-3", "--where=epoch=1"];
    let measured = place.succeed(&[&["measure"], &odd[..], &more].concat());
    place.succeed(&[&["accumulate", "-o", "odd.ncst", "-q"], &odd[..]].concat());
    assert_eq!(measured, place.succeed(&[&["finish", "odd.ncst"], &more[..]].concat()));
    let measured = place.succeed(&[&["measure", "in", "--group-by=epoch"], &more[..]].concat());
    for part in ["0/3", "1/3", "2/3"] {
        let name = format!("p{}.ncst", &part[..1]);
        place.succeed(&["accumulate", "in", "--group-by=epoch", "-o", &name, "--shard", part, "-q"]);
    }
    let finished = place.succeed(&[&["finish", "p2.ncst", "p0.ncst", "p1.ncst"], &more[..]].concat());
    assert_eq!(measured, finished);
    let scores = |verb: &[&str], name: &str| {
        place.succeed(&[verb, &more[..], &["--scores", name]].concat());
        place.read(name)
    };
    let of_measure = scores(&["measure", "in", "--group-by=epoch"], "a.parquet");
    let of_finish = scores(&["finish", "p2.ncst", "p0.ncst", "p1.ncst"], "b.parquet");
    assert!(of_measure == of_finish);
    // Without rows to decide there is a reason, and no number.
    let alone =
        place.succeed(&["finish", "p0.ncst", "p1.ncst", "p2.ncst", "--head=head.parquet", "--format=json", "-q"]);
    assert!(alone.contains("no_decisions"), "{alone}");
    place.fail(2, &["finish", "p0.ncst", "--scores=c.parquet"]);
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/states").join(name)
}

/// The file that the first release of this version wrote, which is kept for ever.
#[test]
fn fault_22_this_version_writes_the_same_bytes() {
    let bytes = fs::read(golden("v2.ncst")).unwrap();
    let state = StateFile::decode(&bytes).unwrap();
    assert_eq!(state.encode().unwrap(), bytes);
    assert_eq!(classes_and_dims(&state), [(3, 4), (3, 4)]);
}

/// Files of version 1 say what they have always said; what is made of them is of this version.
#[test]
fn fault_22_old_versions_stay_readable() {
    let state = StateFile::read(&golden("v1.ncst")).unwrap();
    let groups: Vec<_> =
        state.groups.values().map(|group| (group.rows(), group.precisions.significand_bits())).collect();
    assert_eq!((classes_and_dims(&state), groups), (vec![(3, 4), (3, 4)], vec![(58, 24), (58, 24)]));
    assert_eq!(state.groups.values().map(|group| group.skipped.total()).sum::<u64>(), 4);
    assert_eq!(state.ledger.units(), 4);
    let said: serde_json::Value = serde_json::from_slice(&fs::read(golden("v1.json")).unwrap()).unwrap();
    for (at, group) in state.groups.values().enumerate() {
        let statistics = group.decode(true).unwrap().state.statistics().unwrap();
        let said = &said["groups"][at];
        let near = |found: f64, said: &serde_json::Value| (found / said.as_f64().unwrap() - 1.0).abs() < 1e-14;
        for (k, j) in (0..3).flat_map(|k| (0..4).map(move |j| (k, j))) {
            assert!(near(statistics.mean(k)[j], &said["means"][k][j]), "{k}, {j}");
            let scatter = statistics.scatter.as_ref().unwrap()[j * 4 + j];
            assert!(near(scatter, &said["within_scatter_diagonal"][j]), "{j}");
        }
        // No residuals were kept: means are as good as their rows.
        assert_eq!(statistics.mean_rounding, statistics.rounding_changed);
        assert!(statistics.mean_rounding.iter().any(|&noise| noise > 0.0));
    }
    let renewed = state.encode().unwrap();
    let again = StateFile::decode(&renewed).unwrap();
    assert!(again == state && again.encode().unwrap() == renewed);
    // With rows of this version, in any order.
    let (mut both, mut back) = (StateFile::read(&golden("v2.ncst")).unwrap(), state.clone());
    let newer = both.clone();
    both.merge("v2", &[("v1".to_owned(), state.clone())], false).unwrap();
    back.merge("v1", &[("v2".to_owned(), newer.clone())], false).unwrap();
    assert_eq!(both.encode().unwrap(), back.encode().unwrap());
    both.subtract("both", ("v1", &state)).unwrap();
    assert_eq!(both.groups, newer.groups);
}

#[test]
fn fault_22_a_newer_version_is_refused_by_name() {
    let mut bytes = fs::read(golden("v1.ncst")).unwrap();
    bytes[8..10].copy_from_slice(&4_u16.to_le_bytes());
    seal(&mut bytes);
    let place = Place::new();
    fs::write(place.path("x.ncst"), bytes).unwrap();
    for verb in
        [&["finish", "x.ncst"][..], &["verify", "x.ncst"], &["merge", "x.ncst", "-o", "y.ncst"], &["inspect", "x.ncst"]]
    {
        let text = place.fail(65, verb);
        assert!(text.contains("newer version") && text.contains("version 4") && text.contains("known 3"), "{text}");
    }
}

#[test]
fn fault_23_a_state_of_another_version_than_its_file_is_refused() {
    for (name, version) in [("v1.ncst", 2_u16), ("v1.ncst", 3), ("v2.ncst", 1)] {
        let mut bytes = fs::read(golden(name)).unwrap();
        bytes[8..10].copy_from_slice(&version.to_le_bytes());
        seal(&mut bytes);
        let error = StateFile::decode(&bytes).unwrap_err();
        assert!(super::fact(&error, "detail").contains("another version than the file's"), "{error}");
    }
}

/// A reader of sixty lines in another language, which knows nothing but the page that describes the format.
#[test]
fn fault_22_the_format_is_as_described() {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/read_state.py");
    let run = |file: &Path| Command::new("python3").arg(&reader).arg(file).stderr(Stdio::inherit()).output();
    if run(&golden("v1.ncst")).is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let read = |file: &Path| {
        let output = run(file).unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for version in ["v1", "v2"] {
        let expected = fs::read_to_string(golden(&format!("{version}.json"))).unwrap();
        assert_eq!(read(&golden(&format!("{version}.ncst"))), expected);
    }
    // And of what this version writes.
    let place = Place::new();
    fs::write(place.path("renewed.ncst"), StateFile::read(&golden("v1.ncst")).unwrap().encode().unwrap()).unwrap();
    assert_eq!(read(&place.path("renewed.ncst")), fs::read_to_string(golden("v1.json")).unwrap());
    place.archive(2, 2);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q"]);
    let read: serde_json::Value = serde_json::from_str(&read(&place.path("x.ncst"))).unwrap();
    assert_eq!(read["groups"][0]["rows"], 146);
    let state = StateFile::read(&place.path("x.ncst")).unwrap();
    let statistics = state.groups.values().next().unwrap().decode(true).unwrap().state.statistics().unwrap();
    for (k, j) in (0..4).flat_map(|k| (0..8).map(move |j| (k, j))) {
        let said = read["groups"][0]["means"][k][j].as_f64().unwrap();
        assert!((statistics.mean(k)[j] - said).abs() <= 4.0 * f64::EPSILON * said.abs().max(8.0), "{k}, {j}");
    }
}

/// The checksum of gzip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn small() -> Vec<u8> {
    let place = Place::new();
    place.write("in/a.parquet", 1, 12, 2, 6);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q"]);
    place.read("x.ncst")
}

#[test]
fn fault_23_every_flipped_bit_and_every_cut_is_refused() {
    let bytes = small();
    StateFile::decode(&bytes).unwrap().shapes().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let error = StateFile::decode(&damaged).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data, "byte {at}: {error:?}");
        }
        assert!(StateFile::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
    assert!(StateFile::decode(&[&bytes[..], &[0]].concat()).is_err());
    assert!(StateFile::decode(&[&bytes[..], &bytes[..]].concat()).is_err());
}

/// What a checksum cannot see, since it was made again: nothing is believed that does not agree with the rest.
#[test]
fn fault_23_what_is_tampered_with_is_refused_or_sound() {
    let bytes = small();
    let mut random = Random::new(23);
    let (mut refused, mut trials) = (0, 0);
    for _ in 0..4000 {
        let mut damaged = bytes.clone();
        for _ in 0..=random.below(3) {
            let at = 14 + random.below(bytes.len() - 14);
            damaged[at] =
                if random.chance(2) { random.bits() as u8 } else { [0, 1, 0x7f, 0x80, 0xff][random.below(5)] };
        }
        seal(&mut damaged);
        trials += 1;
        match StateFile::decode(&damaged).and_then(|state| state.shapes().map(|_| state)) {
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Resource), "{error:?}");
                refused += 1;
            }
            // One way to write a state: what is read is written as it was.
            Ok(state) => assert_eq!(state.encode().unwrap(), damaged),
        }
    }
    println!("{refused} of {trials} refused");
    assert!(refused * 4 > trials, "{refused} of {trials}");
}

/// The finest grid of a dimension alone, with so many rows.
fn history(parts: &mut RawState, j: usize, rows: u64) {
    let tallies = &mut parts.history[j];
    tallies.truncate(1);
    tallies[0] = ExponentRows { rows, changed: rows, ..tallies[0] };
}

fn residuals(parts: &mut RawState, low: impl Fn(usize, i128) -> i128) {
    parts.low = (0..parts.low.len()).map(|at| low(at, parts.low.get(at))).collect();
}

/// Products of three dimensions, as their correlations are.
fn correlate(parts: &mut RawState, correlations: [f64; 3]) {
    let gram = parts.gram.as_mut().unwrap();
    let root = [0, 3, 5].map(|at| (gram[at] as f64).sqrt());
    for ((at, i, j), r) in [(1, 0, 1), (2, 0, 2), (4, 1, 2)].into_iter().zip(correlations) {
        gram[at] = (root[i] * root[j] * r) as i128;
    }
}

/// The first class loses all rows but one, and keeps what it sums up to.
fn shrink(parts: &mut RawState) {
    parts.counts[0] = 1;
    parts.sums[..3].fill(0);
    residuals(parts, |at, low| if at < 3 { 0 } else { low });
    let rows = parts.counts.iter().sum();
    (0..3).for_each(|j| history(parts, j, rows));
}

/// What is forged, what the state is refused for, and how it is done.
type Forgery = (&'static str, &'static str, fn(&mut RawState));

/// Parts of a sound state that are changed.
const FORGERIES: [Forgery; 14] = [
    ("a history of one row", "history", |p| {
        history(p, 1, 1);
        residuals(p, |at, low| if at % 3 == 1 { 0 } else { low });
    }),
    ("rows that are not in the history", "history", |p| history(p, 1, 60)),
    ("more rows changed than rounded", "history", |p| p.history[0][0].changed = p.history[0][0].rows + 1),
    ("more rows without residuals", "history", |p| p.history[0][0].unresolved = p.history[0][0].changed + 1),
    ("labels of mixed types", "classes", |p| p.labels[3] = Label::Text("3".into())),
    ("a label twice", "classes", |p| p.labels[1] = p.labels[0].clone()),
    ("residuals beyond half a step", "residuals", |p| {
        // A dimension of one grid.
        let most = i128::from(p.counts[0]) << 19;
        residuals(p, |at, low| if at == 1 { most + 1 } else { low });
    }),
    ("residuals of rows without any", "residuals", |p| {
        p.history.iter_mut().flatten().for_each(|tally| tally.unresolved = tally.changed);
    }),
    ("an odd sum of even squares", "squares", |p| p.squares[0] = p.squares[0].wrapping_add(i256::ONE)),
    ("a class of one row that varies", "squares", shrink),
    ("a shift off its mean", "shifts", |p| p.sums[0] = p.counts[0] as i64),
    ("a scatter that any two dimensions could have", "scatter", |p| correlate(p, [0.9, 0.9, -0.9])),
    ("a scatter that is hardly too much", "scatter", |p| correlate(p, [1.0 + 1e-9, 0.0, 0.0])),
    ("a negative square", "scatter", |p| p.gram.as_mut().unwrap()[5] *= -1),
];

/// What real rows cannot have summed up to is refused, whoever made it.
#[test]
fn fault_23_forged_states_are_refused() {
    let place = Place::new();
    let mut random = Random::new(14);
    let labels: Vec<i32> = (0..120).map(|row| row % 4).collect();
    let values = (0..360).map(|at| (5 + labels[at / 3]) as f32 + random.normal() as f32).collect();
    place.write_columns("a.parquet", &[("feature", vectors(values, 3)), ("label", ints(labels))], 60);
    place.succeed(&["accumulate", "a.parquet", "-o", "x.ncst", "-q"]);
    let file = StateFile::read(&place.path("x.ncst")).unwrap();
    let state = file.groups.values().next().unwrap().decode(true).unwrap().state;
    let parts = state.to_raw().unwrap();
    assert_eq!(parts.clone().into_scatter().unwrap().to_raw().unwrap(), parts);
    let mut possible = parts.clone();
    correlate(&mut possible, [0.9, 0.9, 0.9]);
    assert!(possible.into_scatter().is_ok(), "some rows may have that");
    for (name, why, forge) in FORGERIES {
        let mut forged = parts.clone();
        forge(&mut forged);
        let error = forged.clone().into_scatter().expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Data, "{name}");
        let detail = super::fact(&error, "detail");
        assert!(detail.contains(why), "{name}: {detail}");
        if why != "scatter" {
            assert!(RawState { gram: None, ..forged }.into_class_sums().is_err(), "{name}, without the scatter");
        }
    }
}

/// What is said of a forged file, and how it is made.
type ByteForgery<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

/// The same in a file with right checksums.
#[test]
fn fault_23_forged_files_are_refused() {
    let place = Place::new();
    place.write("in/a.parquet", 1, 12, 2, 12);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q"]);
    let bytes = place.read("x.ncst");
    // D = 2 and one exponent a dimension, so that labels begin behind two entries of the history.
    let (dim, labels) = (2, 19 + 2 * 30);
    let forgeries: [ByteForgery<'_>; 4] = [
        ("negative", &|state| state[labels + 1..labels + 17].fill(0xff)),
        ("negative, or of several types", &|state| {
            let last = labels + 17 * (state[11] as usize - 1);
            state.splice(last..last + 17, [2, 1, 0, 0, 0, b'x']);
        }),
        ("history", &|state| state[25..33].copy_from_slice(&1_u64.to_le_bytes())),
        ("history", &|state| state[41..49].copy_from_slice(&u64::MAX.to_le_bytes())),
    ];
    for (why, forge) in forgeries {
        let forged = with_state(&bytes, dim, forge);
        let error = StateFile::decode(&forged).and_then(|file| file.shapes()).unwrap_err();
        let detail = super::fact(&error, "detail");
        assert!(detail.contains(why) || detail.contains("several types"), "{why}: {error:?}");
        fs::write(place.path("x.ncst"), forged).unwrap();
        for verb in
            [&["verify", "x.ncst"][..], &["finish", "x.ncst"], &["merge", "x.ncst", "-o", "y.ncst", "--overwrite"]]
        {
            assert!(place.fail(65, verb).contains("damaged"), "{why}");
        }
    }
}

/// The file with its only state edited, and lengths and checksums made again.
fn with_state(bytes: &[u8], dim: u32, edit: &dyn Fn(&mut Vec<u8>)) -> Vec<u8> {
    let start = [&b"NCST\x02\0\x01"[..], &dim.to_le_bytes()].concat();
    let state = bytes.windows(start.len()).position(|window| window == start).unwrap();
    let section = bytes.windows(4).position(|window| window == b"GRUP").unwrap();
    let length = u64::from_le_bytes(bytes[section + 4..section + 12].try_into().unwrap()) as usize;
    let end = section + 12 + length;
    let mut edited = bytes[state..end].to_vec();
    edit(&mut edited);
    let mut out = [&bytes[..state], &edited, &bytes[end..]].concat();
    let length = (length + edited.len() - (end - state)) as u64;
    out[section + 4..section + 12].copy_from_slice(&length.to_le_bytes());
    seal(&mut out);
    out
}

/// Makes all checksums right again, as far as sections can be followed.
pub(super) fn seal(bytes: &mut [u8]) {
    if bytes.len() < 14 {
        return;
    }
    let checksum = crc32(&bytes[..10]).to_le_bytes();
    bytes[10..14].copy_from_slice(&checksum);
    let mut at = 14;
    while at + 16 <= bytes.len() {
        let length = u64::from_le_bytes(bytes[at + 4..at + 12].try_into().unwrap());
        let Some(end) = usize::try_from(length).ok().and_then(|length| (at + 12).checked_add(length)) else { return };
        if end.checked_add(4).is_none_or(|end| end > bytes.len()) {
            return;
        }
        let checksum = crc32(&bytes[at..end]).to_le_bytes();
        bytes[end..end + 4].copy_from_slice(&checksum);
        at = end + 4;
    }
}
