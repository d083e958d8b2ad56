//! Heat maps: a row for each name, a column for each step.

use std::fmt::Write as _;

use super::axis::{Axis, Scale};
use super::{Anchor, Drawing, px, ramp, shortened};
use crate::report::text::significant;

/// Colours of the scale.
const LEVELS: usize = 16;
/// Cells of a larger map have no tooltips.
const MOST_TITLES: usize = 400;

const WIDTH: f64 = 640.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 34.0;

/// A figure of one metric, `rows × columns`.
#[derive(Clone, Debug)]
pub(crate) struct HeatMap {
    pub(crate) title: String,
    pub(crate) rows: Vec<String>,
    /// The name of what the columns count.
    pub(crate) steps: String,
    pub(crate) columns: Vec<String>,
    /// By rows.
    pub(crate) values: Vec<Option<f64>>,
}

impl HeatMap {
    /// The figure; `None` if there is no finite value.
    pub(crate) fn draw(&self) -> Option<String> {
        let finite = self.values.iter().flatten().copied().filter(|value| value.is_finite());
        finite.clone().next()?;
        let scale = Axis::of_values(finite.clone(), 0.0, 1.0);
        let height = (320.0 / self.rows.len() as f64).clamp(6.0, 22.0);
        let width = (RIGHT - LEFT) / self.columns.len() as f64;
        let bottom = TOP + height * self.rows.len() as f64;
        let mut drawing = Drawing::new(WIDTH, bottom + 44.0, &self.title);
        drawing.text("name", (LEFT, 18.0), Anchor::Start, &self.title);
        let every = (12.0 / height).ceil() as usize;
        for (row, name) in self.rows.iter().enumerate().step_by(every) {
            let middle = TOP + height * (row as f64 + 0.5) + 4.0;
            drawing.text("", (LEFT - 8.0, middle), Anchor::End, &shortened(name, 20));
        }
        let level = |value: f64| ((scale.at(value) * LEVELS as f64) as usize).min(LEVELS - 1);
        let colour = |level: usize| ramp(level as f64 / (LEVELS - 1) as f64);
        let corner = |row: usize, column: usize| (LEFT + width * column as f64, TOP + height * row as f64);
        let cells = self.values.iter().enumerate().filter_map(|(at, value)| {
            let value = value.filter(|value| value.is_finite())?;
            Some((at / self.columns.len(), at % self.columns.len(), value))
        });
        if self.values.len() <= MOST_TITLES {
            for (row, column, value) in cells {
                let (x, y) = corner(row, column);
                let (x, y, width, height) = (px(x), px(y), px(width), px(height));
                let fill = colour(level(value));
                let attributes = format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"");
                let name = format!("{} {} {}: {value:.4e}", self.rows[row], self.steps, self.columns[column]);
                drawing.titled("rect", &attributes, name.trim());
            }
        } else {
            let mut paths = vec![String::new(); LEVELS];
            for (row, column, value) in cells {
                let (x, y) = corner(row, column);
                let (x, y, width, height) = (px(x), px(y), px(width), px(height));
                // Writing to a string cannot fail.
                let _ = write!(paths[level(value)], "M{x} {y}h{width}v{height}h-{width}");
            }
            for (at, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
                drawing.push(&format!("<path fill=\"{}\" d=\"{path}\"/>\n", colour(at)));
            }
        }
        let every = self.columns.len().div_ceil(10).max(1);
        for (at, name) in self.columns.iter().enumerate().step_by(every) {
            let x = LEFT + width * (at as f64 + 0.5);
            drawing.text("", (x, bottom + 16.0), Anchor::Middle, &shortened(name, 8));
        }
        drawing.text("", (f64::midpoint(LEFT, RIGHT), bottom + 34.0), Anchor::Middle, &self.steps);
        self.key(&mut drawing, &scale, bottom, colour);
        Some(drawing.finish())
    }

    /// The scale of colours, with its ends.
    fn key(&self, drawing: &mut Drawing, scale: &Axis, bottom: f64, colour: impl Fn(usize) -> String) {
        let (x, width) = (RIGHT + 14.0, 12.0);
        let height = (bottom - TOP).min(160.0) / LEVELS as f64;
        for at in 0..LEVELS {
            let y = TOP + height * (LEVELS - 1 - at) as f64;
            let (x, y, width, height, fill) = (px(x), px(y), px(width), px(height + 0.5), colour(at));
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
}
