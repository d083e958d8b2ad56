//! What README shows is what happens.

#[test]
fn readme() {
    // The sessions write there, wherever this build does.
    std::fs::create_dir_all("target").unwrap();
    trycmd::TestCases::new().case("README.md");
}
