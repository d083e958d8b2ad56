//! Figures that stand alone, as files of their own.

use std::collections::BTreeSet;

use super::classes::Classes;
use super::figures::{Figure, Figures, LEAST_ROWS, MOST_ROWS, name};
use super::spectra;
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::metrics::{Need, card};
use crate::report::drawn::{axis, others};
use crate::report::plot::{GroupPlot, Plot};
use crate::report::text::words;
use crate::report::{GroupReport, Report, svg};

/// The figure as SVG.
///
/// # Errors
///
/// [`Data`](crate::error::ErrorKind::Data) if there is nothing to draw.
pub(in crate::report) fn alone(report: &Report, plot: Plot) -> Result<String> {
    let drawn = match plot {
        Plot::Lines(key) => lines(report, key, false)?,
        Plot::Map(key) => lines(report, key, true)?,
        Plot::Group(of) => of_group(report, of),
    };
    drawn.map(|figure| svg::alone(&figure.svg)).ok_or_else(|| nothing(report, plot))
}

fn lines(report: &Report, key: &str, as_map: bool) -> Result<Option<Figure>> {
    let Some(card) = card(key) else { return Ok(None) };
    let has_value = report.groups.iter().any(|group| group.value(key).is_some_and(f64::is_finite));
    let Some(figures) = Figures::of(report).filter(|_| has_value) else {
        return if has_value { Err(no_line(key)) } else { Ok(None) };
    };
    if !as_map {
        return Ok(figures.lines(card));
    }
    figures.map(card).map(Some).ok_or_else(|| no_map(key))
}

fn no_line(key: &str) -> Error {
    Error::data("one group makes no line").with("figure", key).help("--group-by KEY makes several groups")
}

fn no_map(key: &str) -> Error {
    Error::data(format!(
        "these groups make no map, which takes {LEAST_ROWS} to {MOST_ROWS} lines over a key with numbers"
    ))
    .with("figure", format!("map:{key}"))
    .help(format!("--plot {key} draws lines"))
}

/// What a run has beside its own rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// A classifier.
    pub head: bool,
    /// Rows to decide.
    pub decisions: bool,
    /// Out-of-distribution rows.
    pub ood: bool,
}

impl Plot {
    /// Fails if there will be nothing to draw, as far as that is known before rows are read: `groups` are the keys of all
    /// groups, if they are known.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the reason, as [`Report::write_plot`] has it.
    pub fn check(self, groups: Option<&[Vec<Label>]>, given: Given) -> Result<()> {
        let Some(card) = self.metric().and_then(card) else { return Ok(()) };
        let lacks = |need: &Need| match need {
            Need::Head => (!given.head).then_some("no_head"),
            Need::OodMean => (!given.ood).then_some("no_ood"),
            Need::Neco | Need::Mahalanobis if !given.ood => Some("no_ood"),
            Need::Decisions | Need::Lda | Need::Neco | Need::Mahalanobis => {
                (!given.decisions).then_some("no_decisions")
            }
            Need::Scatter | Need::Pairs | Need::Directional | Need::HugIntra => None,
        };
        if let Some(reason) = card.needs.iter().find_map(lacks) {
            return Err(explained(undrawn(self), reason));
        }
        let Some(groups) = groups else { return Ok(()) };
        let keys: Vec<Vec<&Label>> = groups.iter().map(|key| key.iter().collect()).collect();
        if keys.len() < 2 {
            return Err(no_line(card.key));
        }
        let axis = axis(&keys);
        let lines = keys.iter().map(|key| others(key, axis)).collect::<BTreeSet<_>>().len();
        let has_map = axis.is_some() && (LEAST_ROWS..=MOST_ROWS).contains(&lines);
        if matches!(self, Self::Map(_)) && !has_map { Err(no_map(card.key)) } else { Ok(()) }
    }
}

/// What a figure says of its group, where there are others.
fn which(report: &Report, group: &GroupReport) -> String {
    let name = name(group, None);
    if report.groups.len() < 2 || name.is_empty() { String::new() } else { format!(": {name}") }
}

fn of_group(report: &Report, plot: GroupPlot) -> Option<Figure> {
    let shown = spectra::groups(report);
    let last = *shown.last()?;
    let which = which(report, last.group);
    // Where several are shown, the legend says which.
    let of_only = if shown.len() == 1 { which.as_str() } else { "" };
    let classes = Classes::of(report, last, &which);
    match plot {
        GroupPlot::Spectrum => spectra::both(last, &which),
        GroupPlot::SpectrumWithin => spectra::within(&shown, of_only),
        GroupPlot::SpectrumBetween => spectra::between(&shown, of_only),
        GroupPlot::ClassVariance => classes.variance(),
        GroupPlot::ClassDistance => classes.distance().or_else(|| classes.variance()),
        GroupPlot::ClassCosines => classes.cosines(),
        GroupPlot::CosineHistogram => classes.histogram(),
        GroupPlot::ClassProjection => classes.projection(&projection_title(&name(last.group, None))),
    }
}

/// Which of several groups a figure shows, in a sentence.
pub(in crate::report) fn chosen(report: &Report, plot: Plot) -> Option<String> {
    let Plot::Group(of) = plot else { return None };
    let shown = spectra::groups(report);
    let last = shown.last()?;
    let sentence = match of {
        GroupPlot::SpectrumWithin | GroupPlot::SpectrumBetween => spectra::which(report, &shown),
        GroupPlot::Spectrum
        | GroupPlot::ClassVariance
        | GroupPlot::ClassDistance
        | GroupPlot::ClassCosines
        | GroupPlot::CosineHistogram
        | GroupPlot::ClassProjection => spectra::which(report, &[*last]),
    };
    (!sentence.is_empty()).then_some(sentence)
}

/// The title of a projection; without a key it has no name.
pub(super) fn projection_title(name: &str) -> String {
    if name.is_empty() { "class means".to_owned() } else { format!("class means: {name}") }
}

/// The error of a figure with nothing on it.
fn nothing(report: &Report, plot: Plot) -> Error {
    let error = undrawn(plot);
    if let Plot::Group(of) = plot {
        return match missing(report, of) {
            Ok(reason) => explained(error, reason),
            Err(advice) => error.help(advice),
        };
    }
    let mut reasons = plot
        .metric()
        .into_iter()
        .flat_map(|key| report.groups.iter().filter_map(move |group| group.metric(key)?.reason));
    match reasons.next() {
        Some(reason) => explained(error, reason),
        None => error.help("it takes more classes that differ"),
    }
}

/// Why there is no figure of groups: a reason, or else what it would take.
fn missing(report: &Report, plot: GroupPlot) -> std::result::Result<&'static str, &'static str> {
    let shown = spectra::groups(report);
    let Some(last) = shown.last() else { return Err("it takes a group with rows") };
    let within = |of: &spectra::Drawn<'_>| of.data.within.as_ref().err().copied();
    let between = |of: &spectra::Drawn<'_>| of.data.between.as_ref().err().copied();
    let reason = match plot {
        GroupPlot::Spectrum => within(last).or_else(|| between(last)),
        GroupPlot::SpectrumWithin => shown.iter().find_map(within),
        GroupPlot::SpectrumBetween => shown.iter().find_map(between),
        GroupPlot::ClassVariance
        | GroupPlot::ClassDistance
        | GroupPlot::ClassCosines
        | GroupPlot::CosineHistogram
        | GroupPlot::ClassProjection => (last.data.classes.len() < 2).then_some("single_class"),
    };
    reason.ok_or(match plot {
        GroupPlot::ClassVariance | GroupPlot::ClassDistance => "it takes classes of two rows",
        GroupPlot::ClassCosines => "it takes three classes whose means differ: of two, the only cosine is -1",
        GroupPlot::CosineHistogram => "it takes five classes whose means differ",
        GroupPlot::ClassProjection => "it takes class means that differ in two directions",
        GroupPlot::Spectrum | GroupPlot::SpectrumWithin | GroupPlot::SpectrumBetween => {
            "it takes more rows that differ"
        }
    })
}

fn undrawn(plot: Plot) -> Error {
    Error::data("there is nothing to draw").with("figure", plot.name())
}

/// The error with a reason of records, and what mends it.
fn explained(error: Error, reason: &str) -> Error {
    let error = error.with("reason", words(reason));
    match reason {
        "no_head" => error.help("--head FILE, or --head lstsq for the least-squares classifier of each group"),
        "no_ood" => error.help("--ood INPUT"),
        "no_decisions" => error.help("--decisions INPUT"),
        _ => error,
    }
}
