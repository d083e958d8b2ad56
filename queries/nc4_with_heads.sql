-- nc4_with_heads: does the classifier decide as the nearest class centre does, on rows that it has not seen?
--
-- Source:  Papyan, Han & Donoho 2020 (NC4).
-- Inputs:  features (feature, label, epoch, layer, split); $layer, which layer; the centres come from the split train, the
--          rows that are decided from $split; $heads, the path of the classifiers with {epoch} in the place of the epoch.
-- Outputs: epoch; rows, how many were decided; nc4_agreement, nc4_agreement_macro, ncc_accuracy, classifier_accuracy
--          (shares of rows; nc4_agreement is 1 at collapse).
WITH centres AS (
  SELECT epoch, nc_moments(feature, label) AS s
  FROM features
  WHERE layer = $layer AND split = 'train'
  GROUP BY epoch
), judges AS (
  SELECT
    epoch,
    nc_share(s) AS s,
    nc_share(nc_head(replace($heads, '{epoch}', CAST(epoch AS VARCHAR)))) AS head
  FROM centres
), decided AS (
  SELECT f.epoch, count(*) AS rows, nc_decisions(f.feature, f.label, j.s, j.head) AS d
  FROM features f JOIN judges j ON f.epoch = j.epoch
  WHERE f.layer = $layer AND f.split = $split
  GROUP BY f.epoch
)
SELECT
  epoch,
  rows,
  nc4_agreement_of(d),
  nc4_agreement_macro_of(d),
  ncc_accuracy_of(d),
  classifier_accuracy_of(d)
FROM decided
ORDER BY epoch;
