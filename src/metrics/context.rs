//! What metrics of a group are made of.

use std::collections::BTreeMap;
use std::mem::replace;
use std::sync::OnceLock;

use super::catalogue::{Card, Family, Need};
use super::figures::WORST;
use super::geometry::Geometry;
use super::hug::ENERGY_S;
use super::mse::{self, Decomposition};
use super::nc1::{self, Pinv, Vci};
use super::nc3::{Alignment, Duality};
use super::nc4::{Decided, Shares, undecided};
use super::separation::Errors;
use super::spectrum::{Covariance, Eigenvalues};
use super::swept::SweptClasses;
use super::vectors::Vectors;
use super::{Evidence, Extras, Normaliser, Options, Selection, accuracy};
use crate::kernels::pairs::{self, Angles, Cdnv, Sweep, Variances};
use crate::state::{SecondPassResult, Statistics};

/// The evidence of a group, and the quantities that several metrics share, made when first asked for.
pub(super) struct MetricContext<'a> {
    pub evidence: &'a Evidence<'a>,
    pub options: &'a Options,
    selection: &'a Selection,
    wants: PairWants,
    /// The classes of which pairs are made, if these are not all.
    pub swept: Option<SweptClasses>,
    /// Of the centred class means.
    pub means: Geometry,
    weights: Option<Geometry>,
    pub cdnv: Option<Cdnv>,
    pinv: OnceLock<Result<Pinv, &'static str>>,
    vci: OnceLock<Result<Vci, &'static str>>,
    alignment: OnceLock<Alignment>,
    shares: OnceLock<Result<Shares, &'static str>>,
    decomposition: OnceLock<Result<Decomposition, &'static str>>,
    rows: OnceLock<Result<Eigenvalues, &'static str>>,
    within: OnceLock<Result<Eigenvalues, &'static str>>,
    uncentred: OnceLock<Result<Eigenvalues, &'static str>>,
    lda_errors: OnceLock<Result<Errors, &'static str>>,
}

/// Numbers of a very large matrix: half a gigabyte.
const LARGE: usize = 1 << 26;

impl<'a> MetricContext<'a> {
    /// Centres the means and sweeps the pairs of classes as far as the selection needs it.
    pub(super) fn new(
        evidence: &'a Evidence<'a>,
        options: &'a Options,
        selection: &'a Selection,
        extras: Extras,
    ) -> Self {
        let statistics = evidence.statistics;
        let weights =
            || evidence.head.map(|head| Vectors::new(statistics.dim, head.weights.clone(), 0.0).off_by(&head.errors));
        let (means, weights) = rayon::join(|| Vectors::centred(statistics, options.centring), weights);
        let wants = PairWants::of(selection, extras);
        let swept = SweptClasses::of(statistics, options);
        let classes = swept.as_ref().map(|swept| swept.classes.as_slice());
        let found = wants.sweep(statistics, options, &means, weights.as_ref(), classes);
        let Found { cdnv, angles, energy, weight_angles, weight_energy } = found;
        let means = Geometry::new(means, "zero_between", angles, energy);
        let weights = weights.map(|weights| Geometry::new(weights, "zero_weights", weight_angles, weight_energy));
        Self {
            evidence,
            options,
            selection,
            wants,
            swept,
            means,
            weights,
            cdnv,
            pinv: OnceLock::new(),
            vci: OnceLock::new(),
            alignment: OnceLock::new(),
            shares: OnceLock::new(),
            decomposition: OnceLock::new(),
            rows: OnceLock::new(),
            within: OnceLock::new(),
            uncentred: OnceLock::new(),
            lda_errors: OnceLock::new(),
        }
    }

    /// Makes what takes long side by side, as far as it was selected: parts of each can only be made by one thread. Very large
    /// matrices are made one after the other all the same, since their memory is planned so.
    pub(super) fn prepare(&self) {
        if self.evidence.statistics.offsets.len() > LARGE {
            return;
        }
        let chosen = |keys: &[&str]| keys.iter().any(|key| self.selection.contains(key));
        let pinv = || chosen(&["nc1_pinv", "nc1_svd"]).then(|| self.pinv().is_ok());
        let vci = || chosen(&["nc1_vci"]).then(|| self.vci().is_ok());
        let geometry = || {
            self.means.prepare(|key| self.selection.contains(key));
            if let Some(weights) = &self.weights {
                weights.prepare(|key| self.selection.contains(&format!("{key}_weights")));
            }
        };
        rayon::join(pinv, || rayon::join(vci, geometry));
    }

    /// Does something with the pairs of some classes in the place of those that metrics are made of.
    pub(super) fn with_pairs_of(&mut self, classes: &[usize], work: impl FnOnce(&Self)) {
        let statistics = self.evidence.statistics;
        let weights = self.weights.as_ref().map(|weights| &weights.vectors);
        let part = self.wants.sweep(statistics, self.options, &self.means.vectors, weights, Some(classes));
        let whole = self.exchange(part);
        work(self);
        self.exchange(whole);
    }

    /// Puts other sums over pairs in the place of those that are there, and returns these.
    fn exchange(&mut self, found: Found) -> Found {
        let Found { cdnv, angles, energy, weight_angles, weight_energy } = found;
        let (weight_angles, weight_energy) = match &mut self.weights {
            Some(weights) => (replace(&mut weights.angles, weight_angles), replace(&mut weights.energy, weight_energy)),
            None => (None, None),
        };
        Found {
            cdnv: replace(&mut self.cdnv, cdnv),
            angles: replace(&mut self.means.angles, angles),
            energy: replace(&mut self.means.energy, energy),
            weight_angles,
            weight_energy,
        }
    }

    /// How many classes pairs are made of.
    pub(super) fn classes_swept(&self) -> usize {
        self.swept.as_ref().map_or(self.evidence.statistics.classes(), |swept| swept.classes.len())
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
        Shares::of(decisions).ok_or_else(|| undecided(decisions.unseen))
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

/// What is wanted of pairs of classes.
#[derive(Clone, Copy, Debug)]
struct PairWants {
    cdnv: bool,
    /// How many of the worst pairs.
    worst: usize,
    means: AngleWants,
    weights: AngleWants,
}

/// What is wanted of pairs of vectors.
#[derive(Clone, Copy, Debug)]
struct AngleWants {
    angles: bool,
    energy: bool,
}

/// What sweeps over pairs have found.
struct Found {
    cdnv: Option<Cdnv>,
    angles: Option<Angles>,
    energy: Option<Angles>,
    weight_angles: Option<Angles>,
    weight_energy: Option<Angles>,
}

impl PairWants {
    fn of(selection: &Selection, extras: Extras) -> Self {
        let pairs_of = |family: fn(Family) -> bool, weights: bool| {
            selection
                .cards()
                .any(|card| card.needs.contains(&Need::Pairs) && card.needs_head() == weights && family(card.family))
        };
        let angles = |weights: bool| AngleWants {
            angles: pairs_of(|family| matches!(family, Family::Nc2 | Family::Gnc2), weights),
            energy: pairs_of(|family| family == Family::Hug, weights),
        };
        // The estimate of the directional one is made of the others'.
        let directional = selection.cards().any(|card| card.needs.contains(&Need::Directional));
        let of_nc1 = pairs_of(|family| family == Family::Nc1, false) || directional;
        Self {
            cdnv: of_nc1 || extras.per_class || extras.worst_pairs > 0 || extras.figures,
            worst: if extras.figures { extras.worst_pairs.max(WORST) } else { extras.worst_pairs },
            means: angles(false),
            weights: angles(true),
        }
    }

    /// Sweeps the pairs of all classes, or of some.
    fn sweep(
        self,
        statistics: &Statistics,
        options: &Options,
        means: &Vectors,
        weights: Option<&Vectors>,
        classes: Option<&[usize]>,
    ) -> Found {
        let used = nc1::classes::with_variance(statistics, options);
        let some = |values: &[f64]| classes.map(|classes| classes.iter().map(|&k| values[k]).collect::<Vec<_>>());
        let some_variances = some(&statistics.variances);
        let some_used: Option<Vec<bool>> = classes.map(|classes| classes.iter().map(|&k| used[k]).collect());
        let variances = Variances {
            values: some_variances.as_deref().unwrap_or(&statistics.variances),
            used: some_used.as_deref().unwrap_or(&used),
            exponent: options.cdnv_exponent,
            worst: self.worst,
        };
        let (cdnv, angles, energy) = self.means.sweep(means, classes, self.cdnv.then_some(&variances), options.riesz_s);
        let (_, weight_angles, weight_energy) =
            weights.map_or((None, None, None), |weights| self.weights.sweep(weights, classes, None, options.riesz_s));
        let cdnv = match classes {
            Some(classes) => cdnv.map(|cdnv| cdnv.among(classes, statistics.classes())),
            None => cdnv,
        };
        Found { cdnv, angles, energy, weight_angles, weight_energy }
    }
}

impl AngleWants {
    fn sweep(
        self,
        vectors: &Vectors,
        classes: Option<&[usize]>,
        variances: Option<&Variances<'_>>,
        exponent: f64,
    ) -> (Option<Cdnv>, Option<Angles>, Option<Angles>) {
        let directions = vectors.len() - vectors.zeros();
        let some = classes.map(|classes| vectors.select(classes));
        let vectors = some.as_ref().unwrap_or(vectors);
        // One sweep serves both if they share the exponent.
        let shared = self.energy && (!self.angles || exponent == ENERGY_S);
        let riesz_s = if shared { Some(ENERGY_S) } else { self.angles.then_some(exponent) };
        let Sweep { cdnv, angles } = sweep(vectors, variances, riesz_s, directions);
        let energy = match self.energy {
            true if shared => angles.clone(),
            true => sweep(vectors, None, Some(ENERGY_S), directions).angles,
            false => None,
        };
        (cdnv, angles, energy)
    }
}

/// One sweep over the pairs of classes, if there are pairs and anything is to be found of them.
fn sweep(vectors: &Vectors, variances: Option<&Variances<'_>>, riesz_s: Option<f64>, directions: usize) -> Sweep {
    if vectors.len() < 2 || (variances.is_none() && riesz_s.is_none()) {
        return Sweep::default();
    }
    pairs::sweep_some(&vectors.points(), variances, riesz_s, directions)
}
