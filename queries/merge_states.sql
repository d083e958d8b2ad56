-- merge_states: what are the metrics of several groups together, by their stored states alone?
--
-- Source:  Papyan, Han & Donoho 2020 (nc1_pinv, nc2_etf_error).
-- Inputs:  states (epoch, split, state), as store_states writes them.
-- Outputs: epoch; groups, how many states were merged; nc1_pinv, nc1_trace_ratio, nc2_etf_error of the rows of the splits
--          train and test together (no unit, 0 at collapse).
SELECT epoch, groups, nc1_pinv_of(s), nc1_trace_ratio_of(s), nc2_etf_error_of(s)
FROM (
  SELECT epoch, count(*) AS groups, nc_merge(state) AS s
  FROM states
  WHERE split IN ('train', 'test')
  GROUP BY epoch
)
ORDER BY epoch;
