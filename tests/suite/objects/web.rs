//! Files of a web server.

use super::stub::{Answer, Change, Stub};
use super::{Server, data, objects};
use crate::faults::Place;

#[test]
fn a_file_of_a_web_server_is_read() {
    let stub = Stub::start(objects("d", &data("digits")));
    let place = Place::new();
    let web = format!("http://127.0.0.1:{}/b/d", stub.port());
    let local = data("digits");
    let local = |name: &str| local.join(name).to_str().unwrap().to_owned();
    let csv = ["--metrics=nc1", "--format=csv"];
    let measure = |input: &str, more: &[&str]| stub.succeed(&place, &[&["measure", input], more, &csv[..]].concat());
    let expected = measure(&local("flat/h3_final.parquet"), &[]);
    assert_eq!(measure(&format!("{web}/flat/h3_final.parquet"), &[]), expected);
    // What is behind the question mark belongs to the address.
    assert_eq!(measure(&format!("{web}/flat/h3_final.parquet?split=test&sig=a%2Fb"), &[]), expected);
    assert!(stub.seen().iter().any(|request| request.query.get("sig").is_some_and(|value| value == "a/b")));
    let labels = format!("--labels={web}/arrays/test_labels.npy");
    assert_eq!(
        measure(&format!("{web}/arrays/test_features.npy"), &[&labels]),
        measure(&local("arrays/test_features.npy"), &[])
    );
    for input in [format!("{web}/flat/"), format!("{web}/flat/*.parquet")] {
        let said = stub.fail(&place, 2, &["measure", &input]);
        assert!(said.contains("a web server lists no files"), "{said}");
    }
    let said = stub.fail(&place, 66, &["measure", &format!("{web}/flat/nothing.parquet")]);
    assert!(said.contains("there is no such object"), "{said}");
    let said = stub.fail(&place, 73, &["measure", &local("flat/h3_final.parquet"), "-o", &format!("{web}/r.csv")]);
    assert!(said.contains("nothing can be written to a web server"), "{said}");
}

#[test]
fn a_server_without_tags_or_parts() {
    let stub = Stub::start(objects("d", &data("digits/flat")));
    let place = Place::new();
    let web = format!("http://127.0.0.1:{}/b/d/h3_final.parquet", stub.port());
    let arguments = ["measure", &web, "--metrics=nc1_cdnv", "--format=csv"];
    let expected = stub.succeed(&place, &arguments);
    stub.before(|_, _| {
        Change::Was(|mut answer| {
            answer.headers.retain(|(name, _)| name != "ETag");
            answer
        })
    });
    assert_eq!(stub.succeed(&place, &arguments), expected);
    // Then another time of writing is another file.
    let mut count = 0;
    stub.before(move |_, _| {
        count += 1;
        let later: fn(Answer) -> Answer = |mut answer| {
            answer.headers.retain(|(name, _)| name != "ETag");
            for (name, value) in &mut answer.headers {
                if name == "Last-Modified" {
                    *value = "Sat, 01 Nov 2025 00:00:01 GMT".to_owned();
                }
            }
            answer
        };
        let without: fn(Answer) -> Answer = |mut answer| {
            answer.headers.retain(|(name, _)| name != "ETag");
            answer
        };
        Change::Was(if count > 1 { later } else { without })
    });
    let said = stub.fail(&place, 65, &arguments);
    assert!(said.contains("the input changed while it was read"), "{said}");
    stub.before(|request, objects| Change::Is(Answer::of(200, objects[&request.path].clone())));
    let said = stub.fail(&place, 2, &arguments);
    assert!(said.contains("does not send parts of files") && said.contains("curl -LO"), "{said}");
}
