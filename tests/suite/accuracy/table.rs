//! What was found of each metric, over all sets.

use std::collections::BTreeMap;
use std::fmt;

use nckit::metrics::cards;

use super::judge::Verdict;

/// Counts and worst cases, metric by metric.
#[derive(Default)]
pub(super) struct Table {
    pub(super) sets: usize,
    /// Sets whose scales no grid can hold together, which the library says.
    pub(super) refused: usize,
    metrics: BTreeMap<&'static str, Line>,
}

#[derive(Default)]
struct Line {
    judged: usize,
    /// The largest relative error, however it was judged.
    error: f64,
    /// Numbers beyond the target that their estimate covers, and the largest error over estimate.
    estimated: usize,
    share: f64,
    flagged: usize,
    null: usize,
    violations: usize,
}

impl Table {
    pub(super) fn add(&mut self, key: &'static str, verdict: &Verdict) {
        let line = self.metrics.entry(key).or_default();
        line.judged += usize::from(*verdict != Verdict::Unjudged);
        match *verdict {
            Verdict::Right { error } => line.error = line.error.max(error),
            Verdict::Estimated { error, share } => {
                line.estimated += 1;
                line.error = line.error.max(error);
                line.share = line.share.max(share);
            }
            Verdict::Flagged { .. } => line.flagged += 1,
            Verdict::Null { .. } | Verdict::Neither => line.null += 1,
            Verdict::Silent { .. } | Verdict::WrongReason { .. } => line.violations += 1,
            Verdict::Unjudged => {}
        }
    }

    pub(super) fn violations(&self) -> usize {
        self.metrics.values().map(|line| line.violations).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} sets, {} more refused for their scales.\n", self.sets, self.refused)?;
        writeln!(
            f,
            "| metric | judged | worst error | beyond 1e-6, estimated | worst error / estimate | flagged | null | silent |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
        for (key, line) in cards().iter().filter_map(|card| Some((card.key, self.metrics.get(card.key)?))) {
            let share = if line.estimated > 0 { format!("{:.2}", line.share) } else { String::new() };
            let Line { judged, error, estimated, flagged, null, violations, .. } = line;
            writeln!(
                f,
                "| `{key}` | {judged} | {error:.0e} | {estimated} | {share} | {flagged} | {null} | {violations} |"
            )?;
        }
        Ok(())
    }
}
