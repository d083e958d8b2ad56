//! What is to be said beside the numbers of a query: estimated rounding errors, remarks of the metrics, and warnings of
//! the tables that it read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Measurements;

/// Relative errors by rounding above this are reported.
const DOUBTFUL: f64 = 1e-6;

/// Numbers that are remembered; of more, only the worst error of their metric is.
const MOST: usize = 65_536;

/// A number that is not beyond doubt.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubt {
    /// The key of the metric.
    pub metric: &'static str,
    /// The estimated relative rounding error, if it is above 1e-6.
    pub error: Option<f64>,
    /// The remarks of the metric.
    pub flags: Vec<&'static str>,
}

/// The doubtful numbers that a session's query has made so far, by their bits: wherever a number is shown, it is known
/// again, whatever it is joined with, sorted by or called.
#[derive(Clone, Debug, Default)]
pub struct Doubts(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// How many numbers of these bits have which doubts.
    by_value: HashMap<u64, Vec<(u64, Doubt)>>,
    /// How many of each metric have a rounding error above 1e-6, and the worst of them.
    made: HashMap<&'static str, (u64, Doubt)>,
    numbers: usize,
    /// What tables warned of since they were last taken, each once.
    warnings: Vec<String>,
}

impl Doubts {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all numbers: another query begins. Warnings stay until they are taken.
    pub fn clear(&self) {
        let mut inner = self.inner();
        let warnings = std::mem::take(&mut inner.warnings);
        *inner = Inner { warnings, ..Inner::default() };
    }

    /// Remembers what a table warned of when it was opened.
    pub(in crate::sql) fn warn(&self, warnings: &[String]) {
        let mut inner = self.inner();
        for warning in warnings {
            if !inner.warnings.contains(warning) {
                inner.warnings.push(warning.clone());
            }
        }
    }

    /// Takes what tables warned of, each warning once.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().warnings)
    }

    /// Remembers the numbers of a group that are doubtful, and the numbers whose metrics have remarks, unless the
    /// remarks are shown beside them.
    pub(in crate::sql) fn note(&self, measured: &Measurements, with_remarks: bool) {
        for metric in &measured.metrics {
            let Some(value) = metric.value else { continue };
            let error = measured.accuracy.get(metric.key).copied().filter(|&error| error.is_nan() || error > DOUBTFUL);
            let flags = if with_remarks { metric.flags.clone() } else { Vec::new() };
            if error.is_none() && flags.is_empty() {
                continue;
            }
            let doubt = Doubt { metric: metric.key, error, flags };
            self.inner().note(value, doubt);
        }
    }

    /// What is to be said of a number that is shown, and how many numbers of these bits each doubt is of.
    pub fn of(&self, value: f64) -> Vec<(u64, Doubt)> {
        self.inner().by_value.get(&value.to_bits()).cloned().unwrap_or_default()
    }

    /// Whether no number has a doubt or a remark.
    pub fn is_empty(&self) -> bool {
        self.inner().by_value.is_empty()
    }

    /// For each metric with numbers whose rounding error is above 1e-6, how many there were, and the worst.
    pub fn made(&self) -> Vec<(u64, Doubt)> {
        let mut made: Vec<(u64, Doubt)> = self.inner().made.values().cloned().collect();
        made.sort_by_key(|(_, doubt)| doubt.metric);
        made
    }
}

impl Inner {
    fn note(&mut self, value: f64, doubt: Doubt) {
        if doubt.error.is_some() {
            let bare = Doubt { flags: Vec::new(), ..doubt.clone() };
            let (made, worst) = self.made.entry(doubt.metric).or_insert_with(|| (0, bare.clone()));
            *made += 1;
            worst.merge(&bare);
        }
        let known = self.by_value.entry(value.to_bits()).or_default();
        if let Some((made, known)) = known.iter_mut().find(|(_, known)| known.metric == doubt.metric) {
            *made += 1;
            known.merge(&doubt);
        } else if self.numbers < MOST {
            self.numbers += 1;
            known.push((1, doubt));
        }
    }
}

impl Doubt {
    /// Takes in what another says of the same metric.
    pub fn merge(&mut self, other: &Self) {
        self.error = match (self.error, other.error) {
            (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        for flag in &other.flags {
            if !self.flags.contains(flag) {
                self.flags.push(flag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Measured;

    fn measured(value: f64, error: f64, flags: &[&'static str]) -> Measurements {
        let (key, value, flags) = ("nc1_pinv", Some(value), flags.to_vec());
        let metric = Measured { key, value, floor: None, reason: None, flags, counts: Vec::new(), error_bar: None };
        Measurements { metrics: vec![metric], accuracy: [("nc1_pinv", error)].into(), ..Measurements::default() }
    }

    #[test]
    fn doubtful_numbers_are_known_again() {
        let doubts = Doubts::default();
        doubts.note(&measured(0.5, 1e-7, &[]), true);
        assert!(doubts.is_empty());
        doubts.note(&measured(0.25, 1e-5, &[]), true);
        doubts.note(&measured(0.25, 3e-5, &["x"]), true);
        doubts.note(&measured(2.0, 1e-9, &["y"]), true);
        doubts.note(&measured(4.0, 1e-9, &["z"]), false);
        assert_eq!((doubts.of(0.5), doubts.of(4.0)), (Vec::new(), Vec::new()));
        let doubt = |error, flags: &[&'static str]| Doubt { metric: "nc1_pinv", error, flags: flags.to_vec() };
        assert_eq!(doubts.of(0.25), [(2, doubt(Some(3e-5), &["x"]))]);
        assert_eq!(doubts.of(2.0), [(1, doubt(None, &["y"]))]);
        assert_eq!(doubts.made(), [(2, doubt(Some(3e-5), &[]))]);
        doubts.clear();
        assert!(doubts.is_empty());
    }

    #[test]
    fn what_is_no_error_at_all_is_doubtful() {
        let doubts = Doubts::default();
        doubts.note(&measured(0.5, f64::NAN, &[]), true);
        assert_eq!(doubts.made().len(), 1);
    }
}
