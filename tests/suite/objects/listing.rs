//! How many requests a search makes, and how long it takes.

use std::time::{Duration, Instant};

use super::stub::{Objects, Stub};
use super::{Server, data, objects};
use crate::faults::Place;

fn count(stub: &Stub, is: impl Fn(&super::stub::Request) -> bool) -> usize {
    stub.seen().iter().filter(|request| is(request)).count()
}

#[test]
fn no_object_of_a_listing_is_asked_for_by_itself() {
    let stub = Stub::start(objects("hive", &data("digits/hive")));
    let place = Place::new();
    for input in ["s3://b/hive", "s3://b/hive/**/*.parquet", "s3://b/hive/epoch=*/layer=*/split=*/part-0.parquet"] {
        let arguments = ["measure", input, "--group-by=epoch,layer,split", "--metrics=nc1_cdnv", "--format=csv"];
        let rows = stub.succeed(&place, &arguments).lines().count();
        assert!(rows > 20, "{rows}");
        let seen = stub.seen();
        let asked = seen.iter().filter(|request| request.method == "HEAD" && request.path.ends_with("parquet"));
        assert_eq!(asked.count(), 0, "{input}");
        assert!(seen.iter().any(|request| request.query.contains_key("list-type")));
        // Each range is of one version.
        let ranges = || seen.iter().filter(|request| request.headers.contains_key("range"));
        assert!(ranges().count() > 0 && ranges().all(|request| request.headers.contains_key("if-match")));
    }
}

#[test]
fn a_hundred_thousand_objects_are_listed_in_seconds() {
    let mut all = Objects::new();
    let parquet = std::fs::read(data("digits/flat/h3_final.parquet")).unwrap();
    for at in 0..100_000 {
        all.insert(format!("b/many/epoch={}/{at:06}.txt", at % 100), b"x".to_vec());
    }
    all.insert("b/many/epoch=7/the_one.parquet".to_owned(), parquet.clone());
    all.insert("b/flat/the_one.parquet".to_owned(), parquet);
    for at in 0..2500 {
        all.insert(format!("b/flat/{at:06}.json"), b"{}".to_vec());
    }
    let stub = Stub::start(all);
    let place = Place::new();
    let start = Instant::now();
    let rows = stub.succeed(&place, &["measure", "s3://b/many/**/*.parquet", "--metrics=nc1_cdnv", "--format=csv"]);
    let took = start.elapsed();
    assert_eq!(rows.lines().count(), 2);
    let lists = count(&stub, |request| request.query.contains_key("list-type"));
    assert!(lists <= 202, "{lists} listings");
    println!("{took:?} for 100,000 objects in {lists} listings");
    assert!(took < Duration::from_mins(1), "{took:?}");
    // The object comes after two pages of others.
    let rows = stub.succeed(&place, &["measure", "s3://b/flat/*.parquet", "--metrics=nc1_cdnv", "--format=csv"]);
    assert_eq!(rows.lines().count(), 2);
}

#[test]
fn a_name_can_be_a_folder_and_an_object() {
    let mut all = objects("in", &data("digits/flat"));
    let bytes = all["b/in/h3_final.parquet"].clone();
    // An empty object is a folder as some programs store it; one with content is data.
    all.insert("b/in/sub".to_owned(), Vec::new());
    all.insert("b/in/sub/x.txt".to_owned(), b"text".to_vec());
    all.insert("b/both/x".to_owned(), bytes);
    all.insert("b/both/x/y.txt".to_owned(), b"text".to_vec());
    let stub = Stub::start(all);
    let place = Place::new();
    for input in ["s3://b/in", "s3://b/in/", "s3://b/both", "s3://b/both/*"] {
        let rows = stub.succeed(&place, &["measure", input, "--metrics=nc1_cdnv", "--format=csv"]);
        assert_eq!(rows.lines().count(), 2, "{input}");
    }
}
