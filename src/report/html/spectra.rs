//! Figures of eigenvalues.

use super::figures::{Figure, labels, name};
use crate::batch::Label;
use crate::metrics::{FigureData, NOT_DECOMPOSED, SpectrumValues};
use crate::report::drawn::{axis, by_nature, others};
use crate::report::svg::{Horizontal, LinePlot, Series};
use crate::report::text::{grouped, words};
use crate::report::{GroupReport, Report};

/// Points of a line; of more, those from here on are thinned out.
const ALL_POINTS: usize = 64;
const MORE_POINTS: usize = 128;

/// A group with what its figures are drawn from.
#[derive(Clone, Copy)]
pub(super) struct Drawn<'a> {
    pub(super) group: &'a GroupReport,
    pub(super) data: &'a FigureData,
}

/// A spectrum of a group.
type Of = fn(&FigureData) -> &SpectrumValues;

const WITHIN: Of = |data| &data.within;
const BETWEEN: Of = |data| &data.between;

/// The groups that have figures of their own; the last is shown class by class.
pub(super) fn groups(report: &Report) -> Vec<Drawn<'_>> {
    let keys: Vec<Vec<&Label>> = report.groups.iter().map(labels).collect();
    let axis = axis(&keys);
    let of = |group| Some(Drawn { group, data: group.measurements.figures.as_deref()? });
    let mut groups: Vec<Drawn<'_>> = report.groups.iter().filter_map(of).collect();
    groups.sort_by(|a, b| {
        let (a, b) = (labels(a.group), labels(b.group));
        by_nature(&others(&a, axis), &others(&b, axis)).then_with(|| by_nature(&a, &b))
    });
    groups
}

/// Which of the groups are shown, if there are others: `Shown: the last epoch of each line`.
pub(super) fn which(report: &Report, shown: &[Drawn<'_>]) -> String {
    let keys: Vec<_> = report.groups.iter().map(labels).collect();
    let names: Vec<String> = shown.iter().map(|drawn| name(drawn.group, None)).collect();
    let list = names.join(", ");
    match axis(&keys).and_then(|axis| report.groups.first()?.key.get(axis)) {
        _ if shown.len() == report.groups.len() => String::new(),
        Some((axis, _)) => {
            let axis = crate::archive::escaped(axis);
            let groups = report.groups.len();
            let shown = match shown.len() {
                1 => "1 is shown here, at its last".to_owned(),
                count => format!("{count} are shown here, each at its last"),
            };
            format!("Of {groups} groups, {shown} {axis}: {list}. --where or --group-by shows others.")
        }
        None if shown.len() == 1 => {
            format!("Of {} groups, the last is shown here: {list}. --where shows others.", report.groups.len())
        }
        None => format!("Of {} groups, {} are shown here, evenly spaced: {list}.", report.groups.len(), shown.len()),
    }
}

/// Both spectra of one group; `which` says in the title which it is.
pub(super) fn both(of: Drawn<'_>, which: &str) -> Option<Figure> {
    let spectra = [("within (Σ_W)", WITHIN), ("between (Σ_B)", BETWEEN)];
    let series =
        spectra.into_iter().filter_map(|(name, spectrum)| Some((name.to_owned(), spectrum(of.data).as_deref().ok()?)));
    let svg = lines(&format!("eigenvalues{which}"), series)?;
    let least = of.data.between.as_ref().ok().and_then(|values| values.last());
    let most = of.data.within.as_ref().ok().and_then(|values| values.first());
    let gap = match least.zip(most) {
        Some((least, most)) if least > most => " Here the least of Σ_B is above the greatest of Σ_W.",
        Some(_) => " Here they overlap.",
        None => "",
    };
    let rank = of.group.measurements.classes.saturating_sub(1).min(of.group.dim as u64);
    let simplex = match rank {
        1 => "the one eigenvalue of Σ_B".to_owned(),
        _ => format!("the {} eigenvalues of Σ_B, which become equal", grouped(&rank)),
    };
    let caption = format!(
        "Eigenvalues of the covariances within and between classes, greatest first, feature units squared; those that are \
         rounding alone are left out. As classes collapse, Σ_W falls below {simplex}.{gap}"
    );
    Some(Figure { svg, caption })
}

/// `Σ_W` of several groups; `which` says in the title which one it is, if it is one.
pub(super) fn within(shown: &[Drawn<'_>], which: &str) -> Option<Figure> {
    let svg = of_all(&format!("eigenvalues of Σ_W{which}"), shown, WITHIN)?;
    let caption = "How much rows vary about the mean of their class, direction by direction, feature units squared. The lower a \
                   line, the tighter the classes; the steeper it falls, the fewer directions they vary in.";
    Some(Figure { svg, caption: caption.to_owned() })
}

/// `Σ_B` of several groups; `which` says in the title which one it is, if it is one.
pub(super) fn between(shown: &[Drawn<'_>], which: &str) -> Option<Figure> {
    let svg = of_all(&format!("eigenvalues of Σ_B{which}"), shown, BETWEEN)?;
    let caption = "How much class means vary, direction by direction, feature units squared. At a simplex a line is level, and \
                   then ends: the means fill all their directions evenly.";
    Some(Figure { svg, caption: caption.to_owned() })
}

fn of_all(title: &str, shown: &[Drawn<'_>], spectrum: Of) -> Option<String> {
    let series = shown.iter().filter_map(|of| Some((name(of.group, None), spectrum(of.data).as_deref().ok()?)));
    lines(title, series)
}

fn lines<'a>(title: &str, series: impl Iterator<Item = (String, &'a [f64])>) -> Option<String> {
    let series: Vec<Series> = series
        .map(|(name, values)| {
            let points = places(values.len()).into_iter().map(|at| ((at + 1) as f64, Some(values[at])));
            Series { name, points: points.collect(), bars: Vec::new() }
        })
        .collect();
    let horizontal = Horizontal::Steps("index of the eigenvalue".to_owned());
    LinePlot { title: title.to_owned(), horizontal, series, floor: None }.draw()
}

/// The first places, and evenly some of the others with the last.
fn places(count: usize) -> Vec<usize> {
    if count <= ALL_POINTS + MORE_POINTS {
        return (0..count).collect();
    }
    let rest = count - ALL_POINTS;
    (0..ALL_POINTS).chain((1..=MORE_POINTS).map(|at| ALL_POINTS + at * rest / MORE_POINTS - 1)).collect()
}

/// Why spectra are missing, in sentences.
pub(super) fn missing(shown: &[Drawn<'_>]) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    for of in shown {
        let dim = grouped(&of.group.dim);
        for (spectrum, matrix) in [(WITHIN, "Σ_W"), (BETWEEN, "Σ_B")] {
            let sentence = match spectrum(of.data) {
                Ok(_) => continue,
                Err(NOT_DECOMPOSED) => format!(
                    "The eigenvalues of Σ_W are left out, since to decompose a matrix of {dim} × {dim} takes long: \
                     --metrics all gives them, and --plot spectrum -o FILE.svg."
                ),
                Err(reason) => format!("There are no eigenvalues of {matrix} ({}).", words(reason)),
            };
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_ends() {
        assert_eq!(places(3), [0, 1, 2]);
        for count in [193, 1000, 4096] {
            let places = places(count);
            assert_eq!(places.len(), ALL_POINTS + MORE_POINTS);
            assert_eq!((places[63], places[64 + 127]), (63, count - 1));
            assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{count}");
        }
    }
}
