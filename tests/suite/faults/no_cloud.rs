//! A program without the feature `cloud`.

use super::Place;

#[cfg(not(feature = "cloud"))]
#[test]
fn fault_60_without_the_feature_every_address_is_refused() {
    let place = Place::new();
    place.archive(1, 1);
    for arguments in [
        &["measure", "s3://b/x.parquet"][..],
        &["measure", "https://h/x.parquet"],
        &["inspect", "gs://b/*.parquet"],
        &["finish", "az://b/x.ncst"],
        &["accumulate", "in", "-o", "s3://b/x.ncst"],
        &["measure", "in", "-o", "s3://b/x.csv"],
        &["measure", "in", "--head", "s3://b/x.npy"],
    ] {
        let told = place.fail(2, arguments);
        assert!(told.contains("without the feature `cloud`") && told.contains("--features cloud"), "{told}");
    }
}

#[cfg(feature = "cloud")]
#[test]
fn fault_60_of_other_schemes_it_is_said_how_to_fetch_them() {
    let place = Place::new();
    let told = place.fail(2, &["measure", "hf://datasets/user/set/train"]);
    assert!(told.contains("hf download user/set"), "{told}");
}
