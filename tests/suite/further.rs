//! Filters that match nothing, files of further rows, and outputs among inputs.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use crate::faults::{Place, ints, plain, said, vectors};

/// Rows of four classes in files by epoch and split.
fn archive(place: &Place) {
    for (epoch, split) in [(1, "train"), (2, "train"), (10, "train"), (10, "test")] {
        place.write(&format!("h/epoch={epoch}/split={split}/a.parquet"), epoch + split.len() as u64, 80, 8, 40);
    }
}

const METRICS: &str = "--metrics=nc1_trace_ratio,nc5_ortho_dev";

#[test]
fn each_value_of_a_filter_has_to_match() {
    let place = Place::new();
    archive(&place);
    let measure = ["measure", "h", METRICS, "--format=csv", "-q"];
    let with = |more: &[&'static str]| [&measure[..], more].concat();
    place.succeed(&with(&["--where=split=train", "--where=epoch=1", "--where=epoch=02"]));
    let text = place.fail(66, &with(&["--where=split=train", "--where=split=vla"]));
    assert!(text.contains("vla") && text.contains("values test, train"), "{text}");
    // It has files, and another filter leaves them out.
    let text = place.fail(66, &with(&["--where=split=test", "--where=epoch=10", "--where=epoch=1"]));
    assert!(text.contains("epoch") && text.contains("value 1"), "{text}");
    let text = place.fail(66, &with(&["--ood=h?split=test&split=ood"]));
    assert!(text.contains("ood"), "{text}");
    place.fail(66, &["convert", "h", "--where=split=train", "--where=split=vla", "-o", "x.parquet"]);
    // A column whose statistics show what is in it.
    let columns = |fold: i32| {
        [("feature", vectors(vec![0.5; 80], 2)), ("label", ints(vec![0; 40])), ("fold", ints(vec![fold; 40]))]
    };
    place.write_columns("folds/a.parquet", &columns(1), 40);
    place.write_columns("folds/b.parquet", &columns(2), 40);
    let fold = ["measure", "folds", "--metrics=nc1_cdnv", "--format=csv", "-q", "--where=fold=1"];
    place.succeed(&fold);
    let text = place.fail(66, &[&fold[..], &["--where=fold=3"]].concat());
    assert!(text.contains("value 3"), "{text}");
    // One that only the rows show.
    let mixed = [
        ("feature", vectors(vec![0.5; 80], 2)),
        ("label", ints(vec![0; 40])),
        ("fold", ints((0..40).map(|row| row % 3 * 2).collect())),
    ];
    place.write_columns("mixed/a.parquet", &mixed, 40);
    for (fold, code) in [("--where=fold=4", 0), ("--where=fold=3", 66)] {
        for verb in [
            &["measure", "mixed", "--metrics=nc1_cdnv", "--format=csv"][..],
            &["convert", "mixed", "-o", "mixed.parquet"],
        ] {
            let output = place.run(&[verb, &["-q", "--where=fold=0", fold]].concat());
            assert_eq!(output.status.code(), Some(code), "{verb:?} {fold}: {}", said(&output));
            let _ = fs::remove_file(place.path("mixed.parquet"));
        }
        let output = place.run(&["accumulate", "mixed", "-o", "m.ncst", "--overwrite", "--where=fold=0", fold]);
        assert!(output.status.success() && said(&output).contains("value=3") == (code == 66), "{}", said(&output));
    }
    // And the groups of a state.
    place.succeed(&["accumulate", "h", "--group-by=epoch,split", "-o", "s.ncst", "-q"]);
    place.succeed(&["finish", "s.ncst?epoch=1&epoch=2", "--format=csv", "-q"]);
    let text = place.fail(66, &["finish", "s.ncst?epoch=1&epoch=3", "--format=csv", "-q"]);
    assert!(text.contains("epoch=3"), "{text}");
    assert!(place.fail(2, &["finish", "s.ncst", "--where=epoch=1"]).contains("STATE.ncst?key=value"));
    // What was counted is compared whatever is there by now.
    place.succeed(&["accumulate", "h", "--where=epoch=1", "--where=epoch=2", "-o", "t.ncst", "-q"]);
    fs::remove_dir_all(place.path("h/epoch=2")).unwrap();
    let output = place.run(&["verify", "t.ncst", "--inputs", "h"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

/// Rows of ten classes, the first five of the split `a` and the others of `b`, in one row group.
fn of_two_splits(place: &Place) {
    let labels: Vec<i32> = (0..1000).map(|row| row % 10).collect();
    let splits: Vec<&str> = labels.iter().map(|&label| if label < 5 { "a" } else { "b" }).collect();
    let values = labels.iter().enumerate().flat_map(|(row, &label)| {
        (0..8).map(move |j| (label * (j + 1) % 11) as f32 + (row * (j as usize + 3) % 7) as f32 / 20.0)
    });
    let columns = [
        ("feature", vectors(values.collect(), 8)),
        ("label", ints(labels.clone())),
        ("split", Arc::new(StringArray::from(splits)) as ArrayRef),
    ];
    place.write_columns("two.parquet", &columns, 2000);
}

#[test]
fn rows_are_those_that_pass_filters_on_columns() {
    let place = Place::new();
    of_two_splits(&place);
    let inspected = |more: &[&'static str]| place.succeed(&[&["inspect", "two.parquet", "-q"], more].concat());
    assert!(inspected(&[]).contains("N = 1,000 ·") && inspected(&[]).contains("1 row group of at most 1,000 rows"));
    assert!(inspected(&["--where=split=a"]).contains("N = 500 of 1,000 in these row groups ·"));
    assert!(inspected(&["--ignore-label=3"]).contains("N = 900 of 1,000 in these row groups ·"));
    for value in [&["--where=split=c"][..], &["--where=split=a", "--where=split=c"]] {
        let text = place.fail(66, &[&["inspect", "two.parquet"], value].concat());
        assert!(text.contains("value c"), "{text}");
    }
    // The plan knows what row groups hold, and no more.
    let further =
        ["--decisions=two.parquet?split=a", "--ood=two.parquet?split=b", "--metrics=nc5_ortho_dev,ncc_accuracy"];
    let text = said(&place.run(&[&["measure", "two.parquet", "--where=split=a"], &further[..]].concat()));
    for line in [
        "two.parquet?split=a   at most 1,000 rows",
        "two.parquet?split=b   at most 1,000 rows · mean of the means by label",
        "1 file · at most 1,000 rows",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let text = said(&place.run(&["measure", "two.parquet", "--decisions=two.parquet", "--metrics=ncc_accuracy"]));
    assert!(text.contains("two.parquet   1,000 rows") && text.contains("1 file · 1,000 rows"), "{text}");
}

#[test]
fn each_value_of_the_filters_of_decisions_has_to_match() {
    let place = Place::new();
    of_two_splits(&place);
    place.succeed(&["accumulate", "two.parquet", "-o", "s.ncst", "-q"]);
    for (verb, input) in [("measure", "two.parquet"), ("finish", "s.ncst")] {
        for (further, code) in [("?split=a", 0), ("?split=c", 66), ("?split=a&split=c", 66)] {
            let decisions = format!("--decisions=two.parquet{further}");
            let output = place.run(&[verb, input, &decisions, "--metrics=ncc_accuracy"]);
            assert_eq!(output.status.code(), Some(code), "{verb} {further}: {}", said(&output));
            assert!(code == 0 || said(&output).contains("value c"), "{}", said(&output));
        }
    }
    // Rows of another epoch have the value, though they serve no group.
    for (epoch, fold) in [(1, 0), (2, 1)] {
        let labels: Vec<i32> = (0..40).map(|row| row % 2).collect();
        let fold = ints((0..40).map(|row| row % 3 + 7 * fold).collect());
        let values = labels.iter().flat_map(|&label| [label as f32, 0.5]).collect();
        let columns = [("feature", vectors(values, 2)), ("label", ints(labels.clone())), ("fold", fold)];
        place.write_columns(&format!("f/epoch={epoch}/a.parquet"), &columns, 40);
    }
    let measure =
        ["measure", "f", "--where=epoch=1", "--group-by=epoch", "--metrics=ncc_accuracy", "--format=csv", "-q"];
    place.succeed(&[&measure[..], &["--decisions=f?fold=0&fold=8"]].concat());
    place.fail(66, &[&measure[..], &["--decisions=f?fold=0&fold=88"]].concat());
}

#[test]
fn rows_of_classes_that_were_not_seen_are_told() {
    let place = Place::new();
    of_two_splits(&place);
    let measure = ["measure", "two.parquet", "--where=split=a", "--metrics=ncc_accuracy,lda_accuracy", "--format=json"];
    let decided = |further: &str| {
        let decisions = format!("--decisions=two.parquet{further}");
        let output = place.run(&[&measure[..], &[&decisions]].concat());
        assert!(output.status.success(), "{}", said(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), said(&output))
    };
    let told = "rows of --decisions not decided: there is no mean of their classes";
    let (json, text) = decided("?split=a");
    assert!(!json.contains("unseen_classes") && !text.contains(told), "{text}");
    let (json, text) = decided("");
    assert!(json.contains("unseen_classes") && text.contains(&format!("500 {told}")), "{text}");
    let (json, text) = decided("?split=b");
    assert_eq!(json.matches("\"reason\": \"unseen_classes\"").count(), 2, "{json}");
    assert!(text.contains(&format!("500 {told}")), "{text}");
}

#[test]
fn flags_without_effect_are_told() {
    let place = Place::new();
    of_two_splits(&place);
    place.succeed(&["accumulate", "two.parquet", "-o", "s.ncst", "-q"]);
    let further = ["--decisions=two.parquet", "--ood=two.parquet", "--head=lstsq"];
    for (verb, input) in [("measure", "two.parquet"), ("finish", "s.ncst")] {
        let text = said(&place.run(&[&[verb, input, "--metrics=nc1_cdnv"], &further[..]].concat()));
        for flag in ["--decisions", "--ood", "--head"] {
            assert!(text.contains(&format!("warning: {flag} has no effect: no metric")), "{text}");
        }
        let text = said(&place.run(&[&[verb, input, "--metrics=nc1,nc4,nc5"], &further[..]].concat()));
        assert!(!text.contains("has no effect"), "{text}");
        let text = said(&place.run(&[verb, input, "--decisions=two.parquet"]));
        assert!(text.contains("--decisions has no effect: no metric that is asked for needs it without a classifier"));
        for (format, is_told) in [("ndjson", true), ("csv", true), ("json", false), ("markdown", false)] {
            let text = said(&place.run(&[verb, input, "--worst-pairs=3", "--format", format]));
            assert_eq!(text.contains("--worst-pairs has no effect"), is_told, "{format}: {text}");
        }
        let text = said(&place.run(&[verb, input, "--worst-pairs=3", "-o", "w.json", "--overwrite", "--format=csv"]));
        assert!(!text.contains("--worst-pairs has no effect"), "{text}");
        for (metrics, is_told) in [("nc3", true), ("nc3,nc4", true), ("nc3,nc1_cdnv", false)] {
            let text = said(&place.run(&[verb, input, "--metrics", metrics]));
            assert_eq!(text.contains("needs a classifier: --head FILE"), is_told, "{metrics}: {text}");
        }
        for (pairs, shown) in [("1", 1), ("2", 2), ("3", 3)] {
            place.succeed(&[verb, input, "--worst-pairs", pairs, "-o", "w.html", "--overwrite", "-q"]);
            let page = std::fs::read_to_string(place.path("w.html")).unwrap();
            let table = page.split("Pairs hardest to tell apart").nth(1).unwrap().split("</table>").next().unwrap();
            assert_eq!(table.matches("<tr><td").count(), shown, "{verb} {pairs}");
        }
        let text = place.fail(2, &[verb, input, "--metrics="]);
        assert!(text.contains("--metrics is empty"), "{text}");
    }
    let planned = place.run(&["measure", "two.parquet", "--dry-run", "-o", "x.csv", "--format=json"]);
    assert!(said(&planned).contains("nothing is written for -o, --format") && !place.path("x.csv").exists());
    for verb in ["measure", "inspect"] {
        assert!(place.fail(2, &[verb, "two.parquet", "--group-by="]).contains("--group-by is empty"));
    }
    assert!(
        place.fail(2, &["accumulate", "two.parquet", "-o", "t.ncst", "--metrics= "]).contains("--metrics is empty")
    );
}

#[test]
fn values_behind_a_question_mark_may_hold_any_sign() {
    let place = Place::new();
    let signs = ["why?", "a&b", "x=y", "100%"];
    let labels: Vec<i32> = (0..40).map(|row| row % 2).collect();
    let split: ArrayRef = Arc::new(StringArray::from((0..40).map(|row| signs[row % 4]).collect::<Vec<_>>()));
    let values = labels.iter().flat_map(|&label| [label as f32, 0.5]).collect();
    place.write_columns("s.parquet", &[("feature", vectors(values, 2)), ("label", ints(labels)), ("split", split)], 40);
    for code in ["why%3F", "a%26b", "x%3Dy", "x=y", "100%25", "100%"] {
        let decisions = format!("--decisions=s.parquet?split={code}");
        place.succeed(&["measure", "s.parquet", &decisions, "--metrics=ncc_accuracy", "-q"]);
    }
}

#[test]
fn files_of_an_earlier_series_are_named() {
    let place = Place::new();
    place.write("in.parquet", 1, 60, 8, 40);
    let convert = |more: &[&'static str]| {
        let output = place.run(&[&["convert", "in.parquet", "-o", "out/x.parquet", "--overwrite"], more].concat());
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    fs::create_dir(place.path("out")).unwrap();
    assert!(!convert(&["--shards=3"]).contains("another series"));
    assert!(!convert(&["--shards=3"]).contains("another series"));
    fs::write(place.path("out/x-rest-of-it.parquet"), "").unwrap();
    for more in [&["--shards=2"][..], &[]] {
        let text = convert(more);
        assert!(text.contains("stay beside it: out/x-00000-of-0000") && text.contains("more"), "{text}");
    }
}

#[test]
fn states_of_one_file_under_two_filters_say_so() {
    let place = Place::new();
    of_two_splits(&place);
    for split in ["a", "b"] {
        let filter = format!("--where=split={split}");
        place.succeed(&["accumulate", "two.parquet", &filter, "-o", &format!("{split}.ncst"), "-q"]);
    }
    let text = place.fail(65, &["merge", "a.ncst", "b.ncst", "-o", "c.ncst"]);
    assert!(text.contains("--where"), "{text}");
    assert!(!place.fail(65, &["merge", "a.ncst", "a.ncst", "-o", "c.ncst"]).contains("--where"));
}

#[test]
fn a_damaged_file_of_further_rows_is_left_out_and_listed() {
    let place = Place::new();
    place.write("in/a.parquet", 1, 200, 8, 40);
    place.write("ood/a.parquet", 2, 200, 8, 40);
    let labels: Vec<i32> = (0..200).map(|row| row % 4).collect();
    let columns = [("feature", vectors((0..1600).map(|at| (at % 13) as f32).collect(), 8)), ("label", ints(labels))];
    place.write_with("ood/b.parquet", &columns, plain());
    let measure = |more: &[&'static str]| [&["measure", "in", METRICS, "--format=json"], more].concat();
    let whole = fs::read(place.path("ood/b.parquet")).unwrap();
    fs::create_dir_all(place.path("one")).unwrap();
    fs::copy(place.path("ood/a.parquet"), place.path("one/a.parquet")).unwrap();
    let value = |text: &str| text.split("\"nc5_ortho_dev\"").nth(1).unwrap()[..60].to_owned();
    let expected = value(&place.succeed(&measure(&["--ood=one"])));
    assert_ne!(value(&place.succeed(&measure(&["--ood=ood"]))), expected);
    // Damage in the footer, and behind it.
    let cut = whole[..whole.len() - 20].to_vec();
    let mut page = whole;
    page[4..24].fill(0xff);
    for bytes in [cut, page] {
        fs::write(place.path("ood/b.parquet"), bytes).unwrap();
        place.fail(65, &measure(&["--ood=ood"]));
        let output = place.run(&measure(&["--ood=ood", "--on-bad-file=skip"]));
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(value(&text), expected);
        assert!(text.contains("ood/b.parquet") && said(&output).contains("left out: ood/b.parquet"), "{text}");
        let decided = ["measure", "in", "--metrics=ncc_accuracy", "--format=json", "-q"];
        let with = |more: &[&'static str]| place.succeed(&[&decided[..], more].concat());
        let text = with(&["--decisions=ood", "--on-bad-file=skip"]);
        assert!(text.contains("ood/b.parquet"), "{text}");
        let value = |text: &str| text.split("\"ncc_accuracy\"").nth(1).unwrap()[..60].to_owned();
        assert_eq!(value(&text), value(&with(&["--decisions=one"])));
    }
    // What is passed over, and what is named twice.
    fs::write(place.path("one/notes.bin"), [1, 2, 3]).unwrap();
    let text = said(&place.run(&measure(&["--ood=one"])));
    assert!(text.contains("--ood: over one/notes.bin"), "{text}");
}

#[test]
fn a_key_is_named_once_and_all_paths_have_it() {
    let place = Place::new();
    archive(&place);
    assert!(place.fail(2, &["measure", "h", "--group-by=epoch,epoch"]).contains("twice"));
    place.write("k/e=1/f=1/a.parquet", 1, 40, 8, 40);
    place.write("k/e=2/a.parquet", 2, 40, 8, 40);
    let text = place.fail(2, &["measure", "k", "--group-by=e,f"]);
    assert!(text.contains("k/e=2/a.parquet") && !text.contains("did you mean"), "{text}");
    place.write("amp/k=R&D/a.parquet", 1, 40, 8, 40);
    place.write("amp/k=S/a.parquet", 2, 40, 8, 40);
    let one = place.succeed(&["measure", "h", "--ood=amp?k=R%26D", METRICS, "--format=json", "-q"]);
    assert!(one.contains("amp?k=R%26D"), "{one}");
    // Values in the order of their numbers.
    let text = said(&place.run(&["measure", "h", "--where=epoch=1", "--ood=h", METRICS]));
    assert!(text.contains("epoch 1, 2, 10"), "{text}");
}

#[test]
fn rows_are_not_converted_into_the_inputs() {
    let place = Place::new();
    archive(&place);
    for (input, output) in [
        ("h", "h/new.parquet"),
        ("h", "h/epoch=1/new.parquet"),
        (".", "new.parquet"),
        ("h/*/*/*.parquet", "h/epoch=1/split=train/new.parquet"),
        ("h/**/*.parquet", "h/new.parquet"),
        ("h/epoch={e}", "h/epoch=1/new.parquet"),
    ] {
        let text = place.fail(2, &["convert", input, "-o", output]);
        assert!(text.contains("among its own inputs"), "{text}");
        assert!(!place.path(output).exists());
    }
    for (input, output) in [("h", "new.parquet"), ("h", "h/_new.parquet"), ("h/*/*/a.parquet", "h/new.parquet")] {
        place.succeed(&["convert", input, "-o", output, "-q"]);
    }
}

#[test]
fn files_that_were_replaced_are_not_resumed() {
    let place = Place::new();
    place.archive(2, 2);
    place.succeed(&["accumulate", "in", "-o", "s.ncst", "-q"]);
    place.succeed(&["accumulate", "in", "-o", "s.ncst", "--resume", "-q"]);
    place.write("in/01.parquet", 99, 73, 8, 40);
    for flag in ["--resume", "--extend"] {
        let text = place.fail(65, &["accumulate", "in", "-o", "s.ncst", flag]);
        assert!(text.contains("in/01.parquet") && text.contains("--overwrite"), "{text}");
    }
    place.succeed(&["accumulate", "in", "-o", "s.ncst", "--overwrite", "-q"]);
    place.write("in/02.parquet", 5, 40, 8, 40);
    let output = place.run(&["accumulate", "in", "-o", "s.ncst", "--resume"]);
    assert!(
        output.status.success() && said(&output).contains("1 row group of the inputs is not in"),
        "{}",
        said(&output)
    );
}

#[test]
fn verify_says_how_labels_of_their_own_are_named() {
    let place = Place::new();
    fs::write(place.path("x.npy"), crate::arrays::write::features(2, &[0.5; 80])).unwrap();
    fs::write(place.path("l.npy"), crate::arrays::write::labels(&[1; 40])).unwrap();
    place.succeed(&["accumulate", "x.npy", "--labels=l.npy", "-o", "s.ncst", "-q"]);
    let text = place.fail(2, &["verify", "s.ncst", "--inputs", "x.npy"]);
    assert!(text.contains("--inputs 'features.npy,labels.npy'"), "{text}");
    place.succeed(&["verify", "s.ncst", "--inputs", "x.npy,l.npy"]);
    // Convert leaves no damaged file out, and its advice names no such flag.
    fs::write(place.path("bad.parquet"), b"PAR1 and no more").unwrap();
    let text = place.fail(65, &["convert", "bad.parquet", "-o", "y.parquet"]);
    assert!(!text.contains("--on-bad-file") && text.contains("help"), "{text}");
    // What is said of no file at all.
    let text = place.fail(66, &["measure", "bad.parquet", "--on-bad-file=skip"]);
    assert!(text.contains("bad.parquet"), "{text}");
    for (flag, file, word) in [("--per-class", "x.svg", ".html"), ("-o", "x.xyz", "")] {
        let text = place.fail(2, &["measure", "x.npy", "--labels=l.npy", flag, file]);
        assert!((word.is_empty() && text.contains(".svg")) || (!word.is_empty() && !text.contains(word)), "{text}");
    }
    fs::write(place.path("names.txt"), "a\n").unwrap();
    let text = place.fail(65, &["measure", "x.npy", "--labels=l.npy", "--class-names=names.txt", "--per-class=c.csv"]);
    assert!(text.contains("--head-rows one-based"), "{text}");
    fs::write(place.path("z.npy"), crate::arrays::write::labels(&[3; 40])).unwrap();
    let text = place.fail(65, &["measure", "x.npy", "--labels=z.npy", "--class-names=names.txt", "--per-class=c.csv"]);
    assert!(text.contains("a line for each class"), "{text}");
}

/// Damage that only a page shows: the file was not to be counted, as long as it is damaged.
#[test]
fn a_file_that_was_left_out_is_no_difference() {
    let place = Place::new();
    place.archive(2, 2);
    let labels: Vec<i32> = (0..40).map(|row| row % 4).collect();
    place.write_with("in/b.parquet", &[("feature", vectors(vec![0.5; 320], 8)), ("label", ints(labels))], plain());
    let whole = fs::read(place.path("in/b.parquet")).unwrap();
    let mut page = whole.clone();
    page[4..24].fill(0xff);
    for bytes in [page, whole[..whole.len() - 20].to_vec()] {
        fs::write(place.path("in/b.parquet"), bytes).unwrap();
        place.succeed(&["accumulate", "in", "-o", "s.ncst", "--on-bad-file=skip", "--overwrite", "-q"]);
        place.succeed(&["verify", "s.ncst", "--inputs", "in"]);
        place.succeed(&["verify", "s.ncst", "--inputs", "in", "--deep"]);
    }
    fs::write(place.path("in/b.parquet"), &whole).unwrap();
    let output = place.run(&["verify", "s.ncst", "--inputs", "in"]);
    assert_eq!(output.status.code(), Some(1), "a file that is sound now was not counted");
}

/// A full disk leaves no state that holds nothing, and the error says which file it is about.
#[test]
fn a_full_disk_leaves_no_empty_state() {
    let place = Place::new();
    place.write("in/a.parquet", 1, 400, 64, 400);
    let shell = |line: &str| {
        std::process::Command::new("bash")
            .args(["-c", line, env!("CARGO_BIN_EXE_nckit")])
            .current_dir(place.0.path())
            .output()
            .unwrap()
    };
    let output = shell("ulimit -f 2; \"$0\" accumulate in/a.parquet -o l.ncst");
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    assert!(!place.path("l.ncst").exists());
    let output = shell("ulimit -f 2; \"$0\" convert in/a.parquet -o c.parquet");
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    let example = shell("ulimit -f 2; \"$0\" example collapse e.parquet");
    assert!(example.status.code() == Some(74) && said(&example).contains("e.parquet"), "{}", said(&example));
    assert!(said(&output).contains("c.parquet") && !place.path("c.parquet").exists(), "{}", said(&output));
}

#[test]
fn examples_of_the_help_fit_a_terminal() {
    let place = Place::new();
    for verb in
        ["measure", "inspect", "convert", "accumulate", "merge", "finish", "compare", "verify", "metrics", "bench"]
            .into_iter()
            .chain(["example", "example zipf", "example collapse", "example digits"])
    {
        let words: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
        let text = place.succeed(&words);
        let (_, examples) = text.split_once("Examples:").unwrap();
        for line in examples.lines() {
            assert!(line.chars().count() <= 80, "{verb}: {line}");
        }
    }
}
