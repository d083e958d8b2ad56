-- nc3_with_heads: does each epoch's classifier align with its class means?
--
-- Source:  Papyan, Han & Donoho 2020 (nc3_self_duality_sq); Kothapalli 2023 (nc3_duality_error); Wu & Papyan 2024
--          (unc3_cos_cv).
-- Inputs:  features (feature, label, epoch, layer, split); $layer and $split, which rows to take; $heads, the path of the
--          classifiers with {epoch} in the place of the epoch.
-- Outputs: epoch; nc3_self_duality_sq, nc3_duality_error (no unit, 0 at collapse); nc3_cos_mean (no unit, 1 at collapse);
--          nc3_cos_var (no unit, 0 at collapse).
SELECT
  epoch,
  nc3_self_duality_sq_of(s, head),
  nc3_duality_error_of(s, head),
  nc3_cos_mean_of(s, head),
  nc3_cos_var_of(s, head)
FROM (
  SELECT epoch, s, nc_head(replace($heads, '{epoch}', CAST(epoch AS VARCHAR))) AS head
  FROM (
    SELECT epoch, nc_moments(feature, label) AS s
    FROM features
    WHERE layer = $layer AND split = $split
    GROUP BY epoch
  )
)
ORDER BY epoch;
