-- early_stopping: at which epoch are held-out rows collapsed most, and what does training beyond it do?
--
-- Source:  Galanti et al. 2021 (nc1_cdnv on rows that were not trained on).
-- Inputs:  features (feature, label, epoch, layer, split); $layer, which layer; $split, the rows held out from training.
-- Outputs: epoch; nc1_cdnv_train, nc1_cdnv_held_out (no unit, 0 at collapse); is_best, whether the held-out rows are at their
--          least; beyond_best, the ratio of nc1_cdnv_held_out to the least so far (no unit, 1 at a new least).
SELECT
  epoch,
  nc1_cdnv_train,
  nc1_cdnv_held_out,
  nc1_cdnv_held_out = min(nc1_cdnv_held_out) OVER () AS is_best,
  nc1_cdnv_held_out / min(nc1_cdnv_held_out) OVER (ORDER BY epoch) AS beyond_best
FROM (
  SELECT
    epoch,
    nc1_cdnv(feature, label) FILTER (WHERE split = 'train') AS nc1_cdnv_train,
    nc1_cdnv(feature, label) FILTER (WHERE split = $split) AS nc1_cdnv_held_out
  FROM features
  WHERE layer = $layer
  GROUP BY epoch
)
ORDER BY epoch;
