//! GitHub's tables.

use super::Report;
use super::layout::Layout;
use super::records::Records;
use super::text_table::{Align, TextTable};

/// The whole report.
pub(super) fn report(report: &Report) -> String {
    layout(&Layout::of(report))
}

/// Tables with notes below them.
pub(super) fn layout(layout: &Layout) -> String {
    let mut parts: Vec<String> = layout.title.iter().map(|title| format!("{}\n", cell(title))).collect();
    parts.extend(layout.tables.iter().map(table));
    if !layout.notes.is_empty() {
        let notes = layout.notes.iter().map(|note| format!("- {}", cell(&note.text)));
        parts.push(notes.collect::<Vec<_>>().join("\n") + "\n");
    }
    parts.join("\n")
}

/// One record per line.
pub(super) fn records(records: &Records) -> String {
    table(&TextTable::of_records(records))
}

/// The rows of an answer.
pub(super) fn answer(records: &Records) -> String {
    table(&TextTable::of_answer(records, None))
}

fn table(table: &TextTable) -> String {
    let columns = table.keys.iter().chain(&table.body).chain(&table.tail).collect::<Vec<_>>();
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let line = |cells: &[&str]| {
        let cells = cells.iter().map(|text| cell(text)).collect::<Vec<_>>();
        format!("| {} |\n", cells.join(" | "))
    };
    let rules = columns.iter().map(|column| if column.align == Align::Left { "---" } else { "---:" });
    let heads = columns.iter().map(|column| column.head.as_str()).collect::<Vec<_>>();
    let mut lines = table.title.iter().map(|title| cell(title) + "\n\n").collect::<Vec<_>>();
    lines.extend([line(&heads), line(&rules.collect::<Vec<_>>())]);
    lines.extend(
        (0..rows).map(|row| line(&columns.iter().map(|column| column.cells[row].as_str()).collect::<Vec<_>>())),
    );
    lines.concat()
}

/// Escapes text, since names of classes and groups may hold markup.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Underscores occur in the keys of metrics; inside a word they are not markup.
        if matches!(c, '\\' | '|' | '<' | '`' | '*' | '[' | '&') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
