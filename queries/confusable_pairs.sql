-- confusable_pairs: which pairs of classes are hardest to tell apart?
--
-- Source:  Galanti et al. 2021 (CDNV).
-- Inputs:  features (feature, label, epoch, layer, split); $epoch, $layer and $split, which rows to take; $pairs, how many.
-- Outputs: first, second, the classes; cdnv (no unit, 0 at collapse); distance between their means (feature units).
SELECT pair.first, pair.second, pair.cdnv, pair.distance
FROM (
  SELECT unnest(nc_worst_pairs(nc_moments(feature, label), $pairs)) AS pair
  FROM features
  WHERE epoch = $epoch AND layer = $layer AND split = $split
)
ORDER BY pair.cdnv DESC;
