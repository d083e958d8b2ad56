-- reference_results: what does the PyTorch package `neural_collapse` put into its results, under its names?
--
-- Source:  https://github.com/rhubarbwu/neural-collapse; its decisions leave the classifier's bias out, and so does nc4_agree.
-- Inputs:  features (feature, label, epoch, layer, split); $epoch and $layer, which rows to take; means and decisions are of
--          the split train, the rows out of distribution of the split $ood; $head, the path of the classifier.
-- Outputs: nc1_pinv, nc1_svd, nc1_quot, nc1_cdnv, nc2_etf_err, nc2g_dist, nc2g_log, nc3_dual_err, nc5_ood_dev (no unit, 0 at
--          collapse); nc3u_uni_dual (feature × weight, squared; 0 at collapse); nc4_agree (share of rows, 1 at collapse).
WITH states AS (
  SELECT
    nc_state(feature, label) FILTER (WHERE split = 'train') AS s,
    nc_moments(feature, label) FILTER (WHERE split = $ood) AS outside
  FROM features
  WHERE epoch = $epoch AND layer = $layer
), decided AS (
  SELECT nc_decisions(feature, label, (SELECT s FROM states), nc_head($head)) AS d
  FROM features
  WHERE epoch = $epoch AND layer = $layer AND split = 'train'
)
SELECT
  nc1_pinv_of(s) AS nc1_pinv,
  nc1_svd_of(s) AS nc1_svd,
  nc1_trace_ratio_of(s) AS nc1_quot,
  nc1_cdnv_of(s) AS nc1_cdnv,
  nc2_etf_error_of(s) AS nc2_etf_err,
  gnc2_distance_var_of(s) AS nc2g_dist,
  gnc2_log_energy_var_of(s) AS nc2g_log,
  nc3_duality_error_of(s, nc_head($head)) AS nc3_dual_err,
  nc3_dot_var_of(s, nc_head($head)) AS nc3u_uni_dual,
  nc4_agreement_no_bias_of(d) AS nc4_agree,
  nc5_ortho_dev_of(s, outside) AS nc5_ood_dev
FROM states CROSS JOIN decided;
