-- runs: how does collapse go with what is known of the runs, as their loss and accuracy?
--
-- Source:  Papyan, Han & Donoho 2020 (nc1_pinv, nc2_etf_error).
-- Inputs:  features (feature, label, epoch, layer, split); runs (epoch, train_error, test_error), one row an epoch, from CSV
--          for instance; $layer and $split, which rows to take.
-- Outputs: epoch; train_error, test_error (shares of rows, from runs); nc1_pinv, nc2_etf_error (no unit, 0 at collapse).
SELECT n.epoch, r.train_error, r.test_error, n.nc1_pinv, n.nc2_etf_error
FROM (
  SELECT epoch, nc1_pinv(feature, label) AS nc1_pinv, nc2_etf_error(feature, label) AS nc2_etf_error
  FROM features
  WHERE layer = $layer AND split = $split
  GROUP BY epoch
) n
JOIN runs r ON n.epoch = r.epoch
ORDER BY n.epoch;
