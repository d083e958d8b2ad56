-- store_states: what is worth keeping of every group, so that no row is read again?
--
-- Source:  the state is exact: any of it can be merged, and every metric of a first read made of it, at any later time.
-- Inputs:  features (feature, label, epoch, layer, split); $layer, which layer.
-- Outputs: epoch, split; rows, their number; state, a struct of typed columns for `-o states.parquet`.
SELECT epoch, split, count(*) AS rows, nc_state(feature, label) AS state
FROM features
WHERE layer = $layer
GROUP BY epoch, split
ORDER BY epoch, split;
