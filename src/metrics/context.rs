//! What metrics of a group are made of.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::catalogue::{Card, Family, Need};
use super::figures::WORST;
use super::geometry::Geometry;
use super::hug::ENERGY_S;
use super::mse::{self, Decomposition};
use super::nc1::{self, Pinv, Vci};
use super::nc3::{Alignment, Duality};
use super::nc4::{Decided, Shares};
use super::separation::Errors;
use super::spectrum::{Covariance, Eigenvalues};
use super::vectors::Vectors;
use super::{Evidence, Extras, Normaliser, Options, Selection, accuracy};
use crate::kernels::pairs::{self, Cdnv, Sweep, Variances};
use crate::state::SecondPassResult;

/// The evidence of a group, and the quantities that several metrics share, made when first asked for.
pub(super) struct MetricContext<'a> {
    pub evidence: &'a Evidence<'a>,
    pub options: &'a Options,
    selection: &'a Selection,
    /// Of the centred class means.
    pub means: Geometry,
    weights: Option<Geometry>,
    pub cdnv: Option<Cdnv>,
    pinv: OnceCell<Result<Pinv, &'static str>>,
    vci: OnceCell<Result<Vci, &'static str>>,
    alignment: OnceCell<Alignment>,
    shares: OnceCell<Result<Shares, &'static str>>,
    decomposition: OnceCell<Result<Decomposition, &'static str>>,
    rows: OnceCell<Result<Eigenvalues, &'static str>>,
    within: OnceCell<Result<Eigenvalues, &'static str>>,
    uncentred: OnceCell<Result<Eigenvalues, &'static str>>,
    lda_errors: OnceCell<Result<Errors, &'static str>>,
}

impl<'a> MetricContext<'a> {
    /// Centres the means and sweeps the pairs of classes as far as the selection needs it.
    pub(super) fn new(
        evidence: &'a Evidence<'a>,
        options: &'a Options,
        selection: &'a Selection,
        extras: Extras,
    ) -> Self {
        let statistics = evidence.statistics;
        let pairs_of = |family: fn(Family) -> bool, weights: bool| {
            selection
                .cards()
                .any(|card| card.needs.contains(&Need::Pairs) && card.needs_head() == weights && family(card.family))
        };
        let swept = |vectors: &Vectors, weights: bool, variances: Option<&Variances<'_>>| {
            let wants_angles = pairs_of(|family| matches!(family, Family::Nc2 | Family::Gnc2), weights);
            let wants_energy = pairs_of(|family| family == Family::Hug, weights);
            // One sweep serves both if they share the exponent.
            let shared = wants_energy && (!wants_angles || options.riesz_s == ENERGY_S);
            let riesz_s = if shared { Some(ENERGY_S) } else { wants_angles.then_some(options.riesz_s) };
            let Sweep { cdnv, angles } = sweep(vectors, variances, riesz_s);
            let energy = match wants_energy {
                true if shared => angles.clone(),
                true => sweep(vectors, None, Some(ENERGY_S)).angles,
                false => None,
            };
            (cdnv, angles, energy)
        };
        let used = nc1::classes::with_variance(statistics, options);
        let variances = Variances {
            values: &statistics.variances,
            used: &used,
            exponent: options.cdnv_exponent,
            worst: if extras.figures { extras.worst_pairs.max(WORST) } else { extras.worst_pairs },
        };
        // The estimate of the directional one is made of the others'.
        let directional = selection.cards().any(|card| card.needs.contains(&Need::Directional));
        let of_nc1 = pairs_of(|family| family == Family::Nc1, false) || directional;
        let wants_cdnv = of_nc1 || extras.per_class || extras.worst_pairs > 0 || extras.figures;
        let means = Vectors::centred(statistics, options.centring);
        let (cdnv, angles, energy) = swept(&means, false, wants_cdnv.then_some(&variances));
        let means = Geometry::new(means, "zero_between", angles, energy);
        let weights = evidence.head.map(|head| {
            let weights = Vectors::new(statistics.dim, head.weights.clone(), 0.0).off_by(&head.errors);
            let (_, angles, energy) = swept(&weights, true, None);
            Geometry::new(weights, "zero_weights", angles, energy)
        });
        Self {
            evidence,
            options,
            selection,
            means,
            weights,
            cdnv,
            pinv: OnceCell::new(),
            vci: OnceCell::new(),
            alignment: OnceCell::new(),
            shares: OnceCell::new(),
            decomposition: OnceCell::new(),
            rows: OnceCell::new(),
            within: OnceCell::new(),
            uncentred: OnceCell::new(),
            lda_errors: OnceCell::new(),
        }
    }

    /// `nc1_pinv` and what it is made of, or why there is none.
    pub(super) fn pinv(&self) -> Result<&Pinv, &'static str> {
        let Evidence { statistics, significand_bits, .. } = *self.evidence;
        let make = || Pinv::of(statistics, &self.means.vectors.points(), significand_bits, self.options);
        self.pinv.get_or_init(make).as_ref().map_err(|reason| *reason)
    }

    /// `nc1_vci` and what it is made of, or why there is none.
    pub(super) fn vci(&self) -> Result<&Vci, &'static str> {
        let Evidence { statistics, significand_bits, .. } = *self.evidence;
        let make = || Vci::of(statistics, significand_bits, self.options);
        self.vci.get_or_init(make).as_ref().map_err(|reason| *reason)
    }

    /// The pooled scatter, or why there is none. Where every class is to count the same, it is of no use.
    pub(super) fn scatter(&self) -> Result<&'a [f64], &'static str> {
        if self.options.normaliser == Normaliser::Balanced {
            return Err("needs_per_class_scatter");
        }
        self.evidence.statistics.scatter.as_deref().ok_or("no_scatter")
    }

    /// The eigenvalues of a covariance, or why there are none.
    pub(super) fn eigenvalues(&self, covariance: Covariance) -> Result<&Eigenvalues, &'static str> {
        let made = match covariance {
            Covariance::Rows => &self.rows,
            Covariance::Within => &self.within,
            Covariance::Uncentred => &self.uncentred,
        };
        let make = || Eigenvalues::of(covariance, self.evidence.statistics, self.scatter()?);
        made.get_or_init(make).as_ref().map_err(|reason| *reason)
    }

    /// Whether those of `Σ_W` were asked for already.
    pub(super) fn has_eigenvalues_within(&self) -> bool {
        self.within.get().is_some()
    }

    /// The errors of linear discriminant analysis, or why there are none.
    pub(super) fn lda_errors(&self) -> Result<&Errors, &'static str> {
        let make = || Errors::of(self, self.vci()?);
        self.lda_errors.get_or_init(make).as_ref().map_err(|reason| *reason)
    }

    /// The reason for null of a metric that needs the scatter: `filter_after_pooling` if there is none because classes were
    /// left out after it was pooled.
    pub(super) fn scatter_reason(&self, reason: &'static str) -> &'static str {
        let filtered = self.options.min_count.is_some() || self.options.max_count.is_some();
        if reason == "no_scatter" && filtered && self.evidence.dropped_classes > 0 {
            "filter_after_pooling"
        } else {
            reason
        }
    }

    /// The geometry of the classifier's rows.
    pub(super) fn weights(&self) -> Result<&Geometry, &'static str> {
        self.weights.as_ref().ok_or("no_head")
    }

    /// The classifier beside the centred means, class by class; `None` without a classifier.
    pub(super) fn alignment(&self) -> Option<&Alignment> {
        let weights = self.weights.as_ref()?;
        Some(self.alignment.get_or_init(|| Alignment::of(&weights.vectors, &self.means.vectors)))
    }

    /// The classifier beside the centred means, or why metrics of both are null.
    pub(super) fn duality(&self) -> Result<Duality<'_>, &'static str> {
        let weights = self.weights()?;
        if let Some(reason) = self.means.undefined().or(weights.undefined()) {
            return Err(reason);
        }
        let classes = self.alignment().ok_or("no_head")?;
        Ok(Duality { weights: &weights.vectors, means: &self.means.vectors, classes })
    }

    /// The decisions that the metric of this card is made of, or why there are none.
    pub(super) fn decided(&self, card: &Card) -> Result<Decided, &'static str> {
        let head = self.evidence.head;
        // Without a classifier, only `ncc_accuracy` can be made, and rows are decided only if it was asked for by name.
        if head.is_none() && card.needs_head() {
            return Err("no_head");
        }
        let shares = match self.shares.get_or_init(|| self.make_shares()) {
            Ok(shares) => *shares,
            Err(_) if head.is_none() && !self.selection.names(card.key) => return Err("no_head"),
            Err(reason) => return Err(reason),
        };
        let unseen = self.findings(|findings| findings.decisions.as_ref()).is_some_and(|found| found.unseen > 0);
        Ok(Decided { shares, no_bias: head.is_some_and(|head| head.bias.is_none()), unseen })
    }

    fn make_shares(&self) -> Result<Shares, &'static str> {
        let decisions = self.findings(|findings| findings.decisions.as_ref()).ok_or("no_decisions")?;
        if self.evidence.statistics.classes() < 2 {
            return Err("single_class");
        }
        Shares::of(decisions).ok_or("no_rows")
    }

    /// The decomposed mean squared error, or why there is none.
    pub(super) fn decomposition(&self) -> Result<&Decomposition, &'static str> {
        self.decomposition.get_or_init(|| self.decompose()).as_ref().map_err(|reason| *reason)
    }

    fn decompose(&self) -> Result<Decomposition, &'static str> {
        let statistics = self.evidence.statistics;
        if statistics.classes() < 2 {
            return Err("single_class");
        }
        let divisor = nc1::normaliser(statistics, self.options)?;
        let scatter = statistics.scatter.as_ref().ok_or("no_scatter")?;
        let within: Vec<f64> = scatter.iter().map(|entry| entry / divisor).collect();
        mse::decompose(statistics, &within, self.evidence.head, self.options.weight_decay / 2.0)
    }

    /// A part of what the second read of the rows found.
    pub(super) fn findings<T>(&self, part: impl FnOnce(&'a SecondPassResult) -> Option<T>) -> Option<T> {
        self.evidence.findings.and_then(part)
    }

    /// What rounding to the grid left of the numbers made so far, and flags that concern the group.
    pub(super) fn accuracy(&self) -> (BTreeMap<&'static str, f64>, Vec<&'static str>) {
        accuracy::estimate(&accuracy::Inputs {
            statistics: self.evidence.statistics,
            means: &self.means.vectors.points(),
            options: self.options,
            significand_bits: self.evidence.significand_bits,
            pinv: self.pinv.get().and_then(|pinv| pinv.as_ref().ok()),
            vci: self.vci.get().and_then(|vci| vci.as_ref().ok()),
            cdnv: self.cdnv.as_ref(),
            directional: self.findings(|findings| findings.directional),
            angles: self.means.angles.as_ref(),
            energy: self.means.energy.as_ref(),
        })
    }
}

/// One sweep over the pairs of classes, if there are pairs and anything is to be found of them.
fn sweep(vectors: &Vectors, variances: Option<&Variances<'_>>, riesz_s: Option<f64>) -> Sweep {
    if vectors.len() < 2 || (variances.is_none() && riesz_s.is_none()) {
        return Sweep::default();
    }
    pairs::sweep(&vectors.points(), variances, riesz_s)
}
