//! Figures of one group, class by class.

use std::fmt::Write as _;

use super::figures::Figure;
use super::spectra::Drawn;
use crate::archive::escaped;
use crate::batch::Label;
use crate::metrics::{ClassRow, Pair};
use crate::report::Report;
use crate::report::svg::{Columns, HeatMap, Histogram, Scatter, markup};
use crate::report::text::{counted, grouped, significant};

/// Fewer pairs are seen one by one.
const FEW_PAIRS: usize = 10;

/// The classes of a group.
pub(super) struct Classes<'a> {
    report: &'a Report,
    of: Drawn<'a>,
    /// What titles say of the group: nothing on a page, whose section is of it.
    which: &'a str,
}

impl<'a> Classes<'a> {
    pub(super) fn of(report: &'a Report, of: Drawn<'a>, which: &'a str) -> Self {
        Self { report, of, which }
    }

    fn rows(&self) -> &'a [ClassRow] {
        &self.of.data.classes
    }

    fn name(&self, label: &Label) -> String {
        escaped(&self.report.class_names.get(label).cloned().unwrap_or_else(|| label.to_string()))
    }

    fn names(&self, classes: impl Iterator<Item = usize>) -> Vec<String> {
        classes.map(|class| self.name(&self.rows()[class].label)).collect()
    }

    /// Whether all classes have the same number of rows.
    fn are_of_one_size(&self) -> bool {
        self.rows().iter().all(|class| class.count == self.rows()[0].count)
    }

    /// What is to be known of the classes before figures are looked at.
    pub(super) fn sentence(&self) -> String {
        let rows = self.rows();
        let sizes = || rows.iter().map(|class| class.count);
        let (least, most) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
        let size = if least == most {
            format!("of {} each", counted(least, "row", "rows"))
        } else {
            format!("of {} to {} rows", grouped(&least), grouped(&most))
        };
        let single = rows.iter().filter(|class| class.variance.is_none()).count() as u64;
        let alone = match single {
            0 => String::new(),
            1 => " One has too few rows for a variance.".to_owned(),
            _ => format!(" {} have too few rows for a variance.", grouped(&single)),
        };
        format!("{} {size}.{alone}", counted(rows.len() as u64, "class", "classes"))
    }

    /// The variance of each class over its size; over its distance from the centre if all have one size.
    pub(super) fn variance(&self) -> Option<Figure> {
        let even = self.are_of_one_size();
        let rows: Vec<usize> = (0..self.rows().len()).filter(|&class| self.rows()[class].variance.is_some()).collect();
        let number = |class: usize| {
            let row = &self.rows()[class];
            [if even { row.distance } else { row.count as f64 }, row.variance.unwrap_or(f64::NAN)]
        };
        let (title, x, caption) = if even {
            (
                "variance and distance of each class",
                "distance of the mean from the centre",
                "A mark a class: how far its mean is from the centre of all means, and how much its rows vary about it. As classes \
                 collapse, marks fall; at a simplex they stand above each other, at one distance.",
            )
        } else {
            (
                "variance of each class over its size",
                "rows of the class",
                "A mark a class: how much its rows vary about its mean, in feature units squared. Marks that fall or rise to the \
                 right say that large classes collapse more, or less, than small ones.",
            )
        };
        self.scatter(title, (x, "variance"), &rows, number, caption)
    }

    /// The distance of each mean over the size of its class; nothing if all have one size.
    pub(super) fn distance(&self) -> Option<Figure> {
        if self.are_of_one_size() {
            return None;
        }
        let rows: Vec<usize> = (0..self.rows().len()).collect();
        let number = |class: usize| [self.rows()[class].count as f64, self.rows()[class].distance];
        let caption = "A mark a class: how far its mean is from the centre of all means, in feature units. At a simplex all are at one \
                       distance; where large classes take more room, marks rise to the right.";
        let axes = ("rows of the class", "distance from the centre");
        self.scatter("distance of each class mean over its size", axes, &rows, number, caption)
    }

    fn scatter(
        &self,
        title: &str,
        (x, y): (&str, &str),
        rows: &[usize],
        number: impl Fn(usize) -> [f64; 2],
        caption: &str,
    ) -> Option<Figure> {
        let plot = Scatter {
            title: format!("{title}{}", self.which),
            x: x.to_owned(),
            y: y.to_owned(),
            points: rows.iter().map(|&class| number(class)).collect(),
            names: self.names(rows.iter().copied()),
            is_plane: false,
        };
        Some(Figure { svg: plot.draw()?, caption: caption.to_owned() })
    }

    /// The class means on their two leading directions; `title` has the name of the group.
    pub(super) fn projection(&self, title: &str) -> Option<Figure> {
        let data = self.of.data;
        let plot = Scatter {
            title: title.to_owned(),
            x: "first direction".to_owned(),
            y: "second direction".to_owned(),
            points: data.plane.clone(),
            names: self.names(0..data.plane.len()),
            is_plane: true,
        };
        let [first, second] = data.plane_shares.map(percent);
        let directions = (self.rows().len() - 1).min(self.of.group.dim);
        let caption = format!(
            "Centred class means on the two leading eigenvectors of Σ_B, in feature units. Of the variance of means these hold \
             {first} and {second}; were it even in all {} directions, each would hold {}.",
            grouped(&directions),
            percent(1.0 / directions as f64),
        );
        Some(Figure { svg: plot.draw()?, caption })
    }

    /// How the classes that are compared were chosen and put in order.
    fn order(&self) -> String {
        let (all, some) = (self.rows().len(), self.of.data.compared.len());
        let sampled = if some < all {
            format!("{some} of {} classes, evenly spaced along the leading direction of the means: ", grouped(&all))
        } else {
            String::new()
        };
        format!("{sampled}each is followed by the one most like it of those that are left")
    }

    /// `−1/(K−1)`, the cosine between any two means at a simplex.
    fn simplex(&self) -> f64 {
        -1.0 / (self.rows().len() as f64 - 1.0)
    }

    /// What is to be said where there are too many classes for a simplex.
    fn unattainable(&self) -> &'static str {
        if self.rows().len() > self.of.group.dim + 1 { ", which more than D + 1 classes cannot form," } else { "" }
    }

    /// A map of the cosines between class means, without those of a mean and itself.
    pub(super) fn cosines(&self) -> Option<Figure> {
        let data = self.of.data;
        let count = data.compared.len();
        // Two classes have one cosine, which is -1.
        if count < 3 {
            return None;
        }
        let other = |(at, cosine): (usize, &Option<f64>)| cosine.filter(|_| at / count != at % count);
        let map = HeatMap {
            title: format!("cosines between class means{}", self.which),
            rows: self.names(data.compared.iter().copied()),
            columns: Columns::Rows,
            values: data.cosines.iter().enumerate().map(other).collect(),
            great_is_dark: false,
        };
        let caption = format!(
            "Cosines between centred class means ({}). At a simplex{} all are {}, and the map has one colour; bright squares are \
             classes that are held alike.",
            self.order(),
            self.unattainable(),
            significant(self.simplex()),
        );
        Some(Figure { svg: map.draw()?, caption })
    }

    /// How often each cosine occurs; nothing if there are few.
    pub(super) fn histogram(&self) -> Option<Figure> {
        let data = self.of.data;
        let count = data.compared.len();
        let above = (0..count).flat_map(|a| (a + 1..count).map(move |b| a * count + b));
        let values: Vec<f64> = above.filter_map(|at| data.cosines[at]).collect();
        if values.len() < FEW_PAIRS {
            return None;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let simplex = self.simplex();
        let caption = format!(
            "The same cosines, of {} pairs; their mean is {}. Dashed: {}, where all are at a simplex{} and the tail to the right \
             holds the pairs that are most alike.",
            grouped(&values.len()),
            significant(mean),
            significant(simplex),
            if self.unattainable().is_empty() { ";" } else { self.unattainable() },
        );
        let plot = Histogram {
            title: format!("how often each cosine occurs{}", self.which),
            x: "cosine between two class means".to_owned(),
            what: "pairs".to_owned(),
            values,
            mark: Some(simplex),
        };
        Some(Figure { svg: plot.draw()?, caption })
    }

    /// A table of the pairs hardest to tell apart; empty if no pair has a number.
    pub(super) fn worst_pairs(&self) -> String {
        let pairs: &[Pair] = &self.of.data.worst_pairs;
        if pairs.is_empty() {
            return String::new();
        }
        let mut text = String::from(
            "<div class=\"wide\">\n<table>\n<caption>Pairs hardest to tell apart</caption>\n<thead>\n<tr>\
             <th class=\"left\">class</th><th class=\"left\">class</th><th>CDNV</th><th>distance of means</th></tr>\n\
             </thead>\n<tbody>\n",
        );
        for pair in pairs {
            let (first, second) = (self.name(&pair.first), self.name(&pair.second));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "<tr><td class=\"left name\">{}</td><td class=\"left name\">{}</td><td>{}</td><td>{}</td></tr>",
                markup(&first),
                markup(&second),
                significant(pair.cdnv),
                significant(pair.distance)
            );
        }
        text += "</tbody>\n</table>\n</div>\n<p class=\"soft\">CDNV is the mean of two variances over the squared distance of their \
                 means: above 1 the classes lie within each other, towards 0 they are points.</p>\n";
        text
    }
}

/// A share, with a space that no line is broken at.
fn percent(share: f64) -> String {
    let hundredths = 100.0 * share;
    if hundredths >= 9.5 { format!("{hundredths:.0}\u{a0}%") } else { format!("{}\u{a0}%", significant(hundredths)) }
}
