//! Lines over steps, as of epochs, or points over names.

use super::axis::{Axis, Scale, label};
use super::{Anchor, Drawing, colour, elided, px, through};

/// More series than this become bands of quantiles.
const MOST_LINES: usize = 64;
/// More series than this have no error bars, which would hide each other.
const MOST_BARS: usize = 6;
/// More series than this have no legend of lines; their colours go from the first to the last.
const MOST_NAMES: usize = 24;

const WIDTH: f64 = 640.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 34.0;
const HEIGHT: f64 = 240.0;
/// The right end of the axis, with a legend beside it and without one.
const RIGHT: f64 = 484.0;
const FAR_RIGHT: f64 = 624.0;
const NAME: usize = 20;
/// The most characters of a turned name: the first one has no more room at its left.
const TURNED: usize = 14;

/// What lies on the horizontal axis.
#[derive(Clone, Debug)]
pub(crate) enum Horizontal {
    /// Numbers, with the name of what they count.
    Steps(String),
    /// Names, at 0, 1, ….
    Names(Vec<String>),
}

/// Values over steps, which ascend.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Option<f64>)>,
    /// The ends of the error bar of each point, where it has one.
    pub(crate) bars: Vec<Option<(f64, f64)>>,
}

/// A figure of one metric.
#[derive(Clone, Debug)]
pub(crate) struct LinePlot {
    pub(crate) title: String,
    pub(crate) horizontal: Horizontal,
    pub(crate) series: Vec<Series>,
    /// A bound that values cannot pass, where all have the same one.
    pub(crate) floor: Option<f64>,
}

impl Series {
    /// The error bars: a band along a line, and lines through single points.
    fn draw_bars(&self, drawing: &mut Drawing, x: &Axis, y: &Axis, colour: &str, is_line: bool) {
        let ends = self.points.iter().zip(&self.bars).filter_map(|(point, bar)| {
            let (lo, hi) = bar.filter(|&(lo, hi)| y.holds(lo) && y.holds(hi))?;
            Some((x.at(point.0), y.at(lo), y.at(hi)))
        });
        let ends: Vec<(f64, f64, f64)> = ends.collect();
        if !is_line {
            for &(x, lo, hi) in &ends {
                drawing.line("grid", (x, lo), (x, hi));
            }
        } else if ends.len() > 1 {
            let back = ends.iter().rev().map(|&(x, _, hi)| (x, hi));
            let path = through(ends.iter().map(|&(x, lo, _)| (x, lo)).chain(back).map(Some)) + "Z";
            let title = format!("{} 95 % interval", self.name);
            drawing.titled("path", &format!("class=\"band\" fill=\"{colour}\" d=\"{path}\""), title.trim());
        }
    }
}

impl LinePlot {
    /// The figure; `None` if there is no finite value.
    pub(crate) fn draw(&self) -> Option<String> {
        let values = self.series.iter().flat_map(|series| &series.points).filter_map(|point| point.1);
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        if values.is_empty() {
            return None;
        }
        if self.has_bars() {
            let ends = self.series.iter().flat_map(|series| series.bars.iter().flatten());
            values.extend(ends.flat_map(|&(lo, hi)| [lo, hi]).filter(|end| end.is_finite()));
        }
        let bottom = TOP + HEIGHT;
        let floor = self.floor.filter(|floor| floor.is_finite());
        let y = Axis::of_values(values.iter().copied(), bottom, TOP);
        let steps: Vec<f64> = self.series.iter().flat_map(|series| &series.points).map(|point| point.0).collect();
        let right = if self.series.len() > 1 { RIGHT } else { FAR_RIGHT };
        let x = Axis::of_steps(&steps, LEFT + 8.0, right - 8.0);
        let names_height = match &self.horizontal {
            Horizontal::Steps(_) => 44.0,
            // They are turned, and the longest takes most room.
            Horizontal::Names(names) => {
                28.0 + 4.4 * names.iter().map(|name| name.chars().count().min(TURNED)).max().unwrap_or(0) as f64
            }
        };
        let legend = 16.0 * self.series.len().min(MOST_NAMES) as f64;
        let mut drawing = Drawing::new(WIDTH, (bottom + names_height).max(TOP + legend + 8.0), &self.title);
        drawing.title((LEFT, WIDTH), &self.title);
        for tick in y.ticks(5) {
            let at = y.at(tick);
            drawing.line("grid", (LEFT, at), (right, at));
            drawing.text("", (LEFT - 8.0, at + 4.0), Anchor::End, &label(tick));
        }
        if let Some(floor) = floor.filter(|&floor| y.holds(floor)) {
            drawing.line("limit", (LEFT, y.at(floor)), (right, y.at(floor)));
        }
        self.horizontal_axis(&mut drawing, &x, &steps, (right, bottom));
        if self.series.len() > MOST_LINES {
            self.bands(&mut drawing, &x, &y);
        } else {
            self.lines(&mut drawing, &x, &y);
        }
        Some(drawing.finish())
    }

    fn horizontal_axis(&self, drawing: &mut Drawing, x: &Axis, steps: &[f64], (right, bottom): (f64, f64)) {
        drawing.line("grid", (LEFT, bottom), (right, bottom));
        match &self.horizontal {
            Horizontal::Steps(name) => {
                let mut own = steps.to_vec();
                own.sort_by(f64::total_cmp);
                own.dedup();
                let apart = |pair: &[f64]| x.at(pair[1]) - x.at(pair[0]) > 34.0;
                let ticks = if own.len() <= 10 && own.windows(2).all(apart) { own } else { x.ticks(8) };
                for tick in ticks {
                    let at = x.at(tick);
                    drawing.line("grid", (at, bottom), (at, bottom + 4.0));
                    drawing.text("", (at, bottom + 18.0), Anchor::Middle, &label(tick));
                }
                let unit = if x.scale == Scale::Linear { "" } else { " (logarithmic)" };
                let middle = f64::midpoint(LEFT, right);
                drawing.text("", (middle, bottom + 36.0), Anchor::Middle, &format!("{name}{unit}"));
            }
            Horizontal::Names(names) => {
                let every = names.len().div_ceil(24).max(1);
                for (at, name) in elided(names, TURNED).iter().enumerate().step_by(every) {
                    let (at, y) = (px(x.at(at as f64)), px(bottom + 14.0));
                    let short = super::markup(name);
                    drawing.push(&format!(
                        "<text x=\"{at}\" y=\"{y}\" text-anchor=\"end\" transform=\"rotate(-40 {at} {y})\">{short}</text>\n"
                    ));
                }
            }
        }
    }

    fn has_bars(&self) -> bool {
        self.series.len() <= MOST_BARS
    }

    fn lines(&self, drawing: &mut Drawing, x: &Axis, y: &Axis) {
        let count = self.series.len();
        let place = |point: &(f64, Option<f64>)| {
            let value = point.1.filter(|&value| y.holds(value))?;
            Some((x.at(point.0), y.at(value)))
        };
        for (at, series) in self.series.iter().enumerate() {
            let colour = colour(at, count);
            let is_drawn_alone = matches!(self.horizontal, Horizontal::Names(_)) || series.points.len() == 1;
            if self.has_bars() {
                series.draw_bars(drawing, x, y, &colour, !is_drawn_alone);
            }
            if !is_drawn_alone {
                let path = through(series.points.iter().map(place));
                let attributes = format!("class=\"mark\" stroke=\"{colour}\" d=\"{path}\"");
                drawing.titled("path", &attributes, &series.name);
            }
            // Marks of many points would hide their line.
            if is_drawn_alone || series.points.len() <= 12 && count <= 8 {
                for (point, (cx, cy)) in series.points.iter().filter_map(|point| Some((point, place(point)?))) {
                    let name = match &self.horizontal {
                        Horizontal::Steps(name) => format!("{} {name} {}", series.name, label(point.0)),
                        Horizontal::Names(names) => names.get(point.0 as usize).cloned().unwrap_or_default(),
                    };
                    let title = format!("{}: {:.4e}", name.trim(), point.1.unwrap_or(f64::NAN));
                    let (cx, cy) = (px(cx), px(cy));
                    let attributes = format!("cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"");
                    drawing.titled("circle", &attributes, &title);
                }
            }
        }
        if count > 1 {
            self.legend(drawing);
        }
    }

    fn legend(&self, drawing: &mut Drawing) {
        let count = self.series.len();
        let every = count.div_ceil(MOST_NAMES);
        let names: Vec<String> = self.series.iter().map(|series| series.name.clone()).collect();
        let names = elided(&names, NAME - 2);
        for (row, at) in (0..count).step_by(every).enumerate() {
            let y = TOP + 16.0 * row as f64 + 4.0;
            let (x1, x2, y, colour) = (px(RIGHT + 10.0), px(RIGHT + 26.0), y, colour(at, count));
            let level = px(y);
            drawing.push(&format!(
                "<line x1=\"{x1}\" y1=\"{level}\" x2=\"{x2}\" y2=\"{level}\" stroke=\"{colour}\" stroke-width=\"3\"/>\n"
            ));
            drawing.text("", (RIGHT + 32.0, y + 4.0), Anchor::Start, &names[at]);
        }
    }

    /// The median of all series, between the quantiles of 10 and 90 % and the extremes.
    fn bands(&self, drawing: &mut Drawing, x: &Axis, y: &Axis) {
        let mut steps: Vec<f64> = self.series.iter().flat_map(|series| &series.points).map(|point| point.0).collect();
        steps.sort_by(f64::total_cmp);
        steps.dedup();
        let at_step = |step: f64| {
            let points = self.series.iter().flat_map(|series| &series.points).filter(move |point| point.0 == step);
            let mut values: Vec<f64> = points.filter_map(|point| point.1).filter(|&value| y.holds(value)).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let sorted: Vec<(f64, Vec<f64>)> =
            steps.iter().map(|&step| (step, at_step(step))).filter(|(_, values)| !values.is_empty()).collect();
        let curve = |share: f64| {
            sorted.iter().map(move |(step, values)| {
                let rank = (share * (values.len() - 1) as f64).round() as usize;
                (x.at(*step), y.at(values[rank]))
            })
        };
        let colour = colour(0, 1);
        for (low, high, name) in [(0.0, 1.0, "least to greatest"), (0.1, 0.9, "10 to 90 %")] {
            let back: Vec<(f64, f64)> = curve(high).collect();
            let outline = curve(low).chain(back.into_iter().rev()).map(Some);
            let path = through(outline) + "Z";
            drawing.titled("path", &format!("class=\"band\" fill=\"{colour}\" d=\"{path}\""), name);
        }
        let path = through(curve(0.5).map(Some));
        drawing.titled("path", &format!("class=\"mark\" stroke=\"{colour}\" d=\"{path}\""), "median");
        for (row, text) in ["median", "10 to 90 %", "least to greatest"].into_iter().enumerate() {
            let y = TOP + 16.0 * row as f64 + 8.0;
            drawing.text("", (RIGHT + 10.0, y), Anchor::Start, text);
        }
        let text = format!("of {} series", self.series.len());
        drawing.text("", (RIGHT + 10.0, TOP + 56.0), Anchor::Start, &text);
    }
}
