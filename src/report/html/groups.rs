//! The sections of a page on single groups, and how much room figures have.

use std::fmt::Write as _;

use super::alone::projection_title;
use super::classes::Classes;
use super::figures::{self, Figure};
use super::spectra;
use crate::report::Report;
use crate::report::svg::markup;

/// What is left of the bytes for figures.
pub(super) struct Room {
    left: usize,
    /// What had no room.
    left_out: Vec<&'static str>,
}

impl Room {
    pub(super) fn new(left: usize) -> Self {
        Self { left, left_out: Vec::new() }
    }

    /// Takes note of figures that are drawn whatever room there is.
    pub(super) fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    pub(super) fn left_out(&self) -> &[&'static str] {
        &self.left_out
    }

    /// The figure if there is room for it.
    pub(super) fn fitting(&mut self, what: &'static str, figure: &Figure) -> Option<String> {
        let element = figure.element();
        let left = self.left.checked_sub(element.len());
        self.left = left.unwrap_or(self.left);
        if left.is_none() && !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
        left.map(|_| element)
    }
}

/// The sections of groups that have figures of their own: the spectra of all of them if there are several, and the last
/// of them class by class.
pub(super) fn of_groups(report: &Report, room: &mut Room) -> String {
    let shown = spectra::groups(report);
    let Some(&last) = shown.last() else { return String::new() };
    let several = shown.len() > 1;
    let mut sentences = vec![spectra::which(report, &shown)];
    sentences.extend(spectra::missing(&shown));
    let mut text = String::new();
    if several {
        let figures =
            [("spectra of Σ_W", spectra::within(&shown, "")), ("spectra of Σ_B", spectra::between(&shown, ""))];
        let drawn = figures.into_iter().filter_map(|(what, figure)| room.fitting(what, &figure?));
        let drawn = grid(&drawn.collect::<Vec<_>>());
        text = format!("<h2>Spectra</h2>\n{}{drawn}", paragraph(&sentences));
        sentences = vec!["This group is the last of those above.".to_owned()];
    }
    let name = figures::name(last.group, None);
    let of = if name.is_empty() { String::new() } else { format!(": {}", markup(&name)) };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "<h2>Class by class{of}</h2>");
    let classes = Classes::of(report, last, "");
    if last.data.classes.len() < 2 {
        sentences.push("There is one class, and nothing to compare it with.".to_owned());
        return text + &paragraph(&sentences);
    }
    sentences.insert(0, classes.sentence());
    text += &paragraph(&sentences);
    let figures = [
        ("variances of classes", classes.variance()),
        ("distances of class means", classes.distance()),
        ("cosines between class means", classes.cosines()),
        ("the projection of class means", classes.projection(&projection_title(&name))),
        ("the histogram of cosines", classes.histogram()),
        ("the spectra of one group", spectra::both(last, "")),
    ];
    let drawn = figures.into_iter().filter_map(|(what, figure)| room.fitting(what, &figure?));
    text += &grid(&drawn.collect::<Vec<_>>());
    text += &classes.worst_pairs();
    let others = shown[..shown.len() - 1].iter().filter_map(|&of| {
        let title = projection_title(&figures::name(of.group, None));
        room.fitting("projections of class means", &Classes::of(report, of, "").projection(&title)?)
    });
    let others: Vec<String> = others.collect();
    if !others.is_empty() {
        let _ = write!(text, "<h2>Class means of the other groups</h2>\n{}", grid(&others));
    }
    text
}

/// Sentences, those that are empty left out; nothing if all are.
pub(super) fn paragraph(sentences: &[String]) -> String {
    let text: Vec<&str> = sentences.iter().map(String::as_str).filter(|sentence| !sentence.is_empty()).collect();
    if text.is_empty() { String::new() } else { format!("<p>{}</p>\n", markup(&text.join(" "))) }
}

/// Figures beside and below each other.
pub(super) fn grid(figures: &[String]) -> String {
    if figures.is_empty() { String::new() } else { format!("<div class=\"figures\">\n{}</div>\n", figures.concat()) }
}
