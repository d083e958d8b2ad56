//! Archives and states in a store of objects, which the servers and the client share, and no files.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::servers::{Servers, wait};
use crate::faults::{Place, said};
use crate::objects::stub::{Answer, Change, Stub};
use crate::objects::{Moto, Server, data, objects};

/// What finds a server where S3 is asked for.
fn environment(server: &impl Server) -> Vec<(String, String)> {
    let set = [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", server.port())),
        ("AWS_ACCESS_KEY_ID", "someone".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    set.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn run(place: &Place, server: &impl Server, servers: &Servers, arguments: &[&str]) -> std::process::Output {
    let mut command = server.command(place, arguments);
    command.args(["--cluster", &servers.address]);
    wait(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn an_archive_and_its_state_are_objects() {
    let Some(moto) = Moto::start() else { return };
    moto.put_all("digits", &data("digits"));
    let place = Place::new();
    let servers = Servers::start_with(&place, 2, "0", environment(&moto));
    let count = ["accumulate", "s3://bucket/digits/hive", "--group-by=layer,epoch", "--where=split=train"];
    let local = moto.run(&place, &[&count[..], &["-o", "s3://bucket/local.ncst"]].concat());
    assert!(local.status.success(), "{}", said(&local));
    let far = run(&place, &moto, &servers, &[&count[..], &["-o", "s3://bucket/far.ncst", "--task-size=1kB"]].concat());
    assert!(far.status.success(), "{}", said(&far));
    assert!(moto.get("far.ncst").unwrap() == moto.get("local.ncst").unwrap());
    // An object that is written again is read as it is now, whatever the executor remembers of it.
    drop(servers);
    let servers = Servers::start_with(&place, 1, "0", environment(&moto));
    for file in ["flat/h3_final.parquet", "hive/epoch=9/layer=h3/split=train/part-0.parquet"] {
        moto.put("x.parquet", &std::fs::read(data("digits").join(file)).unwrap());
        let count = ["accumulate", "s3://bucket/x.parquet", "--overwrite"];
        let local = moto.run(&place, &[&count[..], &["-o", "s3://bucket/local.ncst"]].concat());
        assert!(local.status.success(), "{}", said(&local));
        let far = run(&place, &moto, &servers, &[&count[..], &["-o", "s3://bucket/far.ncst"]].concat());
        assert!(far.status.success(), "{}", said(&far));
        assert!(moto.get("far.ncst").unwrap() == moto.get("local.ncst").unwrap(), "{file}");
    }
}

#[test]
fn reading_that_fails_is_tried_again() {
    let place = Place::new();
    place.archive(3, 4);
    let stub = Stub::start(objects("in", &place.path("in")));
    let mut of_executors = environment(&stub);
    of_executors[1].1 = "executor".to_owned();
    let servers = Servers::start_with(&place, 2, "0", of_executors);
    let local = stub.run(&place, &["accumulate", "s3://b/in", "-o", "local.ncst"]);
    assert!(local.status.success(), "{}", said(&local));
    let refuse = |times: usize| {
        let refused = Arc::new(AtomicUsize::new(0));
        let counted = refused.clone();
        stub.before(move |request, _| {
            let signed = request.headers.get("authorization").is_some_and(|text| text.contains("Credential=executor"));
            let asked = signed && request.method == "GET" && request.path.ends_with("01.parquet");
            if asked && counted.fetch_add(1, Ordering::Relaxed) < times {
                return Change::Is(Answer::of(403, ""));
            }
            Change::Nothing
        });
        refused
    };
    let count = ["accumulate", "s3://b/in", "-o", "far.ncst", "--overwrite", "--task-size=1kB"];
    let refused = refuse(2);
    let output = run(&place, &stub, &servers, &count);
    assert!(output.status.success(), "{}", said(&output));
    assert!(refused.load(Ordering::Relaxed) > 2);
    assert!(place.read("far.ncst") == place.read("local.ncst"));
    // Not for ever.
    refuse(usize::MAX);
    let output = run(&place, &stub, &servers, &count);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(74), "{text}");
    assert!(text.contains("01.parquet") && text.contains("executor"), "{text}");
}
