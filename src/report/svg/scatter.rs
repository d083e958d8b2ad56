//! Scatter plots: a mark for each of many things, of two numbers each.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::axis::{Axis, Scale, label};
use super::{Anchor, Drawing, elided, markup, px};
use crate::report::text::significant;

/// More marks have no tooltips.
const MOST_TITLES: usize = 400;
/// More marks are thinned out.
const MOST_MARKS: usize = 3000;
/// More marks have no names beside them.
const MOST_NAMES: usize = 40;

const WIDTH: f64 = 640.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 624.0;
const TOP: f64 = 34.0;
const HEIGHT: f64 = 300.0;
/// Between the ends of an axis and the outermost marks.
const MARGIN: f64 = 10.0;
/// About the width of a character, and the height of a line.
const CHARACTER: f64 = 6.6;
const LINE: f64 = 12.0;

/// A figure of points.
#[derive(Clone, Debug)]
pub(crate) struct Scatter {
    pub(crate) title: String,
    /// What lies on the horizontal axis.
    pub(crate) x: String,
    /// What lies on the vertical axis.
    pub(crate) y: String,
    pub(crate) points: Vec<[f64; 2]>,
    /// A name for each point.
    pub(crate) names: Vec<String>,
    /// Whether both axes have the same unit, and a centre at 0.
    pub(crate) is_plane: bool,
}

impl Scatter {
    /// The figure; `None` if there is no finite point.
    pub(crate) fn draw(&self) -> Option<String> {
        let finite: Vec<usize> =
            (0..self.points.len()).filter(|&at| self.points[at].iter().all(|value| value.is_finite())).collect();
        if finite.is_empty() {
            return None;
        }
        let bottom = TOP + HEIGHT;
        let values = |axis: usize| finite.iter().map(move |&at| self.points[at][axis]);
        let (x, y) = if self.is_plane {
            plane([values(0).collect(), values(1).collect()], bottom)
        } else {
            let x = Axis::of_values(values(0), LEFT + MARGIN, RIGHT - MARGIN);
            (x, Axis::of_values(values(1), bottom - MARGIN, TOP + MARGIN))
        };
        let mut drawing = Drawing::new(WIDTH, bottom + 44.0, &self.title);
        // At the right there may be a count.
        drawing.title((LEFT, RIGHT - 100.0), &self.title);
        for tick in y.ticks(5) {
            let at = y.at(tick);
            drawing.line("grid", (LEFT, at), (RIGHT, at));
            drawing.text("", (LEFT - 8.0, at + 4.0), Anchor::End, &label(tick));
        }
        drawing.line("grid", (LEFT, bottom), (RIGHT, bottom));
        for tick in x.ticks(7) {
            let at = x.at(tick);
            drawing.line("grid", (at, bottom), (at, bottom + 4.0));
            drawing.text("", (at, bottom + 18.0), Anchor::Middle, &label(tick));
        }
        let unit = |axis: &Axis| if axis.scale == Scale::Linear { "" } else { " (logarithmic)" };
        let middle = f64::midpoint(LEFT, RIGHT);
        drawing.text("", (middle, bottom + 36.0), Anchor::Middle, &format!("{}{}", self.x, unit(&x)));
        let (at, middle) = (px(14.0), px(f64::midpoint(TOP, bottom)));
        drawing.push(&format!(
            "<text x=\"{at}\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 {at} {middle})\">{}{}</text>\n",
            markup(&self.y),
            unit(&y)
        ));
        if self.is_plane {
            [
                (x.holds(0.0), (x.at(0.0), TOP), (x.at(0.0), bottom)),
                (y.holds(0.0), (LEFT, y.at(0.0)), (RIGHT, y.at(0.0))),
            ]
            .into_iter()
            .filter(|(holds, ..)| *holds)
            .for_each(|(_, from, to)| drawing.line("limit", from, to));
        }
        let place = |at: usize| (x.at(self.points[at][0]), y.at(self.points[at][1]));
        if finite.len() > MOST_TITLES {
            let drawn = thinned(&finite);
            drawing.push(&dots(drawn.iter().map(|&at| place(at))));
            if drawn.len() < finite.len() {
                let text = format!("{} of {}", drawn.len(), finite.len());
                drawing.text("", (RIGHT, 18.0), Anchor::End, &text);
            }
            return Some(drawing.finish());
        }
        for &at in &finite {
            let (cx, cy) = place(at);
            let [x, y] = self.points[at].map(significant);
            let attributes = format!("class=\"dot\" cx=\"{}\" cy=\"{}\" r=\"3.5\"", px(cx), px(cy));
            drawing.titled("circle", &attributes, &format!("{}: {x}, {y}", self.names[at]));
        }
        if finite.len() <= MOST_NAMES {
            let places: Vec<(f64, f64)> = finite.iter().map(|&at| place(at)).collect();
            let names: Vec<String> = finite.iter().map(|&at| self.names[at].clone()).collect();
            names_beside(&mut drawing, &places, &elided(&names, 16), bottom);
        }
        Some(drawing.finish())
    }
}

/// Axes with one unit for both, the points in the middle.
fn plane(values: [Vec<f64>; 2], bottom: f64) -> (Axis, Axis) {
    let [x, y] = values.map(|values| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (f64::midpoint(low, high), high - low)
    });
    let (width, height) = (RIGHT - LEFT - 6.0 * MARGIN, HEIGHT - 3.0 * MARGIN);
    // Of points that are all one, any unit will do.
    let unit = Some((x.1 / width).max(y.1 / height)).filter(|unit| *unit > 0.0).unwrap_or(1.0);
    let (half_x, half_y) = (unit * (RIGHT - LEFT) / 2.0, unit * HEIGHT / 2.0);
    (Axis::between(x.0 - half_x, x.0 + half_x, LEFT, RIGHT), Axis::between(y.0 - half_y, y.0 + half_y, bottom, TOP))
}

/// As many as can be told apart in a file of a sensible size, evenly spaced among all.
fn thinned(all: &[usize]) -> Vec<usize> {
    if all.len() <= MOST_MARKS {
        return all.to_vec();
    }
    let last = all.len() - 1;
    (0..MOST_MARKS).map(|at| all[at * last / (MOST_MARKS - 1)]).collect()
}

/// Many marks in one element, those of one pixel once.
fn dots(places: impl Iterator<Item = (f64, f64)>) -> String {
    let mut seen = HashSet::new();
    let mut path = String::new();
    for (x, y) in places {
        let pixel = (x.round() as i64, y.round() as i64);
        if seen.insert(pixel) {
            // Writing to a string cannot fail.
            let _ = write!(path, "M{} {}h0", pixel.0, pixel.1);
        }
    }
    format!("<path class=\"dots\" d=\"{path}\"/>\n")
}

/// A box: left, top, right, bottom.
type Area = [f64; 4];

/// Writes names beside their marks where there is room; the tooltips have the others.
fn names_beside(drawing: &mut Drawing, places: &[(f64, f64)], names: &[String], bottom: f64) {
    let mut taken: Vec<Area> = places.iter().map(|(x, y)| [x - 4.0, y - 4.0, x + 4.0, y + 4.0]).collect();
    for ((x, y), name) in places.iter().zip(names) {
        let width = CHARACTER * name.chars().count() as f64;
        let candidates = [
            (Anchor::Start, x + 7.0, y + 4.0, x + 7.0),
            (Anchor::End, x - 7.0, y + 4.0, x - 7.0 - width),
            (Anchor::Middle, *x, y - 8.0, x - width / 2.0),
            (Anchor::Middle, *x, y + 16.0, x - width / 2.0),
        ];
        let free = candidates.into_iter().find_map(|(anchor, at, base, left)| {
            let area = [left, base - LINE + 2.0, left + width, base + 2.0];
            let inside = area[0] >= LEFT && area[2] <= RIGHT + 8.0 && area[1] >= TOP - 8.0 && area[3] <= bottom;
            (inside && !taken.iter().any(|other| overlap(&area, other))).then_some((anchor, at, base, area))
        });
        if let Some((anchor, at, base, area)) = free {
            drawing.text("beside", (at, base), anchor, name);
            taken.push(area);
        }
    }
}

fn overlap(a: &Area, b: &Area) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(points: Vec<[f64; 2]>, is_plane: bool) -> Option<String> {
        let names = (0..points.len()).map(|at| format!("<{at}>")).collect();
        Scatter { title: "t".to_owned(), x: "x".to_owned(), y: "y".to_owned(), points, names, is_plane }.draw()
    }

    #[test]
    fn a_mark_for_each_point_and_few_elements_for_many() {
        assert_eq!(of(vec![], true), None);
        assert_eq!(of(vec![[f64::NAN, 1.0]], false), None);
        let few = of(vec![[1.0, 2.0], [f64::INFINITY, 0.0], [3.0, 4.0]], false).unwrap();
        assert_eq!((few.matches("<circle").count(), few.matches("<title>&lt;2&gt;: 3, 4<").count()), (2, 1));
        let many = of((0..20_000).map(|at| [f64::from(at), f64::from(at % 97)]).collect(), false).unwrap();
        assert!(many.len() < 60_000 && many.contains(">3000 of 20000<"), "{}", many.len());
    }

    #[test]
    fn names_stand_where_there_is_room() {
        let apart = of(vec![[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]], true).unwrap();
        assert_eq!(apart.matches("class=\"beside\"").count(), 3);
        let crowd = of(vec![[0.0, 0.0]; 30].into_iter().chain([[9.0, 9.0]]).collect(), true).unwrap();
        let beside = crowd.matches("class=\"beside\"").count();
        assert!((2..=5).contains(&beside), "{beside}");
    }

    #[test]
    fn a_plane_has_one_unit() {
        let (x, y) = plane([vec![-4.0, 4.0], vec![-1.0, 1.0]], TOP + HEIGHT);
        let (right, up) = (x.at(1.0) - x.at(0.0), y.at(0.0) - y.at(1.0));
        assert!((right - up).abs() < 1e-9 && right > 0.0, "{right} {up}");
        for value in [-4.0, 4.0] {
            assert!(x.holds(value) && (LEFT..=RIGHT).contains(&x.at(value)));
        }
    }
}
