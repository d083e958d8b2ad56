//! Keys in the names of files: the same numbers, bit for bit, as the same rows in directories called `key=value`, and
//! refusals where a name, a key or a file of labels is not what was meant.

use std::fs;

use crate::arrays::write::{Packed, features, labels, npy, npz};
use crate::faults::{Place, ints, said, vectors};
use crate::rows::Random;

const DIM: usize = 4;
const RUNS: [&str; 2] = ["a", "b-2"];
const EPOCHS: [&str; 3] = ["001", "002", "010"];
const LAYERS: [&str; 2] = ["h1", "h.3"];
const METRICS: &str = "--metrics=nc1_trace_ratio,nc1_cdnv,nc3_cos_mean,nc4_agreement,nc5_ortho_dev";

fn put(place: &Place, name: &str, bytes: impl AsRef<[u8]>) {
    let path = place.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn classes(rows: usize) -> Vec<i64> {
    (0..rows as i64).map(|row| row % 3).collect()
}

/// Rows whose classes lie apart; equal tags are equal rows.
fn values(tag: &str, rows: usize) -> Vec<f32> {
    let mut random =
        Random::new(tag.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into())));
    let centre = |row: usize, at: usize| if at == row % 3 { 5.0 } else { 0.0 };
    (0..rows * DIM).map(|at| (centre(at / DIM, at % DIM) + random.normal()) as f32).collect()
}

/// How many rows a run has.
fn rows_of(run: &str) -> usize {
    60 + 30 * run.len()
}

/// Writes a file of this name with these features and labels.
type WriteFile<'a> = &'a dyn Fn(&str, &[f32], &[i64]);

/// All files of both trees; `write` is given the names without extension, and the rows.
fn both(write: WriteFile<'_>) {
    for run in RUNS {
        let rows = rows_of(run);
        for epoch in EPOCHS {
            for layer in LAYERS {
                let values = values(&format!("{run}{epoch}{layer}"), rows);
                for name in [
                    format!("feats/{run}/epoch_{epoch}/{layer}"),
                    format!("hive/run={run}/epoch={epoch}/layer={layer}/x"),
                ] {
                    write(&name, &values, &classes(rows));
                }
            }
        }
    }
}

/// The heads of all groups, whose files write the epoch as the directories do.
fn heads(place: &Place) {
    for run in RUNS {
        for epoch in EPOCHS {
            for layer in LAYERS {
                let weights = values(&format!("head {run}{epoch}{layer}"), 3);
                put(place, &format!("ckpt/{run}/e{epoch}/{layer}.npy"), features(DIM, &weights));
            }
        }
    }
}

const HEAD: &str = "--head=ckpt/{run}/e{epoch}/{layer}.npy";
const GROUPS: &str = "--group-by=run,epoch,layer";

/// Both trees as Parquet, and further rows of every run.
fn parquet_trees() -> Place {
    let place = Place::new();
    both(&|name, values, classes| {
        let labels = ints(classes.iter().map(|&class| class as i32).collect());
        let columns = [("feature", vectors(values.to_vec(), DIM)), ("label", labels)];
        place.write_columns(&format!("{name}.parquet"), &columns, 50);
    });
    for run in RUNS {
        for (what, rows) in [("test", 45), ("ood", 33)] {
            let (values, classes) = (values(&format!("{what}{run}"), rows), classes(rows));
            put(&place, &format!("{what}/{run}.npy"), features(DIM, &values));
            put(&place, &format!("{what}/{run}_y.npy"), labels(&classes));
            put(&place, &format!("{what}_hive/run={run}/x_features.npy"), features(DIM, &values));
            put(&place, &format!("{what}_hive/run={run}/x_labels.npy"), labels(&classes));
        }
    }
    heads(&place);
    place
}

#[test]
fn measured_by_names_as_by_directories() {
    let place = parquet_trees();
    let measured = |inputs: &[&str]| {
        let flags = [GROUPS, METRICS, HEAD, "--format=csv", "-q"];
        place.succeed(&[&["measure"], inputs, &flags].concat())
    };
    let further = ["--decisions=test_hive", "--ood=ood_hive"];
    let expected = measured(&[&["hive"], &further[..]].concat());
    assert_eq!(expected.lines().count(), 1 + 12, "{expected}");
    let by_names = ["--decisions=test/{run}.npy,test/{run}_y.npy", "--ood=ood/{run}.npy,ood/{run}_y.npy"];
    assert_eq!(measured(&[&["feats/{run}/epoch_{epoch}/{layer}.parquet"], &by_names[..]].concat()), expected);
    // Stars, directories that are walked through, digits, and filters.
    for input in ["fe*/{run}/epoch_{epoch:03}/{layer}.parquet", "./feats/{run}/**/epoch_{epoch}/{layer}.p*"] {
        assert_eq!(measured(&[&[input], &further[..]].concat()), expected, "{input}");
    }
    let walked =
        |input: &str, groups: &str| place.succeed(&["measure", input, groups, "--metrics=nc1", "--format=csv", "-q"]);
    assert_eq!(walked("feats/{run}", "--group-by=run"), walked("hive", "--group-by=run"));
    assert_eq!(walked("feats/*/epoch_{epoch}", "--group-by=epoch"), walked("hive", "--group-by=epoch"));
    // A directory called key=value has its key too.
    assert_eq!(walked("hive/run=*/epoch=*/layer={l}", "--group-by=run,epoch,layer"), walked("hive", GROUPS));
    let chosen = |input: &str| {
        let wanted = ["--where=epoch=10", "--where=run=a", "--format=csv", "-q", METRICS, HEAD, GROUPS];
        place.succeed(&[&["measure", input], &wanted[..]].concat())
    };
    assert_eq!(chosen("feats/{run}/epoch_{epoch}/{layer}.parquet"), chosen("hive"));
    // Classes, one a row.
    let per_class = |input: &str| {
        place.succeed(&["measure", input, GROUPS, "--metrics=nc1", "--per-class=c.csv", "--overwrite", "-q"]);
        fs::read_to_string(place.path("c.csv")).unwrap()
    };
    assert_eq!(per_class("feats/{run}/epoch_{epoch}/{layer}.parquet"), per_class("hive"));
}

#[test]
fn what_was_captured_and_passed_over_is_said() {
    let place = parquet_trees();
    put(&place, "feats/a/epoch_001/notes.parquet.txt", "x");
    fs::copy(place.path("feats/a/epoch_001/h1.parquet"), place.path("feats/a/epoch_001/.h9.parquet")).unwrap();
    fs::create_dir_all(place.path("feats/a/epoch_last")).unwrap();
    fs::copy(place.path("feats/a/epoch_001/h1.parquet"), place.path("feats/a/epoch_last/h1.parquet")).unwrap();
    let input = "feats/{run}/epoch_{epoch:03}/{layer}.parquet";
    for command in [&["measure", input, "--dry-run"][..], &["accumulate", input, "-o", "x.ncst", "--dry-run"]] {
        let output = place.run(&[command, &[GROUPS]].concat());
        assert!(output.status.success(), "{}", said(&output));
        let expected = "epoch = 001, 002, 010 · layer = h.3, h1 · run = a, b-2   (captured)";
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
    let output = place.run(&["measure", input, GROUPS, "--dry-run", "-v"]);
    let expected = "feats/a/epoch_last/h1.parquet   its name does not fit the pattern";
    assert!(said(&output).contains(expected), "{}", said(&output));
    // No group pools anything that its names say.
    assert!(!said(&output).contains("pools"), "{}", said(&output));
    let output = place.run(&["inspect", input, GROUPS]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains("key       epoch = 001, 002, 010") && text.contains("groups    12"), "{text}");
    let told = place.fail(66, &["measure", "feats/{run}/{layer:03}/x.parquet"]);
    assert!(told.contains("no file of features matches"), "{told}");
}

#[test]
fn states_know_the_keys_as_they_were_written() {
    let place = parquet_trees();
    let input = "feats/{run}/epoch_{epoch}/{layer}.parquet";
    let flags = [GROUPS, "--checkpoint-every=0s", "-q"];
    let count = |input: &str, output: &str, more: &[&str]| {
        place.succeed(&[&["accumulate", input, "-o", output], &flags[..], more].concat());
    };
    let finish = |state: &str| place.succeed(&["finish", state, HEAD, METRICS, "--format=csv", "-q"]);
    count("hive", "hive.ncst", &[]);
    let expected = finish("hive.ncst");
    assert!(expected.lines().count() == 13 && expected.contains("b-2,10,h1"), "{expected}");
    count(input, "x.ncst", &[]);
    assert_eq!(finish("x.ncst"), expected);
    let verified = place.run(&["verify", "x.ncst", "--deep", "--inputs", input]);
    assert!(verified.status.success(), "{}", said(&verified));
    for part in ["0/3", "1/3", "2/3"] {
        count(input, &format!("part{}.ncst", &part[..1]), &[&format!("--shard={part}")]);
    }
    place.succeed(&["merge", "part0.ncst", "part1.ncst", "part2.ncst", "-o", "all.ncst"]);
    assert_eq!(finish("all.ncst"), expected);
    // The same rows are not counted twice, whether their keys are captured or not.
    let told = place.fail(65, &["merge", "all.ncst", "part1.ncst", "-o", "twice.ncst"]);
    assert!(told.contains("counted twice"), "{told}");
    let told = place.fail(65, &["merge", "x.ncst", "hive.ncst", "-o", "twice.ncst"]);
    assert!(told.contains("counted twice"), "{told}");
    // A state that is begun without some files goes on with them.
    fs::create_dir(place.path("later")).unwrap();
    fs::rename(place.path("feats/b-2"), place.path("later/b-2")).unwrap();
    count(input, "y.ncst", &[]);
    fs::rename(place.path("later/b-2"), place.path("feats/b-2")).unwrap();
    count(input, "y.ncst", &["--extend"]);
    assert!(fs::read(place.path("y.ncst")).unwrap() == fs::read(place.path("x.ncst")).unwrap());
}

#[cfg(debug_assertions)]
#[test]
fn a_run_that_died_goes_on() {
    let place = parquet_trees();
    both(&|name, values, _| put(&place, &format!("{name}.npy"), features(DIM, values)));
    for run in RUNS {
        put(&place, &format!("labels/{run}.npy"), labels(&classes(rows_of(run))));
    }
    let run = [
        "accumulate",
        "feats/{run}/epoch_{epoch}/{layer}.npy",
        "--labels=labels/{run}.npy",
        "-o",
        "x.ncst",
        GROUPS,
        "--checkpoint-every=0s",
        "--resume",
        "-q",
        "--threads=1",
    ];
    place.succeed(&run);
    let expected = fs::read(place.path("x.ncst")).unwrap();
    fs::remove_file(place.path("x.ncst")).unwrap();
    let died = place.command(&run).env("NCKIT_FAIL", "rename:4:abort").output().unwrap();
    assert!(!died.status.success(), "{}", said(&died));
    place.succeed(&run);
    assert!(fs::read(place.path("x.ncst")).unwrap() == expected);
}

#[test]
fn labels_are_those_of_each_file() {
    let place = Place::new();
    both(&|name, values, _| {
        let name = if name.starts_with("hive") { format!("{name}_features.npy") } else { format!("{name}.npy") };
        put(&place, &name, features(DIM, values));
    });
    both(&|name, _, classes| {
        if name.starts_with("hive") {
            put(&place, &format!("{name}_labels.npy"), labels(classes));
        }
    });
    for run in RUNS {
        put(&place, &format!("labels/{run}.npy"), labels(&classes(rows_of(run))));
    }
    heads(&place);
    let input = "feats/{run}/epoch_{epoch}/{layer}.npy";
    let measured = |inputs: &[&str]| {
        place.succeed(&[&["measure"], inputs, &[GROUPS, METRICS, HEAD, "--format=csv", "-q"]].concat())
    };
    let expected = measured(&["hive"]);
    assert_eq!(measured(&[input, "--labels=labels/{run}.npy"]), expected);
    assert_eq!(measured(&[&format!("{input},labels/{{run}}.npy")]), expected);
    // Keys of directories are filled too.
    assert_eq!(measured(&["hive/run=*/**/x_features.npy", "--labels=labels/{run}.npy"]), expected);
    #[cfg(feature = "sql")]
    {
        let of = |from: &str| {
            let query = format!(
                "SELECT run, epoch, layer, nc1_cdnv(feature, label) AS v FROM '{from}' GROUP BY run, epoch, layer \
                 ORDER BY run, epoch, layer"
            );
            place.succeed(&["sql", "-q", "-c", &query])
        };
        assert_eq!(of(&format!("{input},labels/{{run}}.npy")), of("hive"));
    }
    let told = place.fail(2, &["measure", input, "--labels=labels/{run}.npy", "--head=c/{step}.npy", GROUPS]);
    assert!(told.contains("key step") && told.contains("keys run, epoch, layer"), "{told}");
    // Only files that are read need labels.
    fs::remove_file(place.path("labels/a.npy")).unwrap();
    let told = place.fail(66, &["measure", input, "--labels=labels/{run}.npy", GROUPS]);
    assert!(
        told.contains("no such file of labels")
            && told.contains("feats/a/epoch_001/h")
            && told.contains("labels/a.npy"),
        "{told}"
    );
    let chosen = ["measure", input, "--labels=labels/{run}.npy", GROUPS, "--where=run=b-2", "--metrics=nc1", "-q"];
    place.succeed(&chosen);
    let told = place.fail(2, &["measure", input, "--labels=labels/{rum}.npy", GROUPS]);
    assert!(told.contains("did you mean run?") && told.contains("epoch, layer, run"), "{told}");
    // A value is filled as it is written; with digits, as a number.
    let by_epoch = |labels: &str| ["measure", "feats/b-2/epoch_{epoch}/h1.npy", labels].map(str::to_owned);
    for epoch in ["1", "2", "10"] {
        put(&place, &format!("by/{epoch}.npy"), labels(&classes(rows_of("b-2"))));
    }
    let told = by_epoch("--labels=by/{epoch}.npy");
    let told = place.fail(66, &told.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(told.contains("by/001.npy") && told.contains("{epoch:01}"), "{told}");
    let told = by_epoch("--labels=by/{epoch:01}.npy");
    place.succeed(&[&told.iter().map(String::as_str).collect::<Vec<_>>()[..], &["-q", "--metrics=nc1"]].concat());
}

#[test]
fn arrays_of_a_file_are_captured_by_their_names() {
    let place = Place::new();
    for run in RUNS {
        let rows = rows_of(run);
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        for layer in ["h1", "h3"] {
            let values = values(&format!("{run}{layer}"), rows);
            members.push((format!("{layer}_features"), features(DIM, &values)));
            members.push((format!("{layer}_labels"), labels(&classes(rows))));
            put(&place, &format!("hive/run={run}/layer={layer}/x_features.npy"), features(DIM, &values));
            put(&place, &format!("hive/run={run}/layer={layer}/x_labels.npy"), labels(&classes(rows)));
        }
        members.push(("labels".to_owned(), labels(&classes(rows))));
        members.push(("epoch_features".to_owned(), npy("<i8", &[], &7_i64.to_le_bytes())));
        let members: Vec<(&str, Vec<u8>)> =
            members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        put(&place, &format!("run_{run}.npz"), npz(&members, Packed::Stored));
        put(&place, &format!("y/{run}.npy"), labels(&classes(rows)));
    }
    let measured =
        |input: &str| place.succeed(&["measure", input, "--group-by=run,layer", "--metrics=nc1", "--format=csv", "-q"]);
    let expected = measured("hive");
    assert_eq!(expected.lines().count(), 1 + 4, "{expected}");
    for input in [
        "run_{run}.npz:{layer}_features,labels",
        "run_{run}.npz:{layer}_features,{layer}_labels",
        "run_{run}.npz:{layer}_features,y/{run}.npy",
    ] {
        assert_eq!(measured(input), expected, "{input}");
    }
    // Both layers are in the state, by their names.
    let input = "run_{run}.npz:h{layer:01}_features,labels";
    let count = ["accumulate", input, "-o", "x.ncst", "--group-by=layer", "-q"];
    place.succeed(&count);
    let verified = place.run(&["verify", "x.ncst", "--deep", "--inputs", input]);
    let text = String::from_utf8(verified.stdout.clone()).unwrap();
    assert!(verified.status.success() && text.contains("4 files"), "{text}{}", said(&verified));
    let told = place.fail(66, &["measure", "run_a.npz:{layer}_vectors,labels"]);
    assert!(told.contains("no array of the file fits") && told.contains("h1_features"), "{told}");
    put(&place, "one.npy", features(DIM, &values("one", 30)));
    let told = place.fail(2, &["measure", "run_{run}.npz:{layer}_features,{rum}_labels"]);
    assert!(told.contains("did you mean run?"), "{told}");
}

#[test]
fn what_is_not_clear_is_refused() {
    let place = Place::new();
    let write = |name: &str, tag: &str| {
        let labels = ints(classes(30).iter().map(|&class| class as i32).collect());
        place.write_columns(name, &[("feature", vectors(values(tag, 30), DIM)), ("label", labels)], 99);
    };
    write("in/x_y_z.parquet", "1");
    let told = place.fail(2, &["measure", "in/{a}_{b}.parquet"]);
    assert!(told.contains("two ways") && told.contains("a=x b=y_z, or a=x_y b=z"), "{told}");
    let told = place.fail(2, &["measure", "in/{a}{b}.parquet"]);
    assert!(told.contains("nothing parts two keys"), "{told}");
    let told = place.fail(2, &["measure", "in/{train,test}.parquet"]);
    assert!(told.contains("braces hold the name of one key"), "{told}");
    let told = place.fail(2, &["measure", "**/{a}"]);
    assert!(told.contains("a directory and what lies in it"), "{told}");
    // One key, two values.
    write("epoch=1/e2.parquet", "2");
    let told = place.fail(65, &["measure", "epoch=1/e{epoch}.parquet"]);
    assert!(told.contains("different things of one key") && told.contains("in the directory 1"), "{told}");
    place.succeed(&["measure", "epoch={epoch}/e2.parquet", "--group-by=epoch", "--metrics=nc1", "-q"]);
    // Braces in names that exist are no keys.
    write("lit/{a}.parquet", "3");
    write("{b}/x.parquet", "4");
    write("{b}/y.parquet", "5");
    place.succeed(&["measure", "lit/{a}.parquet", "--metrics=nc1", "-q"]);
    let told = place.fail(2, &["measure", "lit/{a}.parquet", "--group-by=a", "--metrics=nc1"]);
    assert!(told.contains("no such key"), "{told}");
    let csv = place.succeed(&["measure", "{b}/{c}.parquet", "--group-by=c", "--metrics=nc1", "--format=csv", "-q"]);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    put(&place, "{w}.npy", features(DIM, &values("head", 3)));
    place.succeed(&["measure", "lit/{a}.parquet", "--head={w}.npy", "--metrics=nc3", "-q"]);
    // Two spellings of a number are one group; a head for each is not clear.
    write("two/e_007.parquet", "6");
    write("two/e_7.parquet", "7");
    write("two/e_8.parquet", "8");
    let run = ["measure", "two/e_{epoch}.parquet", "--group-by=epoch", "--metrics=nc3", "--format=csv", "-q"];
    for epoch in ["007", "7", "8"] {
        put(&place, &format!("heads/{epoch}.npy"), features(DIM, &values(epoch, 3)));
    }
    let told = place.fail(2, &[&run[..], &["--head=heads/{epoch}.npy"]].concat());
    assert!(told.contains("two ways"), "{told}");
    let csv = place.succeed(&[&run[..], &["--head=heads/{epoch:01}.npy"]].concat());
    assert_eq!(csv.lines().count(), 3, "{csv}");
    #[cfg(feature = "sql")]
    {
        put(&place, "t_1.csv", "a\n1\n");
        let rows = place.succeed(&["sql", "-c", "SELECT a, n FROM 't_{n}.csv'", "-q"]);
        assert_eq!(rows, "{\"a\":1,\"n\":1}\n");
    }
}
