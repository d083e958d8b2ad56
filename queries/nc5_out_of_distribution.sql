-- nc5_out_of_distribution: is the mean of out-of-distribution rows orthogonal to the class means?
--
-- Source:  Ammar et al. 2024 (NC5).
-- Inputs:  features (feature, label, epoch, layer, split); $layer, which layer; the class means come from the split train,
--          the rows out of distribution from the split $ood.
-- Outputs: epoch; ood_rows, their number; nc5_ortho_dev (no unit, 0 at collapse).
SELECT epoch, ood_rows, nc5_ortho_dev_of(s, outside)
FROM (
  SELECT
    epoch,
    count(*) FILTER (WHERE split = $ood) AS ood_rows,
    nc_moments(feature, label) FILTER (WHERE split = 'train') AS s,
    nc_moments(feature, label) FILTER (WHERE split = $ood) AS outside
  FROM features
  WHERE layer = $layer
  GROUP BY epoch
)
ORDER BY epoch;
