//! Heat maps: a row for each name, a column for each step.

use std::fmt::Write as _;

use super::axis::{Axis, Scale};
use super::{Anchor, Drawing, elided, px, ramp};
use crate::report::text::significant;

/// Colours of the scale.
const LEVELS: usize = 16;
/// Cells of a larger map have no tooltips.
const MOST_TITLES: usize = 400;

const WIDTH: f64 = 640.0;
const LEFT: f64 = 150.0;
/// The right end of maps over steps; others are square.
const RIGHT: f64 = 544.0;
const SIDE: f64 = 384.0;
const LARGEST_CELL: f64 = 48.0;
const TOP: f64 = 34.0;

/// What the columns of a map are.
#[derive(Clone, Debug)]
pub(crate) enum Columns {
    /// Steps, with the name of what they count.
    Steps(String, Vec<String>),
    /// What the rows are, in the same order; the scale of such a map is never logarithmic.
    Rows,
}

/// A figure of one metric, `rows × columns`.
#[derive(Clone, Debug)]
pub(crate) struct HeatMap {
    pub(crate) title: String,
    pub(crate) rows: Vec<String>,
    pub(crate) columns: Columns,
    /// By rows.
    pub(crate) values: Vec<Option<f64>>,
    /// Whether great values are dark, and not small ones.
    pub(crate) great_is_dark: bool,
}

impl HeatMap {
    /// The figure; `None` if there is no finite value.
    pub(crate) fn draw(&self) -> Option<String> {
        let finite = self.values.iter().flatten().copied().filter(|value| value.is_finite());
        let (low, high) = finite.clone().map(|value| (value, value)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        let scale = match self.columns {
            Columns::Steps(..) => Axis::of_values(finite, 0.0, 1.0),
            // One value alone has no span.
            Columns::Rows => Axis::between(low, if high > low { high } else { low + 1.0 }, 0.0, 1.0),
        };
        let rows = self.rows.len() as f64;
        let (across, width, height) = match &self.columns {
            Columns::Steps(_, columns) => {
                (columns.len(), (RIGHT - LEFT) / columns.len() as f64, (320.0 / rows).clamp(6.0, 22.0))
            }
            Columns::Rows => {
                let side = (SIDE / rows).min(LARGEST_CELL);
                (self.rows.len(), side, side)
            }
        };
        let right = LEFT + width * across as f64;
        let bottom = TOP + height * self.rows.len() as f64;
        let below = if matches!(self.columns, Columns::Rows) { 26.0 } else { 44.0 };
        let mut drawing = Drawing::new(WIDTH, bottom + below, &self.title);
        drawing.title((LEFT, WIDTH), &self.title);
        let every = (12.0 / height).ceil() as usize;
        for (row, name) in elided(&self.rows, 18).iter().enumerate().step_by(every) {
            let middle = TOP + height * (row as f64 + 0.5) + 4.0;
            drawing.text("", (LEFT - 8.0, middle), Anchor::End, name);
        }
        self.cells(&mut drawing, across, (width, height), &scale);
        let middle = f64::midpoint(LEFT, right);
        match &self.columns {
            Columns::Steps(steps, columns) => {
                let every = columns.len().div_ceil(10).max(1);
                for (at, name) in elided(columns, 8).iter().enumerate().step_by(every) {
                    let x = LEFT + width * (at as f64 + 0.5);
                    drawing.text("", (x, bottom + 16.0), Anchor::Middle, name);
                }
                drawing.text("", (middle, bottom + 34.0), Anchor::Middle, steps);
            }
            Columns::Rows => {
                drawing.text("", (middle, bottom + 16.0), Anchor::Middle, "classes in the same order");
            }
        }
        self.key(&mut drawing, &scale, (right, bottom));
        Some(drawing.finish())
    }

    /// The cells, `across` of them in a row: each with its tooltip if they are few.
    fn cells(&self, drawing: &mut Drawing, across: usize, (width, height): (f64, f64), scale: &Axis) {
        let level = |value: f64| ((scale.at(value) * LEVELS as f64) as usize).min(LEVELS - 1);
        let cell = |at: usize| self.values[at].filter(|value| value.is_finite());
        if self.values.len() <= MOST_TITLES {
            for (at, value) in (0..self.values.len()).filter_map(|at| Some((at, cell(at)?))) {
                let (row, column) = (at / across, at % across);
                let (x, y) = (px(LEFT + width * column as f64), px(TOP + height * row as f64));
                let (width, height, fill) = (px(width), px(height), self.colour(level(value)));
                let attributes = format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"");
                let name = match &self.columns {
                    Columns::Steps(steps, columns) => format!("{} {steps} {}", self.rows[row], columns[column]),
                    Columns::Rows => format!("{} and {}", self.rows[row], self.rows[column]),
                };
                drawing.titled("rect", &attributes, &format!("{}: {value:.4e}", name.trim()));
            }
            return;
        }
        // In units of a cell, and neighbours of one colour together.
        let mut paths = vec![String::new(); LEVELS];
        for row in 0..self.rows.len() {
            let levels: Vec<Option<usize>> = (row * across..(row + 1) * across).map(|at| cell(at).map(level)).collect();
            let mut column = 0;
            for run in levels.chunk_by(|a, b| a == b) {
                if let Some(level) = run[0] {
                    // Writing to a string cannot fail.
                    let _ = write!(paths[level], "M{column} {row}h{0}v1h-{0}", run.len());
                }
                column += run.len();
            }
        }
        let (width, height) = (width as f32, height as f32);
        drawing.push(&format!(
            "<g transform=\"translate({LEFT} {TOP}) scale({width} {height})\" shape-rendering=\"crispEdges\">\n"
        ));
        for (at, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            drawing.push(&format!("<path fill=\"{}\" d=\"{path}\"/>\n", self.colour(at)));
        }
        drawing.push("</g>\n");
    }

    /// The scale of colours, with its ends.
    fn key(&self, drawing: &mut Drawing, scale: &Axis, (right, bottom): (f64, f64)) {
        let (x, width) = (right + 14.0, 12.0);
        let height = (bottom - TOP).min(160.0) / LEVELS as f64;
        for at in 0..LEVELS {
            let y = TOP + height * (LEVELS - 1 - at) as f64;
            let (x, y, width, height, fill) = (px(x), px(y), px(width), px(height + 0.5), self.colour(at));
            drawing
                .push(&format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>\n"));
        }
        let finite = self.values.iter().flatten().copied().filter(|value| value.is_finite());
        let ends =
            finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let x = x + width + 4.0;
        drawing.text("", (x, TOP + 8.0), Anchor::Start, &significant(ends.1));
        drawing.text("", (x, TOP + height * LEVELS as f64), Anchor::Start, &significant(ends.0));
        if scale.scale == Scale::Logarithmic {
            drawing.text("", (x, TOP + height * LEVELS as f64 / 2.0 + 4.0), Anchor::Start, "log");
        }
    }

    /// The colour of a level.
    fn colour(&self, level: usize) -> String {
        let share = level as f64 / (LEVELS - 1) as f64;
        ramp(if self.great_is_dark { 1.0 - share } else { share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: usize, values: Vec<Option<f64>>, columns: Columns) -> Option<String> {
        let rows = (0..rows).map(|row| format!("r{row}")).collect();
        HeatMap { title: "t".to_owned(), rows, columns, values, great_is_dark: false }.draw()
    }

    #[test]
    fn a_cell_for_each_value() {
        let steps = || Columns::Steps("epoch".to_owned(), vec!["0".to_owned(), "9".to_owned()]);
        let map = of(2, vec![Some(1.0), Some(2.0), None, Some(4.0)], steps()).unwrap();
        assert_eq!(map.matches("<title>").count(), 3);
        assert!(map.contains("<title>r1 epoch 9: 4.0000e0</title>"), "{map}");
        assert_eq!(of(1, vec![None, Some(f64::NAN)], steps()), None);
    }

    #[test]
    fn small_values_or_great_ones_are_dark() {
        let fill_of_least = |great_is_dark| {
            let map = HeatMap {
                title: "t".to_owned(),
                rows: vec!["r".to_owned()],
                columns: Columns::Steps("epoch".to_owned(), vec!["0".to_owned(), "9".to_owned()]),
                values: vec![Some(1.0), Some(1000.0)],
                great_is_dark,
            };
            let svg = map.draw().unwrap();
            let cell = svg.split("<rect").find(|cell| cell.contains("epoch 0:")).unwrap().to_owned();
            cell.split("fill=\"").nth(1).unwrap()[..7].to_owned()
        };
        assert_eq!((fill_of_least(false), fill_of_least(true)), (ramp(0.0), ramp(1.0)));
    }

    #[test]
    fn many_cells_are_few_elements_and_miss_none() {
        let count = 40;
        let values = (0..count * count).map(|at| (at % 41 != 0).then_some((at / 3 % 7) as f64)).collect();
        let map = of(count, values, Columns::Rows).unwrap();
        let cells = map.split("fill=\"").filter_map(|part| part.split(" d=\"").nth(1));
        let runs = cells.flat_map(|path| path.split('M').skip(1)).map(|run| {
            let width = run.split('h').nth(1).unwrap().split('v').next().unwrap();
            width.parse::<usize>().unwrap()
        });
        assert_eq!(runs.sum::<usize>(), count * count - 39 - 1);
        assert!(map.len() < 40_000, "{}", map.len());
    }
}
