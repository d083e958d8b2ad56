//! The second read: every row, once means and classifier are known.

use std::collections::HashMap;
use std::mem::take;

mod decisions;
mod distances;
mod result;
mod score_histogram;
mod spec;
mod state;
mod train;

pub use decisions::{DecisionCounts, Decisions};
pub use result::{LdaDecisions, SecondPassResult, Separation};
pub use spec::{Decision, Role, SecondPassSpec, Verdict};
pub use state::SecondPassState;

use score_histogram::{ScoreHistogram, separate, separate_within};
use state::TrainRows;

use super::Head;
use crate::batch::{Batch, Features};
use crate::error::{Error, Result};
use crate::grid::{Value, vectorised};
use crate::kernels::dot::{dot, squared_distance};
use crate::kernels::lines::Lines;
use crate::kernels::nearest::{Anchors, Candidates, Choice, Offsets};
use crate::kernels::{Mahalanobis, Projection, Workspace};

/// From so many classes on, rows are looked at in larger blocks: those that are left when most are decided by their radius still
/// make a product that is worth bringing all classes into cache for.
const MANY_CLASSES: usize = 512;

/// So many times larger, as long as a block does not take more than so many numbers.
const LARGER: usize = 8;
const MOST_NUMBERS: usize = 1 << 21;

/// Looks at rows one by one and finds what the spec asks for. It owns nothing of size `K × D`, and workers share it.
#[derive(Debug)]
pub struct SecondPass<'a> {
    spec: SecondPassSpec<'a>,
    centres: Option<Candidates<'a>>,
    /// Rule 0 is the classifier's choice, the last one the same without bias.
    logits: Option<Candidates<'a>>,
    lines: Option<Lines<'a>>,
    /// The class means in the metric of Mahalanobis distances.
    whitened_means: Option<Candidates<'a>>,
    /// The place of each class among the lines.
    places: Vec<Option<usize>>,
    degenerate_pairs: u64,
}

/// The rows of a batch that are looked at.
struct Labelled<'a> {
    batch: &'a Batch<'a>,
    rows: &'a [u32],
    /// The class of each row, an index into the statistics; `None` if it has no centre.
    classes: Vec<Option<usize>>,
}

/// What each row of a block has chosen.
struct Choices {
    nearest: Option<Vec<Choice>>,
    /// With bias as asked for, and without.
    logits: Option<[Vec<Choice>; 2]>,
}

impl<'a> SecondPass<'a> {
    /// Prepares what the spec asks for.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if the spec asks for something that needs a classifier without having one;
    /// [`Internal`](crate::error::ErrorKind::Internal) if there is no class, or classifier, subspace and classes differ
    /// in shape.
    pub fn new(spec: &SecondPassSpec<'a>) -> Result<Self> {
        let SecondPassSpec { statistics, head, .. } = *spec;
        let (dim, classes) = (statistics.dim, statistics.classes());
        if classes == 0 || dim == 0 {
            return Err(Error::internal("a second read without classes"));
        }
        if head.is_none() && (spec.hug_intra || spec.max_logit && spec.projection.is_some()) {
            let error = Error::usage("a classifier is needed for hug_intra and for neco_max_logit");
            return Err(error.help("name it with --head"));
        }
        let of_other_shape = |mahalanobis: &Mahalanobis| {
            mahalanobis.within.centre.len() != dim || mahalanobis.means.len() != classes * mahalanobis.within.rank()
        };
        if head.is_some_and(|head| !fits(head, classes, dim))
            || spec.projection.is_some_and(|p| p.mean.len() != dim)
            || spec.mahalanobis.is_some_and(of_other_shape)
        {
            return Err(Error::internal("the classifier or the subspace is not of the shape of the classes"));
        }

        let anchors = || {
            let share = spec.expected_rows as f64 / statistics.rows() as f64;
            let rows = statistics.counts.iter().map(|&count| count as f64 * share).collect();
            Anchors::new(&statistics.origin, &statistics.offsets, rows)
        };
        let centres = spec.decisions.then(|| {
            let errors = (0..classes).map(|class| statistics.mean_noise(class).sqrt()).collect();
            Candidates::new(dim, &statistics.offsets, Some(&statistics.origin), &[Offsets::HalfSquares])
                .off_by(errors)
                .near(anchors())
        });
        let logits = head.filter(|_| spec.decisions || spec.max_logit).map(|head| {
            let bias = head.bias.as_deref().filter(|_| spec.use_bias).map(Offsets::Given);
            let rules: Vec<Offsets<'_>> = bias.into_iter().chain([Offsets::None]).collect();
            Candidates::new(dim, &head.weights, None, &rules).near(anchors())
        });
        let lines = spec.directional.map(|min_count| {
            let kept = (0..classes as u32).filter(|&k| statistics.counts[k as usize] >= min_count).collect();
            Lines::new(dim, &statistics.offsets, |class| statistics.mean_noise(class), kept)
        });
        let mut places = vec![None; classes];
        let mut degenerate_pairs = 0;
        if let Some(lines) = &lines {
            for (place, &k) in lines.kept().iter().enumerate() {
                places[k as usize] = Some(place);
            }
            degenerate_pairs = lines.degenerate_pairs();
        }
        let max_logit = spec.max_logit && spec.projection.is_some();
        let whitened_means = spec.mahalanobis.map(distances::candidates);
        let spec = SecondPassSpec { max_logit, ..*spec };
        Ok(Self { spec, centres, logits, lines, whitened_means, places, degenerate_pairs })
    }

    /// Looks at rows of a batch, all or the ones listed, and adds them to `seen`. Appends one verdict for each row to
    /// `each`, if given.
    ///
    /// Rows whose class has no centre are counted as unseen. They get verdicts, but count neither in the tallies nor in
    /// NECO's separation.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the rows differ from the classes in `D`, or a row's number leaves the
    /// range of `f64`, with the row of the batch.
    pub fn update(
        &self,
        role: Role,
        batch: &Batch<'_>,
        rows: Option<&[u32]>,
        seen: &mut SecondPassState,
        each: Option<&mut Vec<Verdict>>,
        workspace: &mut Workspace,
    ) -> Result<()> {
        if batch.dim() != self.spec.statistics.dim {
            return Err(Error::data("rows and class means differ in dimension")
                .with("detail", format!("D = {} and D = {}", batch.dim(), self.spec.statistics.dim)));
        }
        let everything: Vec<u32>;
        let rows = if let Some(rows) = rows {
            rows
        } else {
            everything = (0..batch.rows() as u32).collect();
            &everything
        };
        let rows = Labelled { batch, rows, classes: self.classes_of(batch, rows) };
        if role != Role::Train {
            self.add_eval_rows(role, &rows, seen, each, workspace)?;
        } else if let Some(each) = each {
            each.resize(each.len() + rows.rows.len(), Verdict::default());
        }
        if matches!(role, Role::Train | Role::TrainAndEval) && (self.lines.is_some() || self.spec.hug_intra) {
            self.add_train_rows(&rows, seen, workspace)?;
        }
        Ok(())
    }

    /// The result over all rows; `seen` holds everything that was looked at.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the group's own rows are not those that the statistics were made of.
    pub fn finish(&self, seen: &SecondPassState) -> Result<SecondPassResult> {
        let statistics = self.spec.statistics;
        let decisions = self.spec.decisions.then(|| {
            let mut tallies = seen.tallies.clone();
            tallies.resize(statistics.classes(), DecisionCounts::default());
            Decisions { labels: statistics.labels.clone(), tallies, unseen: seen.unseen }
        });
        if self.lines.is_some() || self.spec.hug_intra {
            for (k, &count) in statistics.counts.iter().enumerate() {
                let found = seen.own.get(k).map_or(0, |own| own.rows);
                if found != count {
                    return Err(Error::data("the second read found other rows than the first")
                        .with("class", &statistics.labels[k])
                        .with("detail", format!("{found} rows instead of {count}")));
                }
            }
        }
        let hug_rows = |own: &&TrainRows| self.spec.hug_intra && own.rows > own.zero_rows;
        let hug_means: Vec<f64> = seen
            .own
            .iter()
            .filter(hug_rows)
            .map(|own| own.distances.value() / (own.rows - own.zero_rows) as f64)
            .collect();
        Ok(SecondPassResult {
            decisions,
            directional: self.directional(&seen.own),
            directional_degenerate_pairs: self.degenerate_pairs,
            hug_intra: (!hug_means.is_empty()).then(|| hug_means.iter().sum()),
            hug_zero_rows: seen.own.iter().map(|own| own.zero_rows).sum(),
            neco: separate(&seen.eval, &seen.ood, self.spec.projection.map_or(0.0, |axes| axes.error)),
            mahalanobis: self.separated(&seen.mahalanobis[0]),
            // Of a single class `Σ_W` is `Σ_T`: these scores are 0 in every row, but for rounding.
            relative_mahalanobis: self.separated(&seen.mahalanobis[1]).filter(|_| self.spec.statistics.classes() > 1),
            lda: self.spec.mahalanobis.map(|_| LdaDecisions { unseen: seen.unseen, ..seen.lda }),
            mahalanobis_directions_dropped: self.spec.mahalanobis.map_or(0, |metric| metric.directions_dropped),
        })
    }

    /// How well Mahalanobis scores tell rows of the decisions from others. A score is a difference of squared distances, of
    /// which that of a row among the others is about `r`.
    fn separated(&self, [eval, ood]: &[ScoreHistogram; 2]) -> Option<Separation> {
        let metric = self.spec.mahalanobis?;
        let rank = metric.within.rank() as f64;
        separate_within(eval, ood, |score| metric.error * (2.0 * rank + score.abs()))
    }

    /// `Σ_i (1/n_i) Σ r` over the ordered pairs of means that are apart.
    fn directional(&self, own: &[TrainRows]) -> Option<f64> {
        let kept = self.lines.as_ref()?.kept();
        let pairs = kept.len() as u64 * (kept.len() as u64).saturating_sub(1) - 2 * self.degenerate_pairs;
        let mean = |&k: &u32| own[k as usize].spread.value() / own[k as usize].rows as f64;
        (pairs > 0).then(|| kept.iter().map(mean).sum::<f64>() / pairs as f64)
    }

    /// The class of each row, an index into the statistics; `None` if it has no centre.
    fn classes_of(&self, batch: &Batch<'_>, rows: &[u32]) -> Vec<Option<usize>> {
        let mut known: HashMap<u32, Option<usize>> = HashMap::new();
        let labels = &self.spec.statistics.labels;
        let find = |code: u32| labels.binary_search(&batch.classes()[code as usize]).ok();
        rows.iter()
            .map(|&row| {
                let code = batch.codes()[row as usize];
                *known.entry(code).or_insert_with(|| find(code))
            })
            .collect()
    }

    fn add_eval_rows(
        &self,
        role: Role,
        rows: &Labelled<'_>,
        seen: &mut SecondPassState,
        mut each: Option<&mut Vec<Verdict>>,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let Labelled { batch, rows, classes } = rows;
        let (decided, dim) = (role != Role::Ood, batch.dim());
        if decided {
            seen.tallies.resize(self.spec.statistics.classes(), DecisionCounts::default());
            seen.unseen += classes.iter().filter(|class| class.is_none()).count() as u64;
        }
        let mut values = take(&mut workspace.wide_rows);
        let spares_rows = each.is_none() && workspace.kernels.spares_rows();
        let mut at_a_time = workspace.kernels.rows_at_a_time(dim).max(1);
        if spares_rows && self.spec.statistics.classes() >= MANY_CLASSES {
            at_a_time *= (MOST_NUMBERS / (at_a_time * dim)).clamp(1, LARGER);
        }
        for (rows, classes) in rows.chunks(at_a_time).zip(classes.chunks(at_a_time)) {
            if spares_rows {
                self.prepare(classes);
            }
            widen(batch, rows, &mut values);
            let choices = self.choices(&values, classes, decided, each.is_some(), workspace)?;
            let at_row = |error: Error| match error.fact("row").and_then(|at| at.parse::<usize>().ok()) {
                Some(at) => error.with("row", rows[at]),
                None => error,
            };
            let distances = self.distances(&values, workspace).map_err(at_row)?;
            for (i, ((row, x), class)) in rows.iter().zip(values.chunks_exact(dim)).zip(classes).enumerate() {
                let neco = self.spec.projection.map(|projection| self.neco(projection, x, &choices, i));
                if neco.is_some_and(|score| !score.is_finite()) {
                    return Err(Error::data("a NECO score is out of range").with("row", row));
                }
                if let Some(distances) = distances.get(i).filter(|_| !decided || class.is_some()) {
                    distances.count(class.filter(|_| decided), seen);
                }
                let scores = match (decided, *class) {
                    (true, Some(class)) => {
                        choices.count(i, class, &mut seen.tallies[class]);
                        Some(&mut seen.eval)
                    }
                    (true, None) => None,
                    (false, _) => Some(&mut seen.ood),
                };
                if let (Some(scores), Some(score)) = (scores, neco) {
                    scores.add(score);
                }
                if let Some(each) = &mut each {
                    let scores = distances.get(i).and_then(|distances| distances.scores);
                    each.push(Verdict {
                        mahalanobis: scores.map(|[score, _]| score),
                        relative_mahalanobis: scores.map(|[_, relative]| relative),
                        ..self.verdict(x, &choices, i, neco)
                    });
                }
            }
        }
        workspace.wide_rows = values;
        Ok(())
    }

    /// Looks how far rows of these classes may lie from their means and still be decided without products.
    fn prepare(&self, classes: &[Option<usize>]) {
        self.centres.iter().chain(&self.logits).for_each(|candidates| candidates.prepare(classes));
    }

    /// What the rows of a block choose, as far as the spec asks for it.
    fn choices(
        &self,
        values: &[f64],
        classes: &[Option<usize>],
        decided: bool,
        each: bool,
        workspace: &mut Workspace,
    ) -> Result<Choices> {
        let asked = decided || each;
        let mut choices = Choices { nearest: None, logits: None };
        if let Some(centres) = self.centres.as_ref().filter(|_| asked) {
            choices.nearest = Some(centres.choose_of(values, classes, each, workspace)?.swap_remove(0));
        }
        let wanted = asked && self.spec.decisions || self.spec.max_logit;
        if let Some(logits) = self.logits.as_ref().filter(|_| wanted) {
            let mut rules = logits.choose_of(values, classes, each, workspace)?;
            let no_bias = rules.pop().unwrap_or_default();
            choices.logits = Some([rules.pop().unwrap_or_else(|| no_bias.clone()), no_bias]);
        }
        Ok(choices)
    }

    fn neco(&self, projection: &Projection, x: &[f64], choices: &Choices, i: usize) -> f64 {
        let score = projection.score(x);
        match (&choices.logits, self.spec.head) {
            (Some([logits, _]), Some(head)) if self.spec.max_logit => {
                score * self.logit(head, logits[i].best as usize, x)
            }
            _ => score,
        }
    }

    /// `w_k · x + b_k`, with bias as asked for.
    fn logit(&self, head: &Head, class: usize, x: &[f64]) -> f64 {
        dot(x, weights(head, class, x.len())) + self.bias(head, class)
    }

    fn bias(&self, head: &Head, class: usize) -> f64 {
        head.bias.as_ref().filter(|_| self.spec.use_bias).map_or(0.0, |bias| bias[class])
    }

    fn verdict(&self, x: &[f64], choices: &Choices, i: usize, neco: Option<f64>) -> Verdict {
        let decision = |choice: &Choice, margin: &dyn Fn(usize, usize) -> f64| {
            let number = |second: u32| {
                if choice.tied { 0.0 } else { margin(choice.best as usize, second as usize) }
            };
            Decision { class: choice.best, margin: choice.second.map(number).filter(|margin| margin.is_finite()) }
        };
        let nearest = choices.nearest.as_ref().map(|nearest| decision(&nearest[i], &|a, b| self.farther(x, a, b)));
        let logits = choices.logits.as_ref().filter(|_| self.spec.decisions).zip(self.spec.head);
        let classifier = logits.map(|([logits, _], head)| {
            decision(&logits[i], &|a, b| {
                let (a_weights, b_weights) = (weights(head, a, x.len()), weights(head, b, x.len()));
                let difference: Vec<f64> = a_weights.iter().zip(b_weights).map(|(a, b)| a - b).collect();
                (dot(x, &difference) + (self.bias(head, a) - self.bias(head, b))).max(0.0)
            })
        });
        Verdict { nearest, classifier, neco, ..Verdict::default() }
    }

    /// How much farther the centre `b` is than `a`:
    /// `‖y − b‖ − ‖y − a‖ = (a − b) · ((y − a) + (y − b)) / (‖y − a‖ + ‖y − b‖)`, without cancellation.
    fn farther(&self, x: &[f64], a: usize, b: usize) -> f64 {
        let statistics = self.spec.statistics;
        let y: Vec<f64> = x.iter().zip(&statistics.origin).map(|(x, origin)| x - origin).collect();
        let (a, b) = (statistics.offset(a), statistics.offset(b));
        let between: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let both: Vec<f64> = y.iter().zip(a).zip(b).map(|((y, a), b)| (y - a) + (y - b)).collect();
        let distances = squared_distance(&y, a).sqrt() + squared_distance(&y, b).sqrt();
        (dot(&between, &both) / distances).max(0.0)
    }
}

impl Choices {
    /// Counts row `i`, which is of `class`.
    fn count(&self, i: usize, class: usize, tally: &mut DecisionCounts) {
        let Some(nearest) = self.nearest.as_ref().map(|nearest| nearest[i]) else { return };
        let right = nearest.best as usize == class;
        tally.rows += 1;
        tally.ncc_right += u64::from(right);
        tally.ties += u64::from(nearest.tied);
        if let Some([logits, no_bias]) = &self.logits {
            let classifier = logits[i].best;
            let classifier_right = classifier as usize == class;
            tally.classifier_right += u64::from(classifier_right);
            tally.both_right += u64::from(right && classifier_right);
            tally.agreements += u64::from(classifier == nearest.best);
            tally.agreements_no_bias += u64::from(no_bias[i].best == nearest.best);
        }
    }
}

fn fits(head: &Head, classes: usize, dim: usize) -> bool {
    head.weights.len() == classes * dim && head.bias.as_ref().is_none_or(|bias| bias.len() == classes)
}

fn weights(head: &Head, class: usize, dim: usize) -> &[f64] {
    &head.weights[class * dim..][..dim]
}

/// Fills `wide` with these rows of a batch, rows × D.
fn widen(batch: &Batch<'_>, rows: &[u32], wide: &mut Vec<f64>) {
    fn gather<T: Value>(values: &[T], dim: usize, rows: &[u32], wide: &mut [f64]) {
        vectorised(
            #[inline(always)]
            || {
                for (wide, &row) in wide.chunks_exact_mut(dim).zip(rows) {
                    let values = &values[row as usize * dim..][..dim];
                    for j in 0..dim {
                        wide[j] = values[j].widen();
                    }
                }
            },
        );
    }
    wide.resize(rows.len() * batch.dim(), 0.0);
    match batch.features() {
        Features::F16(values) => gather(values, batch.dim(), rows, wide),
        Features::F32(values) => gather(values, batch.dim(), rows, wide),
        Features::F64(values) => gather(values, batch.dim(), rows, wide),
    }
}
