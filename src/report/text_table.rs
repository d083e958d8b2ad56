//! Tables for reading: columns of text, and how they are split into blocks.

use super::records::{self, Cells, Records};
use super::text::{NOTHING, grouped, significant, with_error};
use crate::archive::escaped;
use crate::metrics::Measured;

/// A table: columns that identify a row, columns of numbers, and columns at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct TextTable {
    /// Its title, if it needs one.
    pub(super) title: Option<String>,
    /// At the left of every block.
    pub(super) keys: Vec<TextColumn>,
    /// Numbers, which may be split into blocks.
    pub(super) body: Vec<TextColumn>,
    /// At the right of the first block.
    pub(super) tail: Vec<TextColumn>,
    /// Rows with a gap before them.
    pub(super) gaps: Vec<usize>,
    /// Rows below the others.
    pub(super) trends: Vec<Trend>,
    /// Whether names at the left may be shortened where they leave little room.
    pub(super) short_keys: bool,
    /// Whether columns of a section have one space between them, and sections two.
    pub(super) close: bool,
}

/// How the numbers of a series of rows develop: a row of pictures, one below each column of the body.
#[derive(Clone, Debug)]
pub(super) struct Trend {
    /// A cell for each of the first columns that identify a row.
    pub(super) keys: Vec<String>,
    pub(super) body: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct TextColumn {
    /// One line, or several.
    pub(super) head: String,
    pub(super) cells: Vec<String>,
    pub(super) align: Align,
    /// Columns of one section stay together if possible.
    pub(super) section: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    /// At the decimal point.
    Point,
}

impl TextColumn {
    /// A column of names.
    pub(super) fn names(head: &str, cells: Vec<String>) -> Self {
        Self { head: head.to_owned(), cells, align: Align::Left, section: 0 }
    }

    /// A column of counts, their digits grouped by three.
    pub(super) fn counts(head: &str, counts: impl Iterator<Item = u64>) -> Self {
        Self {
            head: head.to_owned(),
            cells: counts.map(|count| grouped(&count)).collect(),
            align: Align::Right,
            section: 0,
        }
    }

    /// A column of numbers with a few digits.
    pub(super) fn numbers(head: String, numbers: impl Iterator<Item = Option<f64>>) -> Self {
        let cells = numbers.map(|number| number.map_or_else(|| NOTHING.to_owned(), significant)).collect();
        Self { head, cells, align: Align::Point, section: 0 }
    }

    /// A column of a metric of several groups, each with its standard error if it has one.
    pub(super) fn metrics<'a>(head: String, metrics: impl Iterator<Item = Option<&'a Measured>>) -> Self {
        let cell = |metric: Option<&Measured>| match metric.and_then(|metric| Some((metric.value?, metric.bar()))) {
            None => NOTHING.to_owned(),
            Some((value, None)) => significant(value),
            Some((value, Some(bar))) => with_error(value, bar.se),
        };
        Self { head, cells: metrics.map(cell).collect(), align: Align::Point, section: 0 }
    }

    /// A column of records: the digits of counts are grouped by three, labels are not changed.
    pub(super) fn of_record(column: &records::RecordColumn) -> Self {
        fn all<T>(cells: &[Option<T>], text: impl Fn(&T) -> String) -> Vec<String> {
            cells.iter().map(|cell| cell.as_ref().map_or_else(|| NOTHING.to_owned(), &text)).collect()
        }
        let count = |value: &i64| if column.is_label { value.to_string() } else { grouped(value) };
        let (cells, align) = match &column.cells {
            Cells::Bool(cells) => (all(cells, ToString::to_string), Align::Left),
            Cells::Int(cells) => (all(cells, count), Align::Right),
            Cells::Unsigned(cells) => (all(cells, ToString::to_string), Align::Right),
            Cells::Float(cells) => (all(cells, |&value| significant(value)), Align::Point),
            Cells::Text(cells) => (all(cells, |text| escaped(text)), Align::Left),
            Cells::Json(cells) => (cells.iter().map(|value| escaped(&value.to_string())).collect(), Align::Left),
        };
        Self { head: escaped(&column.name), cells, align, section: 0 }
    }

    /// The lines of the head.
    pub(super) fn head_lines(&self) -> usize {
        self.head.split('\n').count()
    }

    /// A head of so many lines, the upper ones empty if it has fewer.
    pub(super) fn deep_head(&self, lines: usize) -> String {
        "\n".repeat(lines.saturating_sub(self.head_lines())) + &self.head
    }

    /// The lines of a head of `head_lines` lines and the cells, padded to one width; assumes that every character is one
    /// column wide.
    pub(super) fn padded(&self, head_lines: usize) -> Vec<String> {
        let places = |text: &str| text.find(['.', 'e']).unwrap_or_else(|| text.chars().count());
        let most = self.cells.iter().map(|cell| places(cell)).max().unwrap_or(0);
        let mut lines: Vec<String> = self.deep_head(head_lines).split('\n').map(str::to_owned).collect();
        lines.extend(self.cells.iter().map(|cell| match self.align {
            Align::Point => format!("{}{cell}", " ".repeat(most - places(cell))),
            Align::Left | Align::Right => cell.clone(),
        }));
        let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let pad = |line: String| match self.align {
            Align::Right => format!("{line:>width$}"),
            Align::Left | Align::Point => format!("{line:<width$}"),
        };
        lines.into_iter().map(pad).collect()
    }
}

impl TextTable {
    /// One record per row.
    pub(super) fn of_records(records: &Records) -> Self {
        let mut table = Self::default();
        for (at, column) in records.columns.iter().enumerate() {
            let place = match () {
                () if at < records.keys => &mut table.keys,
                () if column.is_label => &mut table.tail,
                () => &mut table.body,
            };
            place.push(TextColumn::of_record(column));
        }
        table
    }

    /// Columns in their order. The columns before the first floating-point number identify the row, as far as they leave
    /// half of the width to the others.
    pub(super) fn of_answer(records: &Records, width: Option<usize>) -> Self {
        let mut columns: Vec<TextColumn> = records.columns.iter().map(TextColumn::of_record).collect();
        let names = records.columns.iter().take_while(|column| !column.cells.are_floats()).count();
        let mut room = width.map_or(usize::MAX, |width| width / 2);
        let fits = |column: &&TextColumn| {
            let taken = column.padded(1).first().map_or(0, |head| head.chars().count() + 3);
            let left = room.checked_sub(taken);
            room = left.unwrap_or(0);
            left.is_some()
        };
        let keys = columns[..names].iter().take_while(fits).count();
        let body = columns.split_off(keys);
        Self { keys: columns, body, ..Self::default() }
    }

    /// What stands between a column of the body and the one before it.
    pub(super) fn gap(&self, at: usize) -> &'static str {
        let is_close = self.close && at > 0 && self.body[at].section == self.body[at - 1].section;
        if is_close { " " } else { "  " }
    }

    /// Splits `body` into blocks. Columns of `widths[i]` characters, with their gaps between them, stay within `room`
    /// characters if possible, less `tail` in the first block. Blocks end between sections rather than within one.
    pub(super) fn blocks(&self, widths: &[usize], room: usize, tail: usize) -> Vec<std::ops::Range<usize>> {
        let total = |range: std::ops::Range<usize>| {
            let gaps = range.clone().skip(1).map(|at| self.gap(at).len()).sum::<usize>();
            widths[range].iter().sum::<usize>() + gaps
        };
        let mut blocks: Vec<std::ops::Range<usize>> = Vec::new();
        let mut start = 0;
        let mut end = 0;
        while end < self.body.len() {
            let room = if blocks.is_empty() { room.saturating_sub(tail) } else { room };
            let section = self.body[end].section;
            let next = self.body[end..].iter().position(|column| column.section != section);
            let next = next.map_or(self.body.len(), |length| end + length);
            if total(start..next) <= room {
                end = next;
            } else if end > start {
                blocks.push(start..end);
                start = end;
            } else {
                // The section is too wide for one block.
                end = (start + 1..next).take_while(|&end| total(start..end + 1) <= room).last().unwrap_or(start) + 1;
                blocks.push(start..end);
                start = end;
            }
        }
        if start < end || blocks.is_empty() {
            blocks.push(start..end);
        }
        blocks
    }
}
