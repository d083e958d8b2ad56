//! GitHub's tables.

use super::Report;
use super::page::Page;
use super::records::Records;
use super::sheet::{Align, Column, Sheet};

/// The whole report.
pub(super) fn report(report: &Report) -> String {
    let page = Page::of(report);
    let mut parts: Vec<String> = page.title.iter().map(|title| format!("{}\n", cell(title))).collect();
    parts.extend(page.sheets.iter().map(sheet));
    if !page.notes.is_empty() {
        parts.push(page.notes.iter().map(|note| format!("- {}\n", cell(&note.text))).collect());
    }
    parts.join("\n")
}

/// A record a line.
pub(super) fn records(records: &Records) -> String {
    sheet(&Sheet::of_records(records))
}

fn sheet(sheet: &Sheet) -> String {
    let columns = sheet.keys.iter().chain(&sheet.body).chain(&sheet.tail).collect::<Vec<_>>();
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        format!("|{}\n", cells.map(|text| format!(" {} |", cell(text))).collect::<String>())
    };
    let rule = |column: &&Column| if column.align == Align::Left { " --- |" } else { " ---: |" };
    let mut text = sheet.title.iter().map(|title| format!("{}\n\n", cell(title))).collect::<String>();
    text += &line(&mut columns.iter().map(|column| column.head.as_str()));
    text += &format!("|{}\n", columns.iter().map(rule).collect::<String>());
    for row in 0..rows {
        text += &line(&mut columns.iter().map(|column| column.cells[row].as_str()));
    }
    text
}

/// Text that is no markup: names of classes and groups may hold anything.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // An underscore or asterisk inside a word, as in a metric's key, marks up nothing.
        if matches!(c, '\\' | '|' | '<' | '`' | '*' | '[' | '&') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
