//! The metrics of a group, one by one.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::catalogue::{Card, Family, Need};
use super::geometry::{Geometry, TOO_FEW, ZERO_NORMS, orthogonal, value};
use super::hug::ENERGY_S;
use super::nc2::Frame;
use super::nc3::{self, Alignment, MeanAndVariance};
use super::nc4::Shares;
use super::outcome::Outcome;
use super::vectors::{Vectors, centre, dot};
use super::{Evidence, Extras, Options, Selection, Value, accuracy, doubt, mse, nc1, nc2, nc5};
use crate::error::{Error, Result};
use crate::kernels::pairs::{self, Cdnv, Sweep, Variances};
use crate::state::{Findings, Separation};

/// A group's evidence, and what several metrics share, made when first asked for.
pub(super) struct MetricContext<'a> {
    pub evidence: &'a Evidence<'a>,
    pub options: &'a Options,
    selection: &'a Selection,
    /// Of the centred means.
    pub means: Geometry,
    weights: Option<Geometry>,
    pub cdnv: Option<Cdnv>,
    pinv: OnceCell<Result<nc1::Pinv, &'static str>>,
    vci: OnceCell<Result<nc1::Vci, &'static str>>,
    duality: OnceCell<Alignment>,
    shares: OnceCell<Result<Shares, &'static str>>,
    mse: OnceCell<Result<mse::Decomposition, &'static str>>,
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
            selection.cards().any(|card| {
                card.needs.contains(&Need::Pairs) && card.needs.contains(&Need::Head) == weights && family(card.family)
            })
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
        let used = nc1::varied(statistics, options);
        let variances = Variances {
            values: &statistics.variances,
            used: &used,
            exponent: options.cdnv_exponent,
            worst: extras.worst_pairs,
        };
        // The estimate of the directional one is made of the others'.
        let directional = selection.cards().any(|card| card.needs.contains(&Need::Directional));
        let of_nc1 = pairs_of(|family| family == Family::Nc1, false) || directional;
        let wants_cdnv = of_nc1 || extras.per_class || extras.worst_pairs > 0;
        let means = Vectors::centred(statistics, options.centring);
        let (cdnv, angles, energy) = swept(&means, false, wants_cdnv.then_some(&variances));
        let means = Geometry::new(means, "zero_between", angles, energy);
        let weights = evidence.head.map(|head| {
            let weights = Vectors::new(statistics.dim, head.weights.clone(), 0.0);
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
            duality: OnceCell::new(),
            shares: OnceCell::new(),
            mse: OnceCell::new(),
        }
    }

    /// The metric of that card.
    pub(super) fn outcome(&self, card: &Card) -> Result<Outcome> {
        let outcome = match (card.family, card.key.strip_suffix("_weights")) {
            (_, Some(key)) => match &self.weights {
                Some(side) => side.outcome(key),
                None => Some(Outcome::null("no_head")),
            },
            (Family::Nc1, None) => self.nc1(card.key),
            (Family::Nc3, None) => self.nc3(card.key),
            (Family::Nc4, None) => self.nc4(card.key),
            (Family::Nc5, None) => self.nc5(card.key),
            (Family::Mse, None) => self.mse(card.key),
            (Family::Nc2 | Family::Gnc2 | Family::Hug, None) => match card.key {
                "nc2_of_error" => Some(self.orthogonal_frame()),
                "hug_intra" => Some(self.hug_intra()),
                key => self.means.outcome(key),
            },
        };
        outcome.ok_or_else(|| Error::internal("a metric of the catalogue has no formula").with("metric", card.key))
    }

    fn nc1(&self, key: &str) -> Option<Outcome> {
        let (statistics, means) = (self.evidence.statistics, self.means.vectors.points());
        let of_cdnv = |number: &dyn Fn(&Cdnv) -> Value| {
            let Some(cdnv) = &self.cdnv else { return Outcome::null("single_class") };
            let mut outcome = Outcome::from(number(cdnv)).count("degenerate_pairs", cdnv.degenerate);
            outcome.flags.extend(nc1::cdnv_flags(cdnv));
            outcome.flag_if(cdnv.classes < statistics.classes(), "classes_left_out")
        };
        let of_quantile = |q: f64| {
            let binned = self.cdnv.as_ref().is_some_and(|cdnv| cdnv.distribution.error() > 0.0);
            of_cdnv(&|cdnv| nc1::cdnv_quantile(cdnv, q)).flag_if(binned, "binned")
        };
        Some(match key {
            "nc1_pinv" | "nc1_svd" => match self.pinv() {
                Ok(pinv) => Outcome { flags: pinv.flags(), counts: pinv.counts(), ..pinv.value.into() },
                Err(reason) => Outcome::null(self.scatter_reason(reason)),
            },
            "nc1_trace_ratio" => nc1::trace_ratio(statistics, &means, self.options).into(),
            "nc1_within_fraction" => nc1::within_fraction(statistics, &means, self.options).into(),
            "nc1_cdnv" => of_cdnv(&nc1::cdnv_mean),
            "nc1_cdnv_strict" => of_cdnv(&nc1::cdnv_strict),
            "nc1_cdnv_log10_mean" => of_cdnv(&nc1::cdnv_log10_mean),
            "nc1_cdnv_q50" => of_quantile(0.5),
            "nc1_cdnv_q90" => of_quantile(0.9),
            "nc1_cdnv_q99" => of_quantile(0.99),
            "nc1_cdnv_max" => of_cdnv(&nc1::cdnv_max),
            "nc1_cdnv_directional" => {
                let degenerate = self.evidence.findings.is_some_and(|found| found.directional_degenerate_pairs > 0);
                let none = if degenerate { "degenerate_pairs" } else { "no_rows" };
                let reason = self.means.undefined().unwrap_or(none);
                value(self.findings(|findings| findings.directional), reason).flag_if(degenerate, "degenerate_pairs")
            }
            "nc1_vci" => match self.vci() {
                Ok(vci) => Outcome { flags: vci.flags(), counts: vci.counts(), ..vci.value.into() },
                Err(reason) => Outcome::null(self.scatter_reason(reason)),
            },
            _ => return None,
        })
    }

    fn pinv(&self) -> Result<&nc1::Pinv, &'static str> {
        let Evidence { statistics, significand_bits, .. } = *self.evidence;
        let make = || nc1::pinv(statistics, &self.means.vectors.points(), significand_bits, self.options);
        self.pinv.get_or_init(make).as_ref().map_err(|reason| *reason)
    }

    fn vci(&self) -> Result<&nc1::Vci, &'static str> {
        let Evidence { statistics, significand_bits, .. } = *self.evidence;
        let make = || nc1::vci(statistics, significand_bits, self.options);
        self.vci.get_or_init(make).as_ref().map_err(|reason| *reason)
    }

    /// Without a scatter because classes were left out after it was pooled, that is the reason.
    fn scatter_reason(&self, reason: &'static str) -> &'static str {
        let filtered = self.options.min_count.is_some() || self.options.max_count.is_some();
        if reason == "no_scatter" && filtered && self.evidence.dropped_classes > 0 {
            "filter_after_pooling"
        } else {
            reason
        }
    }

    /// Means as they are, not centred.
    fn orthogonal_frame(&self) -> Outcome {
        let means = Vectors::uncentred(self.evidence.statistics);
        if means.len() < 2 {
            return Outcome::null("single_class");
        }
        orthogonal(&means, "zero_means")
    }

    fn hug_intra(&self) -> Outcome {
        let zeros = self.evidence.findings.is_some_and(|found| found.hug_zero_rows > 0);
        let reason = match self.evidence.head {
            None => "no_head",
            Some(_) if zeros => "zero_rows",
            Some(_) => "no_rows",
        };
        let statistics = self.evidence.statistics;
        value(self.findings(|findings| findings.hug_intra), reason)
            .off_by(statistics.classes() as f64 * doubt::arithmetic(statistics.dim))
            .flag_if(zeros, "zero_rows")
    }

    fn nc3(&self, key: &str) -> Option<Outcome> {
        let (Some(weights), Some(head), Some(duality)) = (&self.weights, self.evidence.head, self.duality()) else {
            return Some(Outcome::null("no_head"));
        };
        if key == "nc3_bias_collapse" {
            return Some(self.bias_collapse(&head.weights, head.bias.as_deref()));
        }
        if let Some(reason) = self.means.undefined().or(weights.undefined()) {
            return Some(Outcome::null(reason));
        }
        let (w, c) = (&weights.vectors, &self.means.vectors);
        let (dot, cos, dist) = (duality.dot(), duality.cos(), duality.dist());
        let mean = |moments: Option<MeanAndVariance>| value(moments.map(|(mean, _)| mean), TOO_FEW);
        let var = |moments: Option<MeanAndVariance>| value(moments.and_then(|(_, var)| var), TOO_FEW);
        let left_out = duality.cosines.contains(&None);
        let outcome = match key {
            "nc3_self_duality_sq" => value(nc3::self_duality_sq(w, c), "zero_between"),
            "nc3_duality_error" => value(nc2::frame_error(w, c, Frame::Simplex), "orthogonal_spaces")
                .floor(nc2::simplex_floor(c.len(), c.dim)),
            "nc3_dot_mean" => mean(dot),
            "nc3_dot_var" | "unc3_dot_var" => var(dot),
            "nc3_cos_mean" => mean(cos).flag_if(left_out, ZERO_NORMS),
            "nc3_cos_var" => var(cos).flag_if(left_out, ZERO_NORMS),
            "nc3_dist_mean" => mean(dist).flag_if(left_out, ZERO_NORMS),
            "nc3_dist_var" => var(dist).flag_if(left_out, ZERO_NORMS),
            "unc3_cos_cv" => match cos {
                Some((0.0, _)) => Outcome::null("zero_mean"),
                Some((mean, Some(var))) => Outcome::from(var.sqrt() / mean).flag_if(left_out, ZERO_NORMS),
                _ => Outcome::null(TOO_FEW),
            },
            _ => return None,
        };
        let structure = || nc2::structure_norm(w, c);
        let error = outcome.value.map_or(0.0, |value| doubt::of_duality(key, value, (w, c), duality, structure));
        Some(outcome.off_by(error))
    }

    /// What classifier and means have in common, if there is a classifier.
    pub(super) fn duality(&self) -> Option<&Alignment> {
        let weights = self.weights.as_ref()?;
        Some(self.duality.get_or_init(|| Alignment::of(&weights.vectors, &self.means.vectors)))
    }

    fn bias_collapse(&self, weights: &[f64], bias: Option<&[f64]>) -> Outcome {
        let statistics = self.evidence.statistics;
        let offset = centre(statistics, self.options.centring);
        let mean: Vec<f64> = statistics.origin.iter().zip(&offset).map(|(origin, offset)| origin + offset).collect();
        let size = |x: &[f64]| dot(x, x).sqrt();
        let of_mean = self.means.vectors.errors().into_iter().fold(0.0, f64::max) * self.means.vectors.unit;
        let error = size(weights) * (of_mean + doubt::arithmetic(statistics.dim) * size(&mean));
        Outcome::from(nc3::bias_collapse(weights, bias, &mean)).off_by(error).flag_if(bias.is_none(), "no_bias")
    }

    fn nc4(&self, key: &str) -> Option<Outcome> {
        let shares = match self.shares.get_or_init(|| self.decided()) {
            Ok(shares) => shares,
            Err(reason) => return Some(Outcome::null(self.undecided(key).unwrap_or(reason))),
        };
        if key != "ncc_accuracy" && self.evidence.head.is_none() {
            return Some(Outcome::null("no_head"));
        }
        let number = shares.get(key)?;
        let uses_bias = !matches!(key, "nc4_agreement_no_bias" | "ncc_accuracy");
        let no_bias = self.evidence.head.is_some_and(|head| head.bias.is_none());
        let unseen = self.findings(|findings| findings.decisions.as_ref()).is_some_and(|found| found.unseen > 0);
        let doubtful = if key == "classifier_accuracy" { 0.0 } else { shares.tied };
        let outcome = Outcome::from(number).off_by(doubtful).flag_if(uses_bias && no_bias, "no_bias");
        Some(outcome.flag_if(doubtful > 0.0, "ties").flag_if(unseen, "unseen_classes"))
    }

    fn decided(&self) -> Result<Shares, &'static str> {
        let decisions = self.findings(|findings| findings.decisions.as_ref()).ok_or("no_decisions")?;
        if self.evidence.statistics.classes() < 2 {
            return Err("single_class");
        }
        Shares::of(decisions).ok_or("no_rows")
    }

    /// Why a decision was not even looked for: there is no classifier, and the nearest mean alone was not named.
    fn undecided(&self, key: &str) -> Option<&'static str> {
        let asked = key == "ncc_accuracy" && self.selection.names(key);
        (self.evidence.head.is_none() && !asked).then_some("no_head")
    }

    fn nc5(&self, key: &str) -> Option<Outcome> {
        let Some(ood_mean) = self.evidence.ood_mean else { return Some(Outcome::null("no_ood")) };
        let statistics = self.evidence.statistics;
        let separation = |number: fn(&Separation) -> (f64, f64)| {
            let found = self.findings(|findings| findings.neco.as_ref()).map(number);
            found.map_or_else(|| Outcome::null(self.no_neco()), |(number, error)| Outcome::from(number).off_by(error))
        };
        Some(match key {
            "nc5_ortho_dev" => match nc5::ortho_dev(statistics, ood_mean, self.options) {
                Ok((deviation, left_out)) => Outcome::from(deviation)
                    .off_by(nc5::ortho_dev_error(statistics, ood_mean, self.options))
                    .flag_if(left_out > 0, ZERO_NORMS),
                Err(reason) => Outcome::null(reason),
            },
            "nc5_neco_auroc" => separation(|found| (found.auroc, found.auroc_error)),
            "nc5_neco_fpr95" => separation(|found| (found.fpr95, found.fpr95_error)),
            _ => return None,
        })
    }

    /// Why there are no scores though there are out-of-distribution rows.
    fn no_neco(&self) -> &'static str {
        if self.options.neco_max_logit && self.evidence.head.is_none() {
            return "no_head";
        }
        let reason = nc5::neco_projection(self.evidence.statistics, self.options).err();
        reason.map_or("no_decisions", |reason| self.scatter_reason(reason))
    }

    fn mse(&self, key: &str) -> Option<Outcome> {
        let parts = match self.mse.get_or_init(|| self.decompose()) {
            Ok(parts) => parts,
            Err(reason) => return Some(Outcome::null(self.scatter_reason(reason))),
        };
        let outcome = match key {
            "mse_nc1" => Outcome::from(parts.nc1).off_by(parts.errors[0]),
            "mse_nc23" => Outcome::from(parts.nc23).off_by(parts.errors[1]),
            "mse_perp" => value(parts.perp, "no_head")
                .off_by(parts.errors[2])
                .flag_if(self.evidence.head.is_some_and(|head| head.bias.is_none()), "no_bias"),
            _ => return None,
        };
        let counts = &self.evidence.statistics.counts;
        Some(outcome.flag_if(counts.windows(2).any(|pair| pair[0] != pair[1]), "unbalanced"))
    }

    fn decompose(&self) -> Result<mse::Decomposition, &'static str> {
        let statistics = self.evidence.statistics;
        if statistics.classes() < 2 {
            return Err("single_class");
        }
        let divisor = nc1::normaliser(statistics, self.options)?;
        let scatter = statistics.scatter.as_ref().ok_or("no_scatter")?;
        let within: Vec<f64> = scatter.iter().map(|entry| entry / divisor).collect();
        mse::decompose(statistics, &within, self.evidence.head, self.options.weight_decay / 2.0)
    }

    /// What the second read found of that.
    pub(super) fn findings<T>(&self, part: impl FnOnce(&'a Findings) -> Option<T>) -> Option<T> {
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
