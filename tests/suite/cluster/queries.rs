//! SQL whose archives a cluster aggregates.

use std::process::Stdio;

use super::servers::{Servers, wait};
use crate::faults::{Place, said};
use crate::objects::data;

/// What a query prints locally, and what it prints and says where a cluster helps.
fn both(place: &Place, servers: &Servers, query: &str) -> (String, String, String) {
    let words = ["sql", "-c", query, "--format=csv", "--threads=2"];
    let local = place.succeed(&words);
    let mut command = place.command(&words);
    command.args(["--cluster", &servers.address, "--task-size=1kB"]);
    let output = wait(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(output.status.success(), "{query}: {}", said(&output));
    let told = said(&output);
    (local, String::from_utf8(output.stdout).unwrap(), told)
}

#[test]
fn queries_have_the_same_bits_on_a_cluster() {
    let place = Place::new();
    std::os::unix::fs::symlink(data("digits"), place.path("digits")).unwrap();
    let servers = Servers::start(&place, 2);
    let helped = [
        "SELECT layer, epoch, nc1_pinv(feature, label), nc2_etf_error(feature, label), count(*) FROM 'digits/hive' \
         WHERE split = 'train' GROUP BY layer, epoch ORDER BY layer, epoch",
        "SELECT split, nc1_cdnv(feature, label) FILTER (WHERE label < 5), max(label) FROM 'digits/hive' \
         WHERE layer = 'h3' AND label + 1 > 2 GROUP BY split ORDER BY split",
        "SELECT a.epoch, a.x, b.y FROM (SELECT epoch, nc1_cdnv(feature, label) x FROM 'digits/hive' WHERE split = 'train' \
         AND layer = 'h3' GROUP BY epoch) a JOIN (SELECT epoch, nc1_cdnv(feature, label) y FROM 'digits/hive' \
         WHERE split = 'test' AND layer = 'h3' GROUP BY epoch) b USING (epoch) ORDER BY epoch",
        // What is set travels along.
        "SET nc.extra_bits = 7; SELECT nc_measure(feature, label) FROM 'digits/hive' WHERE layer = 'h3'",
        "SET nc.normalize = true; SELECT nc1_cdnv(feature, label) FROM 'digits/hive' WHERE layer = 'h3'",
    ];
    for query in helped {
        let (local, far, told) = both(&place, &servers, query);
        assert_eq!(far, local, "{query}");
        assert!(told.contains("were aggregated by the cluster"), "{query}: {told}");
    }
    let stays = [
        ("SELECT label FROM 'digits/hive' ORDER BY label, epoch LIMIT 3", "not aggregated"),
        ("SELECT avg(label), nc1_cdnv(feature, label) FROM 'digits/hive' WHERE layer = 'h3'", "avg"),
    ];
    for (query, reason) in stays {
        let (local, far, told) = both(&place, &servers, query);
        assert_eq!(far, local, "{query}");
        assert!(told.contains("is read by this process") && told.contains(reason), "{query}: {told}");
    }
}

#[test]
fn settings_decide_the_rows_that_a_cluster_takes() {
    let place = Place::new();
    place.write("in/a.parquet", 3, 400, 4, 50);
    let with_nan = crate::faults::vectors([vec![f32::NAN; 4], vec![1.0; 396]].concat(), 4);
    place.write_columns("in/b.parquet", &[("feature", with_nan), ("label", crate::faults::ints(vec![1; 100]))], 50);
    let servers = Servers::start(&place, 2);
    let query = "SELECT nc1_cdnv(feature, label), count(*) FROM 'in'";
    let (local, far, _) = both(&place, &servers, &format!("SET nc.nonfinite = 'skip'; {query}"));
    assert_eq!(far, local);
    // Without it the row is an error, as it is on one machine.
    let mut command = place.command(&["sql", "-c", query, "--cluster", &servers.address, "--task-size=1kB"]);
    let output = wait(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let text = said(&output);
    assert_eq!(output.status.code(), Some(65), "{text}");
    assert!(text.contains("feature is not finite") && text.contains("executor 127.0.0.1:"), "{text}");
}
