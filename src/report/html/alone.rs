//! Figures that stand alone, as files of their own.

use super::classes::Classes;
use super::figures::{Figure, Figures, name};
use super::spectra;
use crate::error::{Error, Result};
use crate::metrics::card;
use crate::report::plot::{GroupPlot, Plot};
use crate::report::text::words;
use crate::report::{Report, svg};

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
        return if has_value {
            Err(Error::data("one group makes no line").with("figure", key).help("--group-by KEY makes several groups"))
        } else {
            Ok(None)
        };
    };
    if !as_map {
        return Ok(figures.lines(card));
    }
    figures.map(card).map(Some).ok_or_else(|| {
        Error::data("these groups make no map, which takes 4 to 64 lines over a key with numbers")
            .with("figure", format!("map:{key}"))
            .help(format!("--plot {key} draws lines"))
    })
}

fn of_group(report: &Report, plot: GroupPlot) -> Option<Figure> {
    let shown = spectra::groups(report);
    let last = *shown.last()?;
    let classes = Classes::of(report, last);
    match plot {
        GroupPlot::Spectrum => spectra::both(last),
        GroupPlot::SpectrumWithin => spectra::within(&shown),
        GroupPlot::SpectrumBetween => spectra::between(&shown),
        GroupPlot::ClassVariance => classes.variance(),
        GroupPlot::ClassDistance => classes.distance().or_else(|| classes.variance()),
        GroupPlot::ClassCosines => classes.cosines(),
        GroupPlot::CosineHistogram => classes.histogram(),
        GroupPlot::ClassProjection => classes.projection(&projection_title(&name(last.group, None))),
    }
}

/// The title of a projection; without a key it has no name.
pub(super) fn projection_title(name: &str) -> String {
    if name.is_empty() { "class means".to_owned() } else { format!("class means: {name}") }
}

/// The error of a figure with nothing on it.
fn nothing(report: &Report, plot: Plot) -> Error {
    let error = Error::data("there is nothing to draw").with("figure", plot.name());
    let reasons = plot
        .metric()
        .into_iter()
        .flat_map(|key| report.groups.iter().filter_map(move |group| group.metric(key)?.reason));
    let of_spectra = spectra::groups(report).into_iter().flat_map(|of| [&of.data.within, &of.data.between]);
    let of_spectra = of_spectra.filter_map(|values| values.as_ref().err().copied()).filter(|_| plot.metric().is_none());
    match reasons.chain(of_spectra).next() {
        Some(reason) => error.with("reason", words(reason)),
        None => error.help("it takes more classes that differ"),
    }
}
