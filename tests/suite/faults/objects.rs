//! Object stores that change, break off, are busy, refuse or say nothing.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Place, said};
use crate::objects::stub::{Answer, Change, Objects, Request, Stub};
use crate::objects::{Server, objects};

/// Four files of four row groups each, of which one alone takes several ranges.
fn archive(place: &Place) -> Objects {
    place.archive(4, 4);
    place.write("in/large.parquet", 9, 200_000, 8, 50_000);
    objects("in", &place.path("in"))
}

const MEASURE: [&str; 5] = ["measure", "s3://b/in", "--metrics=nc1_cdnv", "--format=csv", "--threads=2"];

fn local(place: &Place) -> String {
    place.succeed(&["measure", "in", "--metrics=nc1_cdnv", "--format=csv", "--threads=2"])
}

fn is_range(request: &Request) -> bool {
    request.headers.contains_key("range")
}

#[test]
fn fault_52_an_object_that_is_replaced_is_never_half_read() {
    let place = Place::new();
    let all = archive(&place);
    let stub = Stub::start(all.clone());
    let expected = local(&place);
    assert_eq!(stub.succeed(&place, &MEASURE), expected);
    let ranges = stub.seen().iter().filter(|request| is_range(request)).count();
    assert!(ranges > 10, "{ranges}");
    // Replaced before each of the ranges, by an object of the same size.
    let large = "b/in/large.parquet";
    let mut other = all[large].clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    for after in [0, 1, 2, 4] {
        // It is no damage, which could be left out.
        for more in [&[][..], &["--on-bad-file=skip"]] {
            stub.put(large, &all[large]);
            let (other, mut seen) = (other.clone(), 0);
            stub.before(move |request, objects| {
                if is_range(request) && request.path == large {
                    if seen == after {
                        objects.insert(large.to_owned(), other.clone());
                    }
                    seen += 1;
                }
                Change::Nothing
            });
            let told = stub.fail(&place, 65, &[&MEASURE[..], more].concat());
            assert!(told.contains("the input changed") && told.contains("large.parquet"), "{after}: {told}");
        }
    }
    // A run that is resumed sees it too.
    stub.before(|_, _| Change::Nothing);
    stub.put(large, &all[large]);
    let count = ["accumulate", "s3://b/in", "-o", "s3://b/x.ncst", "--checkpoint-every=0s", "--threads=1", "--resume"];
    let mut puts = 0;
    stub.before(move |request, _| {
        puts += usize::from(request.method == "PUT");
        if puts > 2 { Change::Is(Answer::of(403, "")) } else { Change::Nothing }
    });
    stub.fail(&place, 74, &count);
    stub.before(|_, _| Change::Nothing);
    let mut longer = all[large].clone();
    longer.insert(middle, 0);
    stub.put(large, &longer);
    let told = stub.fail(&place, 65, &count);
    assert!(told.contains("changed since the plan was made"), "{told}");
}

#[test]
fn fault_53_an_object_that_vanishes_ends_the_run() {
    let place = Place::new();
    let stub = Stub::start(archive(&place));
    for after in [0, 1, 3] {
        let mut seen = 0;
        stub.before(move |request, _| {
            let is_large = is_range(request) && request.path.ends_with("large.parquet");
            seen += usize::from(is_large);
            if is_large && seen > after {
                return Change::Is(Answer::of(404, "<Error><Code>NoSuchKey</Code></Error>"));
            }
            Change::Nothing
        });
        let told = stub.fail(&place, 65, &MEASURE);
        assert!(told.contains("the input changed") && told.contains("it is gone"), "{after}: {told}");
    }
}

#[test]
fn fault_54_a_store_that_is_busy_is_asked_again() {
    let place = Place::new();
    let stub = Stub::start(archive(&place));
    let expected = local(&place);
    let mut seen = 0;
    stub.before(move |_, _| {
        seen += 1;
        let busy = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
        if seen % 3 == 0 { Change::Is(Answer::of(503, busy)) } else { Change::Nothing }
    });
    assert_eq!(stub.succeed(&place, &MEASURE), expected);
    // The answer to what was written may be lost: the next try meets it.
    let mut puts = 0;
    stub.before(move |request, _| {
        puts += usize::from(request.method == "PUT");
        if request.method == "PUT" && puts == 1 { Change::Was(|_| Answer::of(500, "")) } else { Change::Nothing }
    });
    stub.succeed(&place, &[&MEASURE[..], &["-o", "s3://b/lost.csv"]].concat());
    assert!(stub.objects()["b/lost.csv"].starts_with(b"rows,"));
    // An answer that says no is not asked for again.
    let denied = Arc::new(AtomicUsize::new(0));
    let counted = denied.clone();
    stub.before(move |request, _| {
        if is_range(request) && request.path.ends_with("large.parquet") {
            counted.fetch_add(1, Ordering::Relaxed);
            return Change::Is(Answer::of(412, ""));
        }
        Change::Nothing
    });
    stub.fail(&place, 65, &MEASURE);
    assert!(denied.load(Ordering::Relaxed) <= 2, "{denied:?}");
}

#[test]
fn fault_55_a_body_that_breaks_off_is_asked_for_again() {
    let place = Place::new();
    let stub = Stub::start(archive(&place));
    let expected = local(&place);
    let mut seen = 0;
    stub.before(move |request, _| {
        seen += usize::from(is_range(request));
        if is_range(request) && seen % 3 == 0 {
            return Change::Was(|answer| Answer { cut: Some(answer.body.len() / 2), ..answer });
        }
        Change::Nothing
    });
    assert_eq!(stub.succeed(&place, &MEASURE), expected);
    // A web server without tags has to be asked for the whole range.
    let web = format!("http://127.0.0.1:{}/b/in/large.parquet", stub.port());
    let mut seen = 0;
    stub.before(move |request, _| {
        seen += usize::from(is_range(request));
        if is_range(request) && seen % 3 == 2 {
            return Change::Was(|mut answer| {
                answer.headers.retain(|(name, _)| name != "ETag");
                Answer { cut: Some(answer.body.len() / 2), ..answer }
            });
        }
        Change::Was(|mut answer| {
            answer.headers.retain(|(name, _)| name != "ETag");
            answer
        })
    });
    let one = ["measure", "in/large.parquet", "--metrics=nc1_cdnv", "--format=csv"];
    assert_eq!(stub.succeed(&place, &[one[0], &web, one[2], one[3]]), place.succeed(&one));
}

/// Whether a server hangs at a request, after so many ranges and writes.
type Hangs = fn(&Request, usize, usize) -> bool;

/// Asks a run to stop once the server hangs; returns how long it took to end.
fn stopped(stub: &Stub, place: &Place, arguments: &[&str], hung: &AtomicUsize) -> (Duration, i32) {
    let mut child = stub.command(place, arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while hung.load(Ordering::Relaxed) == 0 {
        assert!(start.elapsed() < Duration::from_mins(1) && child.try_wait().unwrap().is_none(), "it never hung");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(200));
    let asked = Instant::now();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let status = child.wait().unwrap();
    (asked.elapsed(), status.code().unwrap_or(130))
}

#[test]
fn fault_56_an_interrupt_ends_a_run_whose_server_says_nothing() {
    let place = Place::new();
    let stub = Stub::start(archive(&place));
    let count = ["accumulate", "s3://b/in", "-o", "s3://b/x.ncst", "--checkpoint-every=0s", "--threads=1", "-q"];
    // At the first request, at a range in the middle, and after some checkpoints.
    let cases: [(&[&str], Hangs); 3] = [
        (&MEASURE, |_, _, _| true),
        (&MEASURE, |request, ranges, _| is_range(request) && ranges > 9),
        (&count, |request, _, puts| is_range(request) && puts > 2),
    ];
    for (arguments, hangs) in cases {
        stub.remove("b/x.ncst");
        let hung = Arc::new(AtomicUsize::new(0));
        let (hanging, mut ranges, mut puts) = (hung.clone(), 0, 0);
        stub.before(move |request, _| {
            ranges += usize::from(is_range(request));
            puts += usize::from(request.method == "PUT");
            if hangs(request, ranges, puts) {
                hanging.fetch_add(1, Ordering::Relaxed);
                return Change::Was(|answer| Answer { delay: Duration::from_secs(30), ..answer });
            }
            Change::Nothing
        });
        let (took, code) = stopped(&stub, &place, arguments, &hung);
        assert!(took < Duration::from_secs(2), "{arguments:?}: {took:?}");
        assert_eq!(code, 130, "{arguments:?}");
        println!("{took:?}");
    }
    // What was counted before is saved, and goes on.
    stub.before(|_, _| Change::Nothing);
    assert!(stub.objects().contains_key("b/x.ncst"));
    stub.succeed(&place, &[&count[..], &["--resume"]].concat());
    place.succeed(&["accumulate", "in", "-o", "x.ncst"]);
    assert!(stub.objects()["b/x.ncst"] == place.read("x.ncst"));
}

#[test]
fn fault_57_what_the_store_refuses_is_said_with_what_mends_it() {
    let place = Place::new();
    let stub = Stub::start(archive(&place));
    let answered = |status: u16, body: &'static str| {
        stub.before(move |request, _| {
            let is_of_bucket = !request.path.contains('/') && request.method != "GET";
            if is_of_bucket { Change::Nothing } else { Change::Is(Answer::of(status, body)) }
        });
    };
    answered(403, "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>");
    let told = stub.fail(&place, 74, &MEASURE);
    assert!(told.contains("denies access") && told.contains("AWS_PROFILE"), "{told}");
    answered(403, "<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message></Error>");
    let told = stub.fail(&place, 74, &["measure", "s3://b/in/*.parquet"]);
    assert!(told.contains("InvalidAccessKeyId: The key does not exist."), "{told}");
    answered(301, "<Error><Code>PermanentRedirect</Code></Error>");
    let told = stub.fail(&place, 2, &MEASURE);
    assert!(told.contains("another region") && told.contains("AWS_REGION=eu-central-1"), "{told}");
    let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The region 'us-east-1' is wrong</Message>\
                     <Region>ap-south-1</Region></Error>";
    answered(400, malformed);
    let told = stub.fail(&place, 2, &["measure", "s3://b/in/*.parquet"]);
    assert!(told.contains("AWS_REGION=ap-south-1"), "{told}");
    answered(404, "<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>");
    let told = stub.fail(&place, 66, &MEASURE);
    assert!(told.contains("there is no such bucket"), "{told}");
    // Requests that are not signed are for public buckets.
    stub.before(|request, _| {
        let is_signed = request.headers.contains_key("authorization");
        if is_signed { Change::Is(Answer::of(403, "")) } else { Change::Nothing }
    });
    let mut command = stub.command(&place, &MEASURE);
    let output = command.env("AWS_SKIP_SIGNATURE", "true").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    stub.fail(&place, 74, &MEASURE);
}

#[test]
fn fault_58_two_processes_that_write_one_state_in_a_bucket_notice_each_other() {
    let place = Place::new();
    let stub = Stub::start(archive(&place));
    let count = ["accumulate", "s3://b/in", "-o", "s3://b/x.ncst", "--checkpoint-every=0s", "--threads=1"];
    // Somebody else writes before the first, and before a later checkpoint.
    for before in [1, 3] {
        stub.remove("b/x.ncst");
        let mut puts = 0;
        stub.before(move |request, objects| {
            puts += usize::from(request.method == "PUT");
            if puts == before {
                objects.insert("b/x.ncst".to_owned(), b"theirs".to_vec());
            }
            Change::Nothing
        });
        let told = stub.fail(&place, 75, &count);
        assert!(told.contains("another process has written this output"), "{told}");
        assert_eq!(stub.objects()["b/x.ncst"], b"theirs");
    }
    stub.remove("b/x.ncst");
    let mut puts = 0;
    stub.before(move |request, objects| {
        puts += usize::from(request.method == "PUT");
        if puts == 1 {
            objects.insert("b/r.csv".to_owned(), b"theirs".to_vec());
        }
        Change::Nothing
    });
    stub.fail(&place, 75, &[&MEASURE[..], &["-o", "s3://b/r.csv"]].concat());
    assert_eq!(stub.objects()["b/r.csv"], b"theirs");
}

#[test]
fn fault_59_an_output_in_a_bucket_is_there_as_a_whole_or_not_at_all() {
    let place = Place::new();
    let stub = Stub::start(archive(&place));
    let count = ["accumulate", "s3://b/in", "-o", "s3://b/x.ncst", "--checkpoint-every=0s", "--threads=1"];
    stub.before(|request, _| match request.method.as_str() {
        "PUT" => Change::Is(Answer::of(403, "<Error><Code>AccessDenied</Code><Message>No.</Message></Error>")),
        _ => Change::Nothing,
    });
    let told = stub.fail(&place, 74, &count);
    assert!(told.contains("denies access"), "{told}");
    stub.fail(&place, 74, &[&MEASURE[..], &["-o", "s3://b/r.csv"]].concat());
    assert!(!stub.objects().contains_key("b/x.ncst") && !stub.objects().contains_key("b/r.csv"));
    stub.before(|_, _| Change::Nothing);
    stub.put("b/r.csv", b"before");
    stub.put("b/x.ncst", b"before");
    for arguments in [&[&MEASURE[..], &["-o", "s3://b/r.csv"]].concat()[..], &count] {
        stub.seen();
        let told = stub.fail(&place, 73, arguments);
        assert!(told.contains("exist"), "{told}");
        // It is refused before anything is read.
        assert!(stub.seen().iter().all(|request| !is_range(request)));
    }
    assert!(stub.objects()["b/r.csv"] == b"before" && stub.objects()["b/x.ncst"] == b"before");
    for (output, words) in [("s3://b/out/", "a folder"), ("s3://b", "a folder")] {
        let told = stub.fail(&place, 73, &["accumulate", "s3://b/in", "-o", output]);
        assert!(told.contains(words), "{output}: {told}");
    }
    let told = stub.fail(&place, 2, &["measure", "s3://b/../x.parquet"]);
    assert!(told.contains("not an address"), "{told}");
    assert!(!Path::new("s3:").exists());
}
