//! Histograms: how often values fall into each of many intervals of one width.

use super::axis::{Axis, label, round_step};
use super::{Anchor, Drawing, px};
use crate::report::text::significant;

const WIDTH: f64 = 640.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 612.0;
const TOP: f64 = 34.0;
const HEIGHT: f64 = 240.0;

/// About so many intervals, at least and at most; between them twice the cube root of the number of values (Rice).
const BINS: (f64, f64) = (15.0, 40.0);

/// A figure of many values.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    pub(crate) title: String,
    /// What the values are.
    pub(crate) x: String,
    /// What is counted, in the plural.
    pub(crate) what: String,
    pub(crate) values: Vec<f64>,
    /// A value to compare them with.
    pub(crate) mark: Option<f64>,
}

impl Histogram {
    /// The figure; `None` if there is no finite value.
    pub(crate) fn draw(&self) -> Option<String> {
        let finite = || self.values.iter().copied().filter(|value| value.is_finite());
        let range = finite().chain(self.mark).map(|value| (value, value)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (low, high) = range.filter(|_| finite().next().is_some())?;
        // Values that are all alike fill one interval.
        let span = if high > low { high - low } else { high.abs().max(1.0) };
        let bins = (2.0 * (finite().count() as f64).cbrt()).clamp(BINS.0, BINS.1);
        let step = round_step(span / bins);
        let interval = |value: f64| (value / step).floor() as i64;
        let (first, last) = (interval(low), interval(high));
        let mut counts = vec![0_u64; (last - first + 1) as usize];
        finite().for_each(|value| counts[(interval(value) - first) as usize] += 1);
        let bottom = TOP + HEIGHT;
        let edge = |at: i64| at as f64 * step;
        let x = Axis::between(edge(first), edge(last + 1), LEFT, RIGHT);
        let most = counts.iter().copied().max().unwrap_or(0) as f64;
        let y = Axis::between(0.0, 1.05 * most, bottom, TOP);
        let mut drawing = Drawing::new(WIDTH, bottom + 44.0, &self.title);
        drawing.title((LEFT, WIDTH), &self.title);
        for tick in y.ticks(5).into_iter().filter(|tick| tick.fract() == 0.0) {
            let at = y.at(tick);
            drawing.line("grid", (LEFT, at), (RIGHT, at));
            drawing.text("", (LEFT - 8.0, at + 4.0), Anchor::End, &label(tick));
        }
        for (at, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let from = edge(first + at as i64);
            let (left, right) = (x.at(from), x.at(from + step));
            let (x, y) = (px(left + 0.5), px(y.at(count as f64)));
            let (width, height) = (
                px((right - left - 1.0).max(0.5)),
                px(bottom - TOP - (HEIGHT - HEIGHT * count as f64 / (1.05 * most))),
            );
            let attributes = format!("class=\"bar\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"");
            let title = format!("{} to {}: {count} {}", significant(from), significant(from + step), self.what);
            drawing.titled("rect", &attributes, &title);
        }
        drawing.line("grid", (LEFT, bottom), (RIGHT, bottom));
        for tick in x.ticks(7) {
            let at = x.at(tick);
            drawing.line("grid", (at, bottom), (at, bottom + 4.0));
            drawing.text("", (at, bottom + 18.0), Anchor::Middle, &label(tick));
        }
        if let Some(mark) = self.mark {
            drawing.line("limit", (x.at(mark), TOP), (x.at(mark), bottom));
        }
        drawing.text("", (f64::midpoint(LEFT, RIGHT), bottom + 36.0), Anchor::Middle, &self.x);
        drawing.text("", (LEFT - 8.0, TOP - 2.0), Anchor::End, &self.what);
        Some(drawing.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64], mark: Option<f64>) -> Option<String> {
        let (title, x, what) = ("t".to_owned(), "x".to_owned(), "pairs".to_owned());
        Histogram { title, x, what, values: values.to_vec(), mark }.draw()
    }

    #[test]
    fn every_value_is_counted_once() {
        assert_eq!(of(&[], Some(1.0)), None);
        assert_eq!(of(&[f64::NAN], None), None);
        let values: Vec<f64> = (0..1000).map(|at| f64::from(at % 89) / 89.0).collect();
        let drawn = of(&values, Some(-0.5)).unwrap();
        let counts = drawn.split(" pairs</title>").filter_map(|part| part.rsplit(' ').next()?.parse::<u64>().ok());
        assert_eq!(counts.sum::<u64>(), 1000);
        assert_eq!(drawn.matches("class=\"limit\"").count(), 1);
    }

    #[test]
    fn values_that_are_alike_fill_one_bar() {
        for value in [0.0, -1.0, 1e-12, 1e12] {
            let drawn = of(&[value; 5], None).unwrap();
            assert_eq!(drawn.matches("class=\"bar\"").count(), 1, "{value}");
            assert!(drawn.contains(": 5 pairs<"), "{drawn}");
        }
    }
}
