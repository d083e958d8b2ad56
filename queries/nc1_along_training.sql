-- nc1_along_training: how does the variability within classes fall as training goes on?
--
-- Source:  Papyan, Han & Donoho 2020 (nc1_pinv); Galanti et al. 2021 (nc1_cdnv); Tirer et al. 2023 (nc1_trace_ratio).
-- Inputs:  features (feature, label, epoch, layer, split); $layer and $split, which rows to take.
-- Outputs: epoch; rows, their number; nc1_pinv, nc1_cdnv, nc1_trace_ratio (no unit, 0 at collapse).
SELECT
  epoch,
  count(*) AS rows,
  nc1_pinv(feature, label),
  nc1_cdnv(feature, label),
  nc1_trace_ratio(feature, label)
FROM features
WHERE layer = $layer AND split = $split
GROUP BY epoch
ORDER BY epoch;
