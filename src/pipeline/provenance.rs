//! What a run asks of rows, and what is asked of further rows beside the states of earlier runs.

use std::collections::{BTreeMap, BTreeSet};

use super::Rounding;
use super::first_pass::Blocking;
use crate::archive::{Archive, Policy, Request};
use crate::store::{Filters, Provenance};

/// Under which conventions a run counts the rows of an archive.
pub(super) fn provenance(
    archive: &Archive,
    request: &Request,
    rounding: Rounding,
    scatter: bool,
    blocking: &Blocking,
) -> Provenance {
    let blocks = match blocking {
        Blocking::Dealt(dealing) => Some(dealing.clone()),
        Blocking::None | Blocking::Key(_) => None,
    };
    Provenance {
        blocks,
        group_by: request.group_by.clone(),
        features: archive.features().name.clone(),
        dtype: request.dtype,
        labels: archive.labels().map(|column| column.name.clone()),
        label_kind: archive.label_kind(),
        ignore_label: request.ignore_label.clone().filter(|label| !label.is_empty()),
        normalize: request.normalize,
        scatter,
        filters: BTreeSet::from([Filters::new(request.filters.clone())]),
        exponents: BTreeSet::from([rounding.exponent]),
        extra_bits: BTreeSet::from([rounding.extra_bits]),
        nulls: BTreeSet::from([request.nulls]),
        nonfinite: BTreeSet::from([request.nonfinite]),
    }
}

/// A request for the columns of these states, which leaves out what any of them left out.
pub(super) fn request(provenance: &Provenance, request: Request) -> Request {
    let policy = |set: &BTreeSet<Policy>| if set.contains(&Policy::Skip) { Policy::Skip } else { Policy::Fail };
    Request {
        features: Some(provenance.features.clone()),
        dtype: provenance.dtype,
        labels: provenance.labels.clone(),
        ignore_label: provenance.ignore_label.clone(),
        normalize: provenance.normalize,
        nulls: policy(&provenance.nulls),
        nonfinite: policy(&provenance.nonfinite),
        ..request
    }
}

impl Rounding {
    /// How further rows are rounded beside these states. Where they were rounded in several ways: on each chunk's own grid
    /// if some were, with the most extra bits, and otherwise on the finest of the fixed grids.
    pub(super) fn beside(provenance: &Provenance) -> Self {
        Self {
            // `None`, each chunk's own, comes before all exponents.
            exponent: provenance.exponents.first().copied().flatten(),
            extra_bits: provenance.extra_bits.last().copied().unwrap_or(0),
        }
    }
}

/// Says how the rows of `--ood` are rounded, if the states were rounded in several ways.
pub(super) fn rounding_note(provenance: &Provenance) -> Option<String> {
    let Provenance { exponents, extra_bits, .. } = provenance;
    if exponents.len() <= 1 && extra_bits.len() <= 1 {
        return None;
    }
    let shown = provenance.shown();
    let ways = format!("grid {}, extra_bits {}", shown["grid"], shown["extra_bits"]);
    Some(match Rounding::beside(provenance) {
        Rounding { exponent: Some(exponent), .. } => {
            format!("the states were rounded in several ways ({ways}): --ood is rounded with --grid {exponent}")
        }
        Rounding { exponent: None, extra_bits } => format!(
            "the states were rounded in several ways ({ways}): --ood is rounded on each chunk's own grid with --extra-bits \
             {extra_bits}"
        ),
    })
}

/// What the records say of the rows; `pooled` names the keys over which groups pool their files.
pub(super) fn of_rows(provenance: &Provenance, pooled: String) -> BTreeMap<&'static str, String> {
    let mut shown = provenance.shown();
    let names = ["where", "features", "dtype", "labels", "grid", "extra_bits", "ignore_label", "normalize"];
    let settings = names.map(|name| (name, shown.remove(name).unwrap_or_default()));
    let others = [("group_by", provenance.group_by.join(",")), ("pooled", pooled)];
    settings.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::LabelKind;

    fn rounded(exponents: &[Option<i16>], extra_bits: &[u32]) -> Provenance {
        Provenance {
            group_by: Vec::new(),
            features: "x".to_owned(),
            dtype: None,
            labels: None,
            label_kind: LabelKind::Int,
            ignore_label: None,
            normalize: false,
            scatter: false,
            filters: BTreeSet::new(),
            exponents: exponents.iter().copied().collect(),
            extra_bits: extra_bits.iter().copied().collect(),
            nulls: BTreeSet::new(),
            nonfinite: BTreeSet::new(),
            blocks: None,
        }
    }

    #[test]
    fn further_rows_are_rounded_as_beside_the_finest_states() {
        for (exponents, extra_bits, exponent, bits) in [
            (&[None][..], &[3][..], None, 3),
            (&[Some(-20)], &[0], Some(-20), 0),
            (&[Some(-3), Some(-20), Some(5)], &[0], Some(-20), 0),
            (&[Some(-20), None], &[0], None, 0),
            (&[None], &[10, 9, 0], None, 10),
        ] {
            let provenance = rounded(exponents, extra_bits);
            assert_eq!(Rounding::beside(&provenance), Rounding { exponent, extra_bits: bits });
            let several = exponents.len() + extra_bits.len() > 2;
            assert_eq!(rounding_note(&provenance).is_some(), several, "{exponents:?}");
        }
    }
}
