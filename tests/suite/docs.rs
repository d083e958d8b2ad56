//! The tables of `docs/metrics.md` are those that the catalogue makes.
//!
//! `DOCS=overwrite cargo test --test suite docs::` writes them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nckit::metrics::{
    Card, Direction, Family, Need, Remark, cards, common_flags, error_bar_reasons, flags, group_flags, papers, reasons,
};

const START: &str = "<!-- table: ";
const END: &str = "<!-- end -->\n";

/// A table of Markdown; `|` inside of a cell is escaped.
fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        writeln!(text, "| {} |", cells.join(" | ")).unwrap();
    }
    text
}

fn code(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// What the metrics of a family are, and below that what they need and when they are null, each row once for all metrics
/// that share it.
fn family(family: Family) -> String {
    let cards: Vec<&Card> = cards().iter().filter(|card| card.family == family).collect();
    let values: Vec<Vec<String>> = cards
        .iter()
        .map(|card| {
            let direction = match card.direction {
                Direction::Lower => "lower",
                Direction::Higher => "higher",
                Direction::None => "—",
            };
            let cells =
                [card.summary, &card.range.to_string(), direction, card.ideal, card.unit].map(ToString::to_string);
            [format!("`{}`", card.key)].into_iter().chain(cells).collect()
        })
        .collect();
    let mut shared: Vec<(Vec<&str>, Vec<String>)> = Vec::new();
    for card in cards {
        let needs: Vec<&str> = card.needs.iter().map(|&need: &Need| need.text()).collect();
        let nulls: Vec<&str> = card.nulls.iter().copied().filter(|&reason| reason != "no_rows").collect();
        let by_name = if card.by_name_only { "only if asked for by its key" } else { "" };
        let needs: Vec<&str> = needs.into_iter().chain([by_name]).filter(|text| !text.is_empty()).collect();
        let error_bar = card.no_error_bar().map_or("yes".to_owned(), |reason| code(&[reason]));
        let cells = vec![needs.join("; "), code(&nulls), code(card.flags), error_bar, card.source.name.to_owned()];
        match shared.iter_mut().find(|(_, other)| *other == cells) {
            Some((keys, _)) => keys.push(card.key),
            None => shared.push((vec![card.key], cells)),
        }
    }
    let shared: Vec<Vec<String>> =
        shared.into_iter().map(|(keys, cells)| [code(&keys)].into_iter().chain(cells).collect()).collect();
    let values = table(&["metric", "formula and meaning", "range", "more collapsed", "at collapse", "unit"], &values);
    format!("{values}\n{}", table(&["metrics", "needs", "null for", "remarks", "error bar", "paper"], &shared))
}

fn remarks(remarks: &[Remark]) -> String {
    let row = |remark: &Remark| vec![format!("`{}`", remark.word), remark.meaning.to_owned()];
    table(&["word", "meaning"], &remarks.iter().map(row).collect::<Vec<_>>())
}

/// The table of that name.
fn made(name: &str) -> String {
    match name {
        "reasons" => remarks(reasons()),
        "flags" => remarks(flags()),
        "error_bar_reasons" => remarks(error_bar_reasons()),
        "common_flags" => remarks(common_flags()),
        "group_flags" => remarks(group_flags()),
        "papers" => {
            let mut text = String::new();
            for paper in papers() {
                writeln!(text, "- **{}**: {}", paper.name, paper.reference).unwrap();
            }
            text
        }
        name => family(Family::ALL.into_iter().find(|family| family.name() == name).expect(name)),
    }
}

/// The page with all its tables made anew, and their names.
fn filled(page: &str) -> (String, Vec<String>) {
    let mut parts = page.split(START);
    let mut text = parts.next().unwrap().to_owned();
    let mut names = Vec::new();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").expect("a table has a name");
        let (_, rest) = rest.split_once(END).expect("a table has an end");
        write!(text, "{START}{name} -->\n{}{END}{rest}", made(name)).unwrap();
        names.push(name.to_owned());
    }
    (text, names)
}

/// Fails if a generated page is not what is made now; `DOCS=overwrite` writes it.
pub(crate) fn hold(path: &Path, made: &str) {
    if std::env::var("DOCS").is_ok_and(|value| value == "overwrite") {
        return fs::write(path, made).unwrap();
    }
    let page = fs::read_to_string(path).unwrap_or_default();
    let differs = page.lines().zip(made.lines()).find(|(found, expected)| found != expected);
    let path = path.display();
    assert!(page == made, "{path} is out of date; DOCS=overwrite writes it. First difference: {differs:#?}");
}

#[test]
fn the_page_of_metrics_is_what_the_catalogue_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let (made, names) = filled(&page);
    for family in Family::ALL {
        assert!(names.iter().any(|name| name == family.name()), "docs/metrics.md has no table of {}", family.name());
    }
    hold(&path, &made);
}
