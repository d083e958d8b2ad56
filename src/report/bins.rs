//! Classes by their sizes: what rare and frequent ones are like.

use super::records::{Cells, Records, counts_of};
use super::{GroupReport, Report};
use crate::metrics::ClassRow;

/// Classes whose sizes lie between two powers of two.
struct Bin<'a> {
    group: &'a GroupReport,
    /// The smallest size, a power of two; sizes below twice of it are in the bin.
    from: u64,
    classes: Vec<&'a ClassRow>,
}

/// Returns a number of a bin.
type OfBin<T> = fn(&Bin<'_>) -> T;

impl Records {
    /// One record per bin of a group, from rare to frequent classes; bins without classes are left out.
    pub(super) fn of_bins(report: &Report) -> Self {
        let bins: Vec<Bin<'_>> = report.groups.iter().flat_map(bins_of).collect();
        let numbers: [(&str, OfBin<Option<f64>>); 6] = [
            ("variance", |bin| bin.variance()),
            ("nc1_trace_ratio", |bin| bin.trace_ratio()),
            ("cdnv_mean", |bin| bin.cdnv()),
            ("ncc_accuracy", |bin| bin.share(|class| class.ncc_hits)),
            ("classifier_accuracy", |bin| bin.share(|class| class.classifier_hits)),
            ("nc4_agreement", |bin| bin.share(|class| class.agreements)),
        ];
        let counts: [(&str, OfBin<u64>); 5] = [
            ("from_rows", |bin| bin.from),
            ("to_rows", |bin| bin.from * 2 - 1),
            ("classes", |bin| bin.classes.len() as u64),
            ("rows", |bin| bin.rows()),
            ("decisions", |bin| bin.sum(|class| class.decisions).unwrap_or(0)),
        ];
        let taken = counts.map(|(name, _)| name).into_iter().chain(numbers.map(|(name, _)| name)).collect();
        let mut records = Self::keyed(&bins.iter().map(|bin| bin.group).collect::<Vec<_>>(), &taken);
        for (name, count) in counts {
            records.push(name, counts_of(bins.iter().map(|bin| Some(count(bin)))));
        }
        records.keys += 2;
        for (name, number) in numbers {
            records.push(name, Cells::Float(bins.iter().map(number).collect()));
        }
        records
    }
}

fn bins_of(group: &GroupReport) -> Vec<Bin<'_>> {
    let mut classes: Vec<&ClassRow> = group.measurements.per_class.iter().filter(|class| class.count > 0).collect();
    classes.sort_by_key(|class| class.count.ilog2());
    let bin = |classes: &[&'_ ClassRow]| 1 << classes[0].count.ilog2();
    classes
        .chunk_by(|a, b| a.count.ilog2() == b.count.ilog2())
        .map(|classes| Bin { group, from: bin(classes), classes: classes.to_vec() })
        .collect()
}

impl Bin<'_> {
    fn rows(&self) -> u64 {
        self.classes.iter().map(|class| class.count).sum()
    }

    /// `Σ n_k v_k / Σ n_k` over classes that have a variance.
    fn variance(&self) -> Option<f64> {
        let varied = self.classes.iter().filter_map(|class| Some((class.count as f64, class.variance?)));
        let (sum, rows) = varied.fold((0.0, 0.0), |(sum, rows), (count, v)| (sum + count * v, rows + count));
        (rows > 0.0).then(|| sum / rows)
    }

    /// That over the mean of `‖μ_k − μ_G‖²`.
    fn trace_ratio(&self) -> Option<f64> {
        let between = self.classes.iter().map(|class| class.distance.powi(2)).sum::<f64>() / self.classes.len() as f64;
        self.variance().filter(|_| between > 0.0).map(|within| within / between)
    }

    /// The mean over classes of their mean CDNV with all others, of whatever size.
    fn cdnv(&self) -> Option<f64> {
        let cdnv: Vec<f64> = self.classes.iter().filter_map(|class| class.cdnv_mean).collect();
        (!cdnv.is_empty()).then(|| cdnv.iter().sum::<f64>() / cdnv.len() as f64)
    }

    /// Of the rows that were decided.
    fn share(&self, hits: fn(&ClassRow) -> Option<u64>) -> Option<f64> {
        let decided = self.sum(|class| class.decisions).filter(|&decided| decided > 0)?;
        self.sum(hits).map(|hits| hits as f64 / decided as f64)
    }

    /// `None` if no class has the count.
    fn sum(&self, count: impl Fn(&ClassRow) -> Option<u64>) -> Option<u64> {
        self.classes.iter().filter_map(|class| count(class)).reduce(|a, b| a + b)
    }
}
