//! Tables for a terminal.

use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Row, Table, TableStyle};

use super::Report;
use super::format::Style;
use super::layout::Layout;
use super::records::Records;
use super::text::{Elision, elided, wrapped};
use super::text_table::{Align, TextColumn, TextTable, Trend};

/// A rule below the header, and lines between groups of columns.
const LINES: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction('│'))
    .header_separator(LineStyle::none().fill('─').junction('┼'))
    .content_lines(ContentLineStyle::none().junction('│'));

/// The width of notes if the width of the terminal is unknown.
const NOTE_WIDTH: usize = 100;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// The whole report.
pub(super) fn report(report: &Report, style: Style) -> String {
    layout(&if style.headline { Layout::headline(report) } else { Layout::of(report) }, style)
}

/// Tables with notes below them.
pub(super) fn layout(layout: &Layout, style: Style) -> String {
    let title = |title: &String| wrapped(title, style.width.unwrap_or(usize::MAX), [" ", "   "]);
    let mut parts: Vec<String> = layout.title.iter().map(title).collect();
    parts.extend(layout.tables.iter().map(|text_table| draw(text_table, style)));
    if !layout.notes.is_empty() {
        let notes = layout.notes.iter().map(|note| {
            let colour = if note.warning { YELLOW } else { DIM };
            painted(&wrapped(&note.text, style.width.unwrap_or(NOTE_WIDTH), [" ", "   "]), colour, style)
        });
        parts.push(notes.collect());
    }
    parts.join("\n")
}

/// One record per line.
pub(super) fn records(records: &Records, style: Style) -> String {
    draw(&TextTable::of_records(records), style)
}

/// The rows of an answer.
pub(super) fn answer(records: &Records, style: Style) -> String {
    draw(&TextTable::of_answer(records, style.width), style)
}

fn draw(text_table: &TextTable, style: Style) -> String {
    let all = || text_table.keys.iter().chain(&text_table.body).chain(&text_table.tail);
    let rows = all().map(|column| column.cells.len()).max().unwrap_or(0);
    let heads = all().map(TextColumn::head_lines).max().unwrap_or(1);
    let trends = &text_table.trends;
    let below = |columns: &[TextColumn], cell: fn(&Trend, usize) -> Option<&String>| -> Vec<TextColumn> {
        let extended = columns.iter().enumerate().map(|(at, column)| {
            let mut column = column.clone();
            column.head = column.deep_head(heads);
            column.cells.extend(trends.iter().map(|trend| cell(trend, at).cloned().unwrap_or_default()));
            column
        });
        extended.collect()
    };
    let mut keys = below(&text_table.keys, |trend, at| trend.keys.get(at));
    let mut whole_tail = below(&text_table.tail, |_, _| None);
    let mut body = text_table.body.iter().map(|column| column.padded(heads)).collect::<Vec<_>>();
    let widths = body.iter().map(|lines| lines[0].chars().count()).collect::<Vec<_>>();
    for (at, (lines, width)) in body.iter_mut().zip(&widths).enumerate() {
        lines.extend(trends.iter().map(|trend| format!("{:<width$}", trend.body[at])));
    }
    let rows = rows + trends.len();
    // A column has a space on either side, and a line divides two columns.
    let taken = |columns: &[TextColumn]| match columns {
        [] => 0,
        columns => 1 + width(&table(&columns.iter().collect::<Vec<_>>(), rows, &[]), heads),
    };
    let mut is_apart = false;
    if let Some(width) = style.width {
        let gaps: usize = (1..widths.len()).map(|at| text_table.gap(at).len()).sum();
        let (all, first) = (2 + gaps + widths.iter().sum::<usize>(), 2 + widths.first().copied().unwrap_or(0));
        let over = |keys: &[TextColumn], body: usize, tail: &[TextColumn]| {
            (taken(keys) + body + taken(tail)).saturating_sub(width)
        };
        if text_table.short_keys && over(&keys, all, &whole_tail) > 0 {
            let most = taken(&keys).saturating_sub(width / 2);
            let by = most.min(over(&keys, all, &whole_tail));
            shorten(&mut keys, by);
        }
        // Remarks stand beside all numbers, else beside the first of them, else by themselves.
        let spare = longest_text(&whole_tail).saturating_sub(LEAST);
        let ways = [all, first].map(|body| over(&keys, body, &whole_tail));
        let by = ways.into_iter().find(|&by| by <= spare);
        is_apart = by.is_none() && spare > 0;
        let by = by.unwrap_or_else(|| over(&keys, 0, &whole_tail).min(spare));
        wrap(&mut whole_tail, by);
    }
    let beside = if is_apart { &whole_tail[..0] } else { whole_tail.as_slice() };
    let room = style.width.map_or(usize::MAX, |width| width.saturating_sub(taken(&keys) + 2));
    let drawn = |columns: &[&TextColumn]| -> String {
        let text = table(columns, rows, &text_table.gaps).trim_fmt();
        let mut lines = text.lines();
        let head: String = lines.by_ref().take(heads).map(|line| painted(&format!("{line}\n"), BOLD, style)).collect();
        [head].into_iter().chain(lines.map(|line| format!("{line}\n"))).collect()
    };
    let mut blocks =
        text_table.title.iter().map(|title| painted(&format!(" {title}\n"), BOLD, style)).collect::<Vec<_>>();
    for (at, block) in text_table.blocks(&widths, room, taken(beside)).into_iter().enumerate() {
        let line = |line: usize| {
            let mut text = String::new();
            for (at, lines) in block.clone().zip(&body[block.clone()]) {
                text += if at > block.start { text_table.gap(at) } else { "" };
                text += &lines[line];
            }
            text
        };
        let head = (0..heads).map(line).collect::<Vec<_>>().join("\n");
        let middle = TextColumn::names(&head, (heads..heads + rows).map(line).collect());
        let tail = if at == 0 { beside } else { &[] };
        let middle = (!block.is_empty()).then_some(&middle);
        let columns = keys.iter().chain(middle).chain(tail).collect::<Vec<_>>();
        blocks.push(drawn(&columns));
    }
    if is_apart {
        blocks.push(drawn(&keys.iter().chain(&whole_tail).collect::<Vec<_>>()));
    }
    match text_table.title {
        Some(_) => blocks.remove(0) + &blocks.join("\n"),
        None => blocks.join("\n"),
    }
}

/// The least characters that a column of names, or of remarks, keeps.
const LEAST: usize = 12;

/// Shortens names by so many characters in all, the longest first.
fn shorten(columns: &mut [TextColumn], by: usize) {
    let longest = |column: &TextColumn| match column.align {
        Align::Left => column.cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0),
        Align::Right | Align::Point => 0,
    };
    let mut most: Vec<usize> = columns.iter().map(longest).collect();
    for _ in 0..by {
        if let Some(widest) = most.iter_mut().max().filter(|widest| **widest > LEAST) {
            *widest -= 1;
        }
    }
    for (column, most) in columns.iter_mut().zip(most).filter(|(column, _)| column.align == Align::Left) {
        column.cells = elided(&column.cells, most, Elision::Middle);
    }
}

/// The length of the longest remark.
fn longest_text(columns: &[TextColumn]) -> usize {
    let texts = columns.iter().filter(|column| column.align == Align::Left);
    texts.flat_map(|column| &column.cells).map(|cell| cell.chars().count()).max().unwrap_or(0)
}

/// Breaks the longest remarks into lines, by so many characters.
fn wrap(columns: &mut [TextColumn], by: usize) {
    let longest = |column: &TextColumn| longest_text(std::slice::from_ref(column));
    let Some(column) = columns.iter_mut().max_by_key(|column| longest(column)).filter(|_| by > 0) else { return };
    let most = longest(column).saturating_sub(by);
    for cell in &mut column.cells {
        let lines = wrapped(cell, most, ["", ""]);
        lines.trim_end().clone_into(cell);
    }
}

fn table(columns: &[&TextColumn], rows: usize, gaps: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(LINES).set_header(columns.iter().map(|column| column.head.as_str()));
    for row in 0..rows {
        if gaps.contains(&row) {
            table.add_row(columns.iter().map(|_| ""));
        }
        table.add_row(Row::from(columns.iter().map(|column| column.cells[row].as_str()).collect::<Vec<_>>()));
    }
    for (column, at) in columns.iter().zip(0..) {
        let alignment = if column.align == Align::Right { CellAlignment::Right } else { CellAlignment::Left };
        table.column_mut(at).into_iter().for_each(|column| {
            column.set_cell_alignment(alignment);
        });
    }
    table
}

/// The width of a table with so many lines of heads. Characters of its rule are one column wide, whatever the cells hold.
fn width(table: &Table, heads: usize) -> usize {
    table.lines().nth(heads).map_or(0, |rule| rule.chars().count())
}

/// Colours each line separately, so that colours end with their line in a pager that cuts lines.
fn painted(text: &str, colour: &str, style: Style) -> String {
    if !style.colour {
        return text.to_owned();
    }
    text.lines().flat_map(|line| [colour, line, RESET, "\n"]).collect()
}
