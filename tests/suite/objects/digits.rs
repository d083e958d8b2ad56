//! The digits in a bucket of a real server: measured, counted, queried, with heads, labels and further rows beside them.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::moto::Moto;
use super::{Server, data};
use crate::faults::{Place, said};

/// A bucket with the digits, and a folder in which local runs find them under the same names.
fn digits() -> Option<(Moto, Place)> {
    let moto = Moto::start()?;
    moto.put_all("digits", &data("digits"));
    let place = Place::new();
    std::os::unix::fs::symlink(data("digits"), place.path("digits")).unwrap();
    Some((moto, place))
}

/// What a command prints, given `digits/…` in place of `IN/…`, and then the same in the bucket.
fn both(moto: &Moto, place: &Place, arguments: &[&str]) -> String {
    let with = |root: &str| arguments.iter().map(|text| text.replace("IN/", root)).collect::<Vec<String>>();
    let run = |arguments: Vec<String>| moto.succeed(place, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let (local, far) = (run(with("digits/")), run(with("s3://bucket/digits/")));
    assert_eq!(far, local, "{arguments:?}");
    assert!(!far.is_empty());
    far
}

#[test]
fn a_bucket_gives_the_bits_of_local_files() {
    let Some((moto, place)) = digits() else { return };
    let both = |arguments: &[&str]| both(&moto, &place, arguments);
    let csv = "--format=csv";
    both(&["measure", "IN/flat/h3_final.parquet", csv]);
    both(&["measure", "IN/hive", "--group-by=layer,epoch", "--where=split=train", csv]);
    both(&["measure", "IN/hive/**/*.parquet", "--group-by=layer,epoch,split", "--metrics=nc1", csv]);
    both(&["measure", "IN/hive/epoch=*/layer=h3/split=train/part-0.parquet", "--group-by=epoch", csv]);
    both(&["measure", "IN/hive/epoch=[59]*/layer=h3", "--group-by=epoch,split", "--metrics=nc1,nc2", csv]);
    // Labels beside the features, named, and in one word.
    both(&["measure", "IN/arrays/test_features.npy", csv]);
    both(&["measure", "IN/arrays/test_features.npy", "--labels=IN/arrays/test_labels.npy", csv]);
    both(&["measure", "IN/arrays/test_features.npy,IN/arrays/test_labels.npy", csv]);
    // Keys in names.
    both(&[
        "measure",
        "IN/arrays/{split}_features.npy",
        "--labels=IN/arrays/{split}_labels.npy",
        "--group-by=split",
        csv,
    ]);
    both(&[
        "measure",
        "IN/hive",
        "--group-by=epoch",
        "--where=split=train",
        "--where=layer=h3",
        "--head=IN/classifier/epoch={epoch}/classifier.parquet",
        "--decisions=IN/hive?split=test&layer=h3",
        "--ood=IN/hive?split=ood&layer=h3",
        csv,
    ]);
}

#[test]
fn what_a_bucket_holds_is_said() {
    let Some((moto, place)) = digits() else { return };
    let text = both(&moto, &place, &["inspect", "IN/hive", "--group-by=epoch"]);
    assert!(text.contains("epoch"), "{text}");
    let output = moto.run(&place, &["measure", "s3://bucket/digits/arrays/test_features.npy", "--metrics=nc1_cdnv"]);
    assert!(said(&output).contains("s3://bucket/digits/arrays/test_labels.npy"), "{}", said(&output));
}

#[cfg(feature = "sql")]
#[test]
fn sql_reads_tables_in_a_bucket() {
    let Some((moto, place)) = digits() else { return };
    for query in [
        "SELECT count(*), min(label) FROM 'IN/flat/h3_final.parquet'",
        "SELECT epoch, nc1_pinv(feature, label) FROM 'IN/hive/**/*.parquet' WHERE split = 'train' AND layer = 'h3' \
         GROUP BY epoch ORDER BY epoch",
        "SELECT nc1_cdnv(feature, label) FROM 'IN/arrays/test_features.npy'",
    ] {
        both(&moto, &place, &["sql", "-c", query, "--format=csv"]);
    }
    moto.succeed(&place, &["accumulate", "s3://bucket/digits/flat", "-o", "s3://bucket/flat.ncst"]);
    let groups =
        moto.succeed(&place, &["sql", "-c", "SELECT count(*) AS n FROM 's3://bucket/flat.ncst'", "--format=csv"]);
    assert_eq!(groups.trim(), "n\n1");
    moto.succeed(&place, &["sql", "-c", "SELECT 1 AS one", "-o", "s3://bucket/one.csv"]);
    assert_eq!(moto.get("one.csv").unwrap(), b"one\n1\n");
    let read = moto.succeed(&place, &["sql", "-c", "SELECT one + 1 AS two FROM 's3://bucket/one.csv'", "--format=csv"]);
    assert_eq!(read.trim(), "two\n2");
}

#[test]
fn states_in_a_bucket_are_those_of_local_files() {
    let Some((moto, place)) = digits() else { return };
    let run = |arguments: &[&str]| moto.succeed(&place, arguments);
    let by = "--group-by=layer,epoch,split";
    run(&["accumulate", "digits/hive", by, "-o", "local.ncst"]);
    run(&["accumulate", "s3://bucket/digits/hive", by, "-o", "s3://bucket/states/all.ncst"]);
    let local = fs::read(place.path("local.ncst")).unwrap();
    assert!(moto.get("states/all.ncst").unwrap() == local, "a finished state says nothing of where its files lay");
    for part in ["0/2", "1/2"] {
        let name = format!("s3://bucket/states/part-{}.ncst", &part[..1]);
        run(&["accumulate", "s3://bucket/digits/hive", by, "-o", &name, "--shard", part, "--checkpoint-every=0s"]);
    }
    run(&[
        "merge",
        "s3://bucket/states/part-0.ncst",
        "s3://bucket/states/part-1.ncst",
        "-o",
        "s3://bucket/states/merged.ncst",
    ]);
    assert!(moto.get("states/merged.ncst").unwrap() == local);
    let finished = run(&["finish", "s3://bucket/states/merged.ncst", "--format=csv"]);
    assert_eq!(finished, run(&["finish", "local.ncst", "--format=csv"]));
    assert_eq!(finished, run(&["measure", "digits/hive", by, "--format=csv"]));
    for deep in [&[][..], &["--deep"]] {
        let verified =
            run(&[&["verify", "s3://bucket/states/all.ncst", "--inputs", "s3://bucket/digits/hive"], deep].concat());
        assert!(verified.contains("the inputs match what was counted"), "{verified}");
    }
    // More files, and the same again.
    run(&["accumulate", "s3://bucket/digits/hive/epoch=9", by, "-o", "s3://bucket/states/some.ncst"]);
    run(&["accumulate", "s3://bucket/digits/hive", by, "-o", "s3://bucket/states/some.ncst", "--extend"]);
    assert_eq!(finished, run(&["finish", "s3://bucket/states/some.ncst", "--format=csv"]));
    let again = moto
        .run(&place, &["accumulate", "s3://bucket/digits/hive", by, "-o", "s3://bucket/states/all.ncst", "--resume"]);
    assert!(again.status.success() && said(&again).contains("already finished"), "{}", said(&again));
}

#[test]
fn results_are_written_to_a_bucket_as_a_whole() {
    let Some((moto, place)) = digits() else { return };
    let flat = "s3://bucket/digits/flat/h3_final.parquet";
    let outputs =
        ["-o", "s3://bucket/out/r.csv", "-o", "s3://bucket/out/r.parquet", "--per-class", "s3://bucket/out/c.csv"];
    moto.succeed(&place, &[&["measure", flat], &outputs[..]].concat());
    let local = ["-o", "r.csv", "-o", "r.parquet", "--per-class", "c.csv"];
    moto.succeed(&place, &[&["measure", "digits/flat/h3_final.parquet"], &local[..]].concat());
    for name in ["r.csv", "c.csv"] {
        assert!(moto.get(&format!("out/{name}")).unwrap() == fs::read(place.path(name)).unwrap(), "{name}");
    }
    assert!(moto.get("out/r.parquet").unwrap().ends_with(b"PAR1"));
    let said = moto.fail(&place, 73, &["measure", flat, "-o", "s3://bucket/out/r.csv"]);
    assert!(said.contains("the output exists") && said.contains("--overwrite"), "{said}");
    moto.succeed(&place, &["measure", flat, "--metrics=nc1_cdnv", "-o", "s3://bucket/out/r.csv", "--overwrite"]);
    assert_ne!(moto.get("out/r.csv").unwrap(), fs::read(place.path("r.csv")).unwrap());
    // What fails leaves nothing, and what was there stays.
    moto.fail(&place, 2, &["measure", flat, "--features=nothing", "-o", "s3://bucket/out/new.csv"]);
    assert!(moto.get("out/new.csv").is_none());
    let said = moto.fail(&place, 2, &["measure", flat, "-o", flat, "--overwrite"]);
    assert!(said.contains("cannot infer") || said.contains("one of the inputs"), "{said}");
    let said = moto.fail(&place, 66, &["measure", "s3://nobody-has-this/x.parquet"]);
    assert!(said.contains("there is no such bucket"), "{said}");
    let said = moto.fail(&place, 66, &["measure", "s3://bucket/digits/nothing"]);
    assert!(said.contains("there is no such object"), "{said}");
}

#[test]
fn a_profile_of_aws_has_keys_and_region() {
    let Some((moto, place)) = digits() else { return };
    fs::create_dir(place.path(".aws")).unwrap();
    fs::write(place.path(".aws/credentials"), "[mine]\naws_access_key_id=a\naws_secret_access_key=b\n").unwrap();
    let sso = "[profile mine]\nregion=eu-west-1\n[profile single]\nsso_session=x\nregion=eu-west-1\n";
    fs::write(place.path(".aws/config"), sso).unwrap();
    let run = |profile: &str| {
        let mut command = moto.command(&place, &["measure", "s3://bucket/digits/flat", "--metrics=nc1_cdnv"]);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_REGION");
        command.env("AWS_PROFILE", profile).output().unwrap()
    };
    let output = run("mine");
    assert!(output.status.success(), "{}", said(&output));
    let output = run("single");
    assert_eq!(output.status.code(), Some(2));
    let advice = "eval \"$(aws configure export-credentials --profile single --format env)\"";
    assert!(said(&output).contains(advice), "{}", said(&output));
    assert!(said(&run("nobody")).contains("no such profile"), "{}", said(&run("nobody")));
}

/// Killed at any moment and resumed, a run into a bucket ends in the bytes of a local one.
#[test]
fn a_run_into_a_bucket_that_was_killed_is_resumed() {
    let Some(moto) = Moto::start() else { return };
    let place = Place::new();
    place.archive(8, 4);
    moto.put_all("in", &place.path("in"));
    let arguments = ["--group-by=label", "--resume", "--checkpoint-every=0s", "--threads=2", "-q"];
    moto.succeed(&place, &[&["accumulate", "in", "-o", "x.ncst"], &arguments[..]].concat());
    let expected = fs::read(place.path("x.ncst")).unwrap();
    let far = [&["accumulate", "s3://bucket/in", "-o", "s3://bucket/x.ncst"], &arguments[..]].concat();
    let mut killed = 0;
    for wait in [150, 400, 250, 600] {
        let mut child = moto.command(&place, &far).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
    }
    moto.succeed(&place, &far);
    assert!(moto.get("x.ncst").unwrap() == expected);
    assert!(killed > 0, "none was killed in time");
}
