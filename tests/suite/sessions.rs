//! What README and the pages show is what happens.

/// Pages whose sessions are run. They run side by side.
const PAGES: [&str; 8] = [
    "README.md",
    "docs/compare.md",
    "docs/error-bars.md",
    "docs/heads.md",
    "docs/inputs.md",
    "docs/many-classes.md",
    "docs/sql.md",
    "docs/states.md",
];

#[test]
#[cfg_attr(not(feature = "sql"), ignore = "README shows queries too")]
fn readme_and_pages() {
    // The sessions write there, wherever this build does.
    std::fs::create_dir_all("target").unwrap();
    let cases = trycmd::TestCases::new();
    for page in PAGES {
        cases.case(page);
    }
}

#[test]
fn no_two_pages_write_the_same_file() {
    let mut writers = std::collections::BTreeMap::new();
    for page in PAGES {
        let text = std::fs::read_to_string(page).unwrap();
        let commands = text.lines().filter(|line| line.starts_with("$ "));
        let words = commands.flat_map(|line| line.split_whitespace()).map(|word| word.trim_matches('\''));
        for word in words.filter(|word| word.starts_with("target/")) {
            let file = word.split('?').next().unwrap();
            let first = *writers.entry(file.to_owned()).or_insert(page);
            assert_eq!(first, page, "{file}");
        }
    }
    assert!(writers.len() > 10, "{writers:?}");
}
