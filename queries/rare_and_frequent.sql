-- rare_and_frequent: do rare classes collapse as far as frequent ones?
--
-- Source:  Galanti et al. 2021 (nc1_cdnv); Tirer et al. 2023 (nc1_trace_ratio); Papyan, Han & Donoho 2020 (nc2_etf_error).
-- Inputs:  features (feature, label, epoch, layer, split); $layer and $split, which rows to take.
-- Outputs: epoch; half, rare (the half of the classes with the fewest rows) or frequent; classes and rows, their numbers;
--          nc1_trace_ratio, nc1_cdnv, nc2_etf_error (no unit, 0 at collapse).
WITH counts AS (
  SELECT label, count(*) AS n
  FROM features
  WHERE layer = $layer AND split = $split
  GROUP BY label
), halves AS (
  SELECT label, CASE ntile(2) OVER (ORDER BY n, label) WHEN 1 THEN 'rare' ELSE 'frequent' END AS half
  FROM counts
)
SELECT
  f.epoch,
  h.half,
  count(DISTINCT f.label) AS classes,
  count(*) AS rows,
  nc1_trace_ratio(f.feature, f.label),
  nc1_cdnv(f.feature, f.label),
  nc2_etf_error(f.feature, f.label)
FROM features f JOIN halves h ON f.label = h.label
WHERE f.layer = $layer AND f.split = $split
GROUP BY f.epoch, h.half
ORDER BY f.epoch, h.half DESC;
