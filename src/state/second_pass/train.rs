//! What a second read finds in the rows that the statistics were made of.

use super::state::TrainRows;
use super::{Labelled, SecondPass, SecondPassState, weights, widen};
use crate::error::{Error, Result};
use crate::kernels::Workspace;
use crate::kernels::lines::unit_distance;

/// Rows that are held in `f64` at a time.
const TILE_ROWS: usize = 256;

impl SecondPass<'_> {
    pub(super) fn add_train_rows(
        &self,
        rows: &Labelled<'_>,
        seen: &mut SecondPassState,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let Labelled { batch, rows, classes } = rows;
        seen.own.resize(self.spec.statistics.classes(), TrainRows::default());
        // Class by class, so that the lines from a class's mean serve all its rows.
        let mut of_class: Vec<(usize, u32)> =
            classes.iter().zip(*rows).filter_map(|(class, &row)| Some(((*class)?, row))).collect();
        of_class.sort_unstable();
        let values = &mut workspace.wide_rows;
        for group in of_class.chunk_by(|a, b| a.0 == b.0) {
            let class = group[0].0;
            let own = &mut seen.own[class];
            own.rows += group.len() as u64;
            for tile in group.chunks(TILE_ROWS) {
                let tile: Vec<u32> = tile.iter().map(|&(_, row)| row).collect();
                widen(batch, &tile, values);
                let out_of_range = |row: u32| Error::data("a row is out of range for its class").with("row", row);
                if self.spec.hug_intra {
                    self.add_distances(class, values, own);
                }
                if let (Some(lines), Some(place)) = (&self.lines, self.places[class]) {
                    self.centre(class, values);
                    for (&row, spread) in tile.iter().zip(lines.spread(place, values)) {
                        if !spread.is_finite() {
                            return Err(out_of_range(row));
                        }
                        own.spread.add(spread);
                    }
                }
            }
        }
        Ok(())
    }

    fn add_distances(&self, class: usize, values: &[f64], own: &mut TrainRows) {
        let Some(head) = self.spec.head else { return };
        let dim = self.spec.statistics.dim;
        for x in values.chunks_exact(dim) {
            match unit_distance(x, weights(head, class, dim)) {
                Some(distance) => own.distances.add(distance),
                None => own.zero_rows += 1,
            }
        }
    }

    /// Subtracts the class's mean from rows.
    fn centre(&self, class: usize, values: &mut [f64]) {
        let statistics = self.spec.statistics;
        let offset = statistics.offset(class);
        for row in values.chunks_exact_mut(statistics.dim) {
            for ((x, origin), offset) in row.iter_mut().zip(&statistics.origin).zip(offset) {
                *x = (*x - origin) - offset;
            }
        }
    }
}
