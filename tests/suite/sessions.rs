//! What README and the pages show is what happens.

#[test]
#[cfg_attr(not(feature = "sql"), ignore = "README shows queries too")]
fn readme_and_pages() {
    // The sessions write there, wherever this build does.
    std::fs::create_dir_all("target").unwrap();
    let cases = trycmd::TestCases::new();
    for page in [
        "README.md",
        "docs/compare.md",
        "docs/error-bars.md",
        "docs/heads.md",
        "docs/inputs.md",
        "docs/many-classes.md",
        "docs/sql.md",
        "docs/states.md",
    ] {
        cases.case(page);
    }
}
