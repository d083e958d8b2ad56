-- leave_one_out: how much does each shard move the result?
--
-- Source:  the jackknife; states subtract exactly, so that every row is read once.
-- Inputs:  features (feature, label, epoch, layer, split), of which each split counts as a shard; $epoch and $layer, which
--          rows to take.
-- Outputs: left_out, the shard; rows, how many are left; nc1_pinv and nc1_cdnv without it (no unit, 0 at collapse);
--          nc1_pinv_change, the ratio to nc1_pinv of all rows less 1 (no unit).
WITH shards AS (
  SELECT split, count(*) AS n, nc_state(feature, label) AS s
  FROM features
  WHERE epoch = $epoch AND layer = $layer
  GROUP BY split
), total AS (
  SELECT sum(n) AS n, nc_merge(s) AS s FROM shards
)
SELECT
  left_out,
  rows,
  nc1_pinv_of(s),
  nc1_cdnv_of(s),
  nc1_pinv_of(s) / nc1_pinv_of(all_rows) - 1 AS nc1_pinv_change
FROM (
  SELECT
    shards.split AS left_out,
    total.n - shards.n AS rows,
    nc_subtract(total.s, shards.s) AS s,
    total.s AS all_rows
  FROM shards CROSS JOIN total
)
ORDER BY left_out;
