-- classes: how tight is each class, how far from the centre, and which one is it nearest to?
--
-- Source:  Papyan, Han & Donoho 2020; Galanti et al. 2021 (CDNV).
-- Inputs:  features (feature, label, epoch, layer, split); $epoch, $layer and $split, which rows to take.
-- Outputs: label; count (rows); variance (feature units squared); distance to the global mean (feature units); snr, cdnv_worst
--          (no unit; cdnv_worst is 0 at collapse); worst_neighbour, the class of that cdnv.
SELECT class.label, class.count, class.variance, class.distance, class.snr, class.cdnv_worst, class.worst_neighbour
FROM (
  SELECT unnest(nc_classes(nc_moments(feature, label))) AS class
  FROM features
  WHERE epoch = $epoch AND layer = $layer AND split = $split
)
ORDER BY class.variance DESC;
