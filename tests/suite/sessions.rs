//! What README shows is what happens.

#[test]
#[cfg_attr(not(feature = "sql"), ignore = "README shows queries too")]
fn readme() {
    // The sessions write there, wherever this build does.
    std::fs::create_dir_all("target").unwrap();
    trycmd::TestCases::new().case("README.md");
}
