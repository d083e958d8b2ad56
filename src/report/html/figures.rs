//! Which figures a report has: what lies on their axes, and which groups make a line.

use crate::archive::escaped;
use crate::batch::Label;
use crate::metrics::{Card, Direction, Measured};
use crate::report::drawn::{axis, by_nature};
use crate::report::svg::{Columns, HeatMap, Horizontal, LinePlot, Series, markup};
use crate::report::{GroupReport, Report};

/// Fewer lines are read from a plot as well as from a map.
pub(super) const LEAST_ROWS: usize = 4;
pub(super) const MOST_ROWS: usize = 64;

/// A figure, and a sentence or two that say what it shows.
pub(super) struct Figure {
    pub(super) svg: String,
    pub(super) caption: String,
}

impl Figure {
    /// As an element of a page.
    pub(super) fn element(&self) -> String {
        format!("<figure>\n{}<figcaption>{}</figcaption>\n</figure>\n", self.svg, markup(&self.caption))
    }
}

/// How the groups of a report are laid out in figures.
pub(super) struct Figures<'a> {
    /// As people order them.
    groups: Vec<&'a GroupReport>,
    /// The key on the horizontal axis, if one has numbers.
    axis: Option<usize>,
    /// The groups of each line, with its name.
    series: Vec<(String, Vec<&'a GroupReport>)>,
}

impl<'a> Figures<'a> {
    /// `None` for fewer than two groups.
    pub(super) fn of(report: &'a Report) -> Option<Self> {
        if report.groups.len() < 2 {
            return None;
        }
        let mut groups: Vec<&GroupReport> = report.groups.iter().collect();
        groups.sort_by(|a, b| by_nature(&labels(a), &labels(b)));
        let keys: Vec<Vec<&Label>> = groups.iter().map(|group| labels(group)).collect();
        let axis = axis(&keys);
        let Some(at) = axis else {
            return Some(Self { axis, series: vec![(String::new(), groups.clone())], groups });
        };
        let mut series: Vec<(String, Vec<&GroupReport>)> = Vec::new();
        for &group in &groups {
            let name = name(group, axis);
            match series.iter_mut().find(|(other, _)| *other == name) {
                Some((_, groups)) => groups.push(group),
                None => series.push((name, vec![group])),
            }
        }
        for (_, groups) in &mut series {
            groups.sort_by(|a, b| step(a, at).total_cmp(&step(b, at)));
        }
        Some(Self { groups, axis, series })
    }

    /// The key on the horizontal axis, by its place among the keys; `None` if the groups themselves are there.
    pub(super) fn axis(&self) -> Option<usize> {
        self.axis
    }

    /// What lies on the horizontal axis.
    pub(super) fn axis_name(&self) -> String {
        self.axis.map_or_else(|| "groups".to_owned(), |axis| escaped(&self.groups[0].key[axis].0))
    }

    /// The groups of each line, in the order of their steps, with its name.
    pub(super) fn series(&self) -> &[(String, Vec<&'a GroupReport>)] {
        &self.series
    }

    /// A line plot of a metric, unless no group has a value.
    pub(super) fn lines(&self, card: &Card) -> Option<Figure> {
        let horizontal = match self.axis {
            Some(_) => Horizontal::Steps(self.axis_name()),
            None => Horizontal::Names(self.groups.iter().map(|group| name(group, None)).collect()),
        };
        let series = self.series.iter().map(|(name, groups)| {
            let points = groups.iter().enumerate().map(|(at, group)| {
                let step = self.axis.map_or(at as f64, |axis| step(group, axis));
                (step, group.value(card.key))
            });
            let bars = groups.iter().map(|group| {
                let bar = group.metric(card.key).and_then(Measured::bar);
                bar.map(|bar| (bar.lo, bar.hi))
            });
            Series { name: name.clone(), points: points.collect(), bars: bars.collect() }
        });
        let mut floors = self.groups.iter().filter_map(|group| group.metric(card.key)?.floor);
        let floor = floors.next().filter(|first| floors.all(|floor| floor == *first));
        let plot = LinePlot { title: card.key.to_owned(), horizontal, series: series.collect(), floor };
        Some(figure(plot.draw()?, card, floor.is_some()))
    }

    /// A map of a metric with a row for each line of the plot, if there are several and they have common steps.
    pub(super) fn map(&self, card: &Card) -> Option<Figure> {
        let axis = self.axis.filter(|_| (LEAST_ROWS..=MOST_ROWS).contains(&self.series.len()))?;
        let mut steps: Vec<f64> = self.groups.iter().map(|group| step(group, axis)).collect();
        steps.sort_by(f64::total_cmp);
        steps.dedup();
        let value = |groups: &[&GroupReport], wanted: f64| {
            groups.iter().find(|group| step(group, axis) == wanted).and_then(|group| group.value(card.key))
        };
        let values = self.series.iter().flat_map(|(_, groups)| steps.iter().map(|&step| value(groups, step)));
        let map = HeatMap {
            title: card.key.to_owned(),
            rows: self.series.iter().map(|(name, _)| name.clone()).collect(),
            columns: Columns::Steps(self.axis_name(), steps.iter().map(ToString::to_string).collect()),
            values: values.collect(),
            great_is_dark: card.direction == Direction::Higher,
        };
        let mut figure = figure(map.draw()?, card, false);
        if card.direction != Direction::None {
            figure.caption += " Dark is more collapsed.";
        }
        Some(figure)
    }
}

/// A figure with what its metric is.
fn figure(svg: String, card: &Card, has_floor: bool) -> Figure {
    let reads = match card.direction {
        Direction::Lower => " Lower is more collapsed.",
        Direction::Higher => " Higher is more collapsed.",
        Direction::None => "",
    };
    let floor = if has_floor { " Dashed: the least attainable value." } else { "" };
    let end = if card.summary.ends_with(['?', '.']) { "" } else { "." };
    Figure { svg, caption: format!("{}{end}{reads}{floor}", card.summary) }
}

/// The values of the keys of a group.
pub(super) fn labels(group: &GroupReport) -> Vec<&Label> {
    group.key.iter().map(|(_, value)| value).collect()
}

fn step(group: &GroupReport, axis: usize) -> f64 {
    match group.key[axis].1 {
        Label::Int(number) => number as f64,
        Label::Bool(_) | Label::Text(_) => f64::NAN,
    }
}

/// The values of the other keys; with their names if they are numbers.
pub(super) fn name(group: &GroupReport, axis: Option<usize>) -> String {
    let parts =
        group.key.iter().enumerate().filter(|(at, _)| Some(*at) != axis).map(|(_, (name, value))| match value {
            Label::Text(text) => escaped(text),
            Label::Int(_) | Label::Bool(_) => escaped(&format!("{name} {value}")),
        });
    parts.collect::<Vec<_>>().join(" ")
}
