-- nc2_against_gnc2: do the class means of each layer form a simplex, or are they only spread evenly?
--
-- Source:  Papyan, Han & Donoho 2020 (NC2); Liu et al. 2023 and Wu & Papyan 2024 (GNC2).
-- Inputs:  features (feature, label, epoch, layer, split); $epoch and $split, which rows to take.
-- Outputs: layer; dim, the features' width (dimensions); nc2_equinorm_cv, nc2_equiangular_std, nc2_etf_error (no unit,
--          0 at collapse); gnc2_distance_mean, gnc2_distance_var and gnc2_log_energy_mean, gnc2_log_energy_var (no unit,
--          of means on the unit sphere; the variances are 0 at collapse).
SELECT
  layer,
  s.dim AS dim,
  nc2_equinorm_cv_of(s),
  nc2_equiangular_std_of(s),
  nc2_etf_error_of(s),
  gnc2_distance_mean_of(s),
  gnc2_distance_var_of(s),
  gnc2_log_energy_mean_of(s),
  gnc2_log_energy_var_of(s)
FROM (
  SELECT layer, nc_moments(feature, label) AS s
  FROM features
  WHERE epoch = $epoch AND split = $split
  GROUP BY layer
)
ORDER BY layer;
