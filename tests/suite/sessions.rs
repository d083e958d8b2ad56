//! What README shows is what happens.

#[test]
fn readme() {
    trycmd::TestCases::new().case("README.md");
}
