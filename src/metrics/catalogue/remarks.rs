//! Why a metric is null, and what is remarked on one: the words of records, and what they mean.

use crate::metrics::ROUNDED;

/// A machine-readable word of records, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The word, `no_head`.
    pub word: &'static str,
    /// What it means, in a sentence without its full stop.
    pub meaning: &'static str,
}

macro_rules! remarks {
    ($($word:ident: $meaning:literal;)*) => {
        &[$(Remark { word: stringify!($word), meaning: $meaning }),*]
    };
}

static REASONS: &[Remark] = remarks! {
    no_rows: "no class has rows, or the second read of the rows, which the metric needs, was not made or found none";
    no_head: "there is no classifier";
    no_ood: "there are no out-of-distribution rows";
    no_decisions: "the rows were read once only, so none was decided or scored";
    unseen_classes: "all rows to be decided are of classes without a mean";
    not_normalized: "rows were not divided by their length: `--normalize`, in SQL `SET nc.normalize = true`";
    no_scatter: "the pooled scatter was not accumulated";
    filter_after_pooling: "classes were left out by size after the scatter had been pooled over all of them";
    needs_per_class_scatter: "`normaliser = balanced` needs a scatter of each class, which is never kept";
    no_degrees_of_freedom: "there are as many classes as rows, and the divisor is their difference";
    single_class: "there are fewer than two classes";
    too_few_rows: "fewer than two classes have enough rows for a variance; for `separation_alignment`, none has; for `spectrum_pair_cosine`, there is one row";
    too_few_directions: "fewer than two vectors have a direction";
    degenerate_pairs: "all pairs have equal means or directions, up to rounding; for `nc1_cdnv_strict` and `separation_davies_bouldin_rms`, one pair has";
    zero_between: "all class means are equal, up to rounding";
    zero_within: "all classes have variance 0, up to rounding";
    zero_variance: "all rows are equal";
    zero_means: "all class means are 0";
    zero_weights: "all rows of the classifier are 0";
    zero_ood_mean: "the mean of the out-of-distribution rows is 0";
    zero_mean: "the mean in the denominator is 0";
    zero_rows: "all rows are 0, or the classifier's rows of their classes are";
    within_singular: "in some direction class means differ, but rows within classes do not, up to rounding";
    orthogonal_spaces: "all rows of the classifier are orthogonal to all centred means";
    singular: "a system of linear equations is singular, up to rounding";
    short_spectrum: "rows vary in fewer than 100 directions, or in the tail of the spectrum by no more than rounding";
    seli_unattainable: "`K > D + 1`: vectors of so few dimensions cannot have that geometry";
    balanced: "fewer than two classes have fewer rows than the median class";
    no_fixed_point: "the precisions of weights and noise find no fixed point, the fit is so good that nothing but rounding is left, or rounding hides the directions that could explain the labels behind far larger ones";
    neco_dim_above_dim: "`neco_dim` asks for more axes than there are dimensions";
    neco_all_axes: "the axes of `neco_dim` hold all variance, so that every score is 1";
    not_converged: "the decomposition of the covariance did not converge";
    out_of_range: "the number leaves the range of `f64`";
};

static FLAGS: &[Remark] = remarks! {
    singleton_classes: "classes of one row have no variability, which makes the number too small";
    classes_left_out: "classes with too few rows for a variance were left out";
    degenerate_pairs: "pairs of equal means or directions, up to rounding, were left out";
    zero_pairs: "pairs of classes without any variability have a CDNV of 0, whose logarithm is left out; the count says how many";
    zero_norm_classes: "classes whose mean or classifier row has length 0, and so no direction, were left out";
    zero_rows: "rows of length 0, or of a class whose classifier row has length 0, were left out";
    directions_dropped: "directions in which rounding alone could make the variance were left out";
    rank_lowered: "class means differ in fewer directions than as many means in general position do";
    pinv_tolerance_sensitive: "the cut-offs `D ε` of `f64` or of `f32` give a number that differs by more than 1 %";
    binned: "the quantile is within 0.2 %, since there are more than half a million pairs";
    ill_conditioned: "the number is above 10 because the mean in its denominator is near 0";
    random_baseline: "the floor is that of directions at random, since `K > D + 1` admits no simplex";
    no_bias: "the classifier has no bias, which counts as 0";
    ties: "some rows have two nearest class means, as far as rounding lets tell";
    unseen_classes: "rows of classes without a mean were not decided";
    frequent_classes: "pairs are those of classes with enough rows, as `sweep_min_count` asks; `classes_swept` says how many they are";
    sampled_classes: "pairs are those of classes drawn at random, as `sweep_sample` asks; the error bar says how far others would move the number";
    unbalanced: "the classes have unequal sizes, so that the parts do not sum to the loss";
};

static COMMON_FLAGS: &[Remark] = &[
    Remark { word: ROUNDED, meaning: "the estimated relative rounding error is above 1e-6; `accuracy` says how large" },
    Remark { word: "nothing_but_rounding", meaning: "the estimated rounding error is as large as the number" },
];

static ERROR_BAR_REASONS: &[Remark] = remarks! {
    second_read: "it takes a second read of the rows, which blocks do not have";
    further_rows: "other rows than those in blocks decide it too";
    head_of_same_rows: "the classifier is made of the same rows, and would be another one with others";
    of_classifier_alone: "it is of the classifier alone, or of it and the sizes of classes, which are taken as given";
    depends_on_row_count: "its formula has the number of rows in it, so that there is no number of infinitely many rows to be near";
    quantile: "a quantile does not move smoothly with the rows, so that a jackknife of it is not valid";
    extreme: "a largest or smallest value does not move smoothly with the rows, so that a jackknife of it is not valid";
    count: "a count moves in steps, so that a jackknife of it is not valid";
    heavy_tail: "it is exponentially small in the distances between classes, so that its replicates are far from normal";
    no_value: "the metric has no value";
    too_few_blocks: "fewer than two blocks have rows";
    too_few_classes: "fewer than 64 classes were drawn, which is too few to see how much they differ";
    small_classes: "more than a hundredth of the classes, or of the rows, is of classes that have too few rows once a block is left out; `--min-count` leaves them out of the metrics";
    replicate_without_value: "the metric has no value without some block, or its error leaves the range of `f64`";
};

static GROUP_FLAGS: &[Remark] = remarks! {
    singleton_classes: "some classes have one row";
    simplex_unattainable: "`K > D + 1`: no means can form a simplex";
    zero_variance_classes: "all rows of a class of two or more are equal, or rounding has made them so";
    classes_without_error_bars: "some classes have too few rows once a block is left out, and take no part in error bars";
    at_quantisation_floor: "rounding in the stored type makes more than a tenth of the variance within classes";
};

/// The reasons why metrics are null. [`Card::nulls`](super::Card::nulls) lists those of a metric.
pub fn reasons() -> &'static [Remark] {
    REASONS
}

/// The remarks on metrics. [`Card::flags`](super::Card::flags) lists those of a metric.
pub fn flags() -> &'static [Remark] {
    FLAGS
}

/// The remarks that any metric may have.
pub fn common_flags() -> &'static [Remark] {
    COMMON_FLAGS
}

/// The remarks on a whole group.
pub fn group_flags() -> &'static [Remark] {
    GROUP_FLAGS
}

/// The reasons why metrics have no error bar.
pub fn error_bar_reasons() -> &'static [Remark] {
    ERROR_BAR_REASONS
}
