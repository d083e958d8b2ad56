"""The names of the package `neural_collapse`: values against their own formulas in float64, and what it got wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import layout

import nckit
import nckit.neural_collapse as nc
from nckit.neural_collapse.accumulate import CovarAccumulator, DecAccumulator, MeanAccumulator, VarNormAccumulator
from nckit.neural_collapse.kernels import (
    class_dist_norm_vars,
    dist_kernel,
    kernel_grid,
    kernel_stats,
    log_kernel,
    riesz_kernel,
)
from nckit.neural_collapse.measure import (
    clf_ncc_agreement,
    covariance_pinv,
    covariance_ratio,
    distance_norms,
    interference_grid,
    mean_norms,
    orthogonality_deviation,
    self_duality_error,
    similarities,
    simplex_etf_error,
    structure_error,
    variability_cdnv,
    variability_pinv,
    variability_ratio,
)
from nckit.neural_collapse.util import hashify, normalize, resolve, symm_reduce, tiling

#: States round rows once, to about 2^-21 of the spread within classes.
ROUNDED = 2e-6


def batches(features: Any, labels: Any, size: int = 64) -> Any:
    for start in range(0, len(labels), size):
        yield features[start : start + size], labels[start : start + size]


def loop(features: Any, labels: Any, weights: Any, classes: int) -> dict[str, Any]:
    """The published usage, as it stands."""
    dim = features.shape[1]
    mean_accum = MeanAccumulator(n_classes=classes, d_vectors=dim, device="cpu")
    for X, Y in batches(features, labels):
        mean_accum.accumulate(X, Y)
    means, mG = mean_accum.compute()
    var_norms_accum = VarNormAccumulator(classes, dim, "cpu", M=means)
    covar_accum = CovarAccumulator(classes, dim, "cpu", M=means)
    for X, Y in batches(features, labels):
        var_norms_accum.accumulate(X, Y, means)
        covar_accum.accumulate(X, Y, means)
    var_norms, mean_var = var_norms_accum.compute()
    covar_within = covar_accum.compute()
    dec_accum = DecAccumulator(classes, dim, "cpu", M=means, W=weights)
    dec_accum.create_index(means)
    for X, Y in batches(features, labels):
        dec_accum.accumulate(X, Y, weights)
    return {
        "M": means,
        "m_G": mG,
        "v": var_norms,
        "v_mean": mean_var,
        "covar": covar_within,
        "dec": dec_accum,
        "nc1_pinv": covariance_ratio(covar_within, means, mG),
        "nc1_quot": covariance_ratio(covar_within, means, mG, "quotient"),
        "nc1_cdnv": variability_cdnv(var_norms, means, tile_size=64),
        "nc2_etf": simplex_etf_error(means, mG),
        "nc3_dual": self_duality_error(weights, means, mG),
        "nc4": clf_ncc_agreement(dec_accum),
    }


def formulas(features: Any, labels: Any, weights: Any, classes: int) -> dict[str, Any]:
    """The definitions, in float64 and two passes."""
    rows, W = features.astype(np.float64), weights.astype(np.float64)
    M = np.stack([rows[labels == k].mean(axis=0) for k in range(classes)])
    m_G = M.mean(axis=0)
    off = rows - M[labels]
    v = np.array([(off[labels == k] ** 2).sum(axis=1).mean() for k in range(classes)])
    covar = off.T @ off / len(rows)
    C = M - m_G
    between = C.T @ C / classes
    pairs = np.triu_indices(classes, 1)
    cdnv = np.array([(v[i] + v[j]) / (2 * ((M[i] - M[j]) ** 2).sum()) for i, j in zip(*pairs, strict=True)])

    def structure(S: Any) -> float:
        P = (np.eye(classes) - 1 / classes) / np.sqrt(classes - 1)
        return float(np.linalg.norm(S / np.linalg.norm(S) - P))

    nearest = ((rows[:, None, :] - M[None]) ** 2).sum(axis=2).argmin(axis=1)
    return {
        "M": M,
        "m_G": m_G,
        "v": v,
        "v_mean": v.mean(),
        "covar": covar,
        "nc1_pinv": np.trace(covar @ np.linalg.pinv(between, rcond=1e-10)) / classes,
        "nc1_quot": np.trace(covar) / np.trace(between),
        "nc1_cdnv": cdnv.mean(),
        "nc2_etf": structure(C @ C.T),
        "nc3_dual": structure(W @ C.T),
        "nc4": ((rows @ W.T).argmax(axis=1) == nearest).mean(),
    }


@pytest.mark.parametrize("seed", range(50))
def test_the_published_usage_gives_what_the_formulas_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, dim = int(rng.integers(2, 40)), int(rng.integers(2, 48))
    features, labels = layout(rng, int(rng.integers(4 * classes, 40 * classes)), dim, classes)
    features = features.astype([np.float32, np.float64][seed % 2])
    weights = rng.normal(size=(classes, dim)).astype(np.float32)
    made, expected = loop(features, labels, weights, classes), formulas(features, labels, weights, classes)
    for name, value in expected.items():
        # Two classes are a simplex always, but for the last bit.
        least = max(ROUNDED * np.abs(value).max(), 1e-12)
        np.testing.assert_allclose(made[name], value, rtol=ROUNDED, atol=least, err_msg=name)


@pytest.mark.parametrize("seed", range(10))
def test_measures_of_means_and_weights_are_the_formulas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, dim = int(rng.integers(2, 30)), int(rng.integers(3, 30))
    M, W = rng.normal(size=(classes, dim)) * 3 + 5, rng.normal(size=(classes, dim))
    m_G, v = M.mean(axis=0), rng.uniform(0.1, 1, size=classes)
    C = M - m_G
    U, V = C / np.linalg.norm(C, axis=1)[:, None], W / np.linalg.norm(W, axis=1)[:, None]
    i, j = np.triu_indices(classes, 1)
    close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    close(mean_norms(M, m_G), np.linalg.norm(C, axis=1))
    close(mean_norms(M, m_G, [np.log, np.abs]), np.abs(np.log(np.linalg.norm(C, axis=1))))
    close(interference_grid(M, m_G), C @ C.T)
    close(similarities(W, M, m_G), (W * C).sum(axis=1))
    close(similarities(W, M, m_G, cos=True), (V * U).sum(axis=1))
    close(distance_norms(W, M, m_G), np.linalg.norm(V - U, axis=1))
    close(distance_norms(W, M, m_G, norm=False), np.linalg.norm(W - C, axis=1))
    o = rng.normal(size=dim)
    close(orthogonality_deviation(M, o), np.abs(M @ o / np.linalg.norm(M, axis=1) / np.linalg.norm(o)).mean())
    distances = np.sqrt(((U[:, None] - U[None]) ** 2).sum(axis=2))
    close(kernel_grid(M, m_G, tile_size=4), distances)
    for kernel, values in [
        (dist_kernel, distances[i, j]),
        (log_kernel, -np.log(distances[i, j])),
        (partial(log_kernel, exponent=2), 2 * np.log(distances[i, j])),
        (riesz_kernel, distances[i, j] ** -(dim - 2.0) * np.sign(dim - 2)),
        (lambda data, tile_size=None: dist_kernel(data) ** 3, distances[i, j] ** 3),
    ]:
        if dim == 2 and kernel is riesz_kernel:
            continue
        close(kernel_stats(M, m_G, kernel), (values.mean(), values.var()))
    for exponent in (1.0, 2.0):
        grid = (v[:, None] + v) / (2 * ((M[:, None] - M[None]) ** 2).sum(axis=2) + np.eye(classes)) ** exponent
        grid *= 2 ** (exponent - 1)
        close(class_dist_norm_vars(v, M, exponent, tile_size=4)[i, j], grid[i, j])
        close(variability_cdnv(v, M, exponent), grid[i, j].mean())
    assert structure_error(C, C) == simplex_etf_error(M, m_G)


def golden() -> tuple[Any, Any, Any, Any]:
    """Return the small fixture of which the reference's own values are known: rows, labels, weights, OoD mean."""
    base = np.array([[5, -1, 0], [1, 3, 0], [1, -1, 4], [1, -1, 2]], dtype=float)
    labels = np.repeat(np.arange(4), [3, 4, 5, 6])
    rows = [
        [base[k, j] + (((t * (j + 2) + k * k + j) % 7) - 3) / 8 for j in range(3)] for t, k in enumerate(labels)
    ]
    weights = np.array([[2, -1, 0], [-1, 2, 0.5], [0, -0.5, 2], [-1, -0.5, -2.5]])
    return np.array(rows), labels, weights, np.array([1.0, 2.0, -3.0])


def test_the_values_that_the_package_itself_returns() -> None:
    rows, labels, weights, outside = golden()
    made = loop(rows, labels, weights, 4)
    M, m_G = made["M"], made["m_G"]
    for value, expected in [
        (made["nc1_pinv"], 0.1033908142680865),
        (made["nc1_quot"], 0.02088789252071388),
        (made["nc1_cdnv"], 0.012875333731516095),
        (variability_cdnv(made["v"], M, 2), 0.0019315756304041044),
        (made["nc2_etf"], 0.570044957183104),
        (made["nc3_dual"], 0.7592051516831099),
        (made["nc4"], 0.6666666666666666),
        (clf_ncc_agreement(made["dec"], weighted=False), 0.75),
        (orthogonality_deviation(M, outside), 0.5661191587363226),
        (kernel_stats(M, m_G)[0], 1.5625340715816225),
        (kernel_stats(M, m_G)[1], 0.13348986760908632),
        (kernel_stats(M, m_G, log_kernel)[0], -0.40622083794005087),
        (kernel_stats(M, m_G, riesz_kernel)[0], 0.7054933428058181),
        (mean_norms(M, m_G).var(ddof=1), 0.9391568501527674),
        (similarities(weights, M, m_G, cos=True).mean(), 0.6835763588273861),
        (distance_norms(weights, M, m_G).mean(), 0.6945981893390633),
        (interference_grid(M, m_G)[np.triu_indices(4, 1)].var(), 8.006002865295809),
    ]:
        # The rows are sums of eighths, which no grid changes.
        assert value == pytest.approx(expected, rel=1e-12)
        assert value.item() == value
    assert made["dec"].totals.tolist() == [3, 4, 5, 0]
    # With K − 1 = D the package itself raises here.
    assert covariance_ratio(made["covar"], M, m_G, "svd") == pytest.approx(0.1033908142680865, rel=1e-12)
    assert variability_pinv(made["covar"], M, m_G, svd=True) == covariance_ratio(made["covar"], M, m_G, "svd")
    assert variability_pinv(made["covar"], M, m_G) == covariance_pinv(made["covar"], M, m_G) == made["nc1_pinv"]
    assert variability_ratio(made["covar"], M, m_G) == made["nc1_quot"]
    assert clf_ncc_agreement(made["dec"].ns_samples, made["dec"].totals) == made["nc4"]


def test_deviations_about_given_means_are_exact() -> None:
    rng = np.random.default_rng(3)
    features, labels = layout(rng, 500, 12, 5)
    given = rng.normal(size=(5, 12))
    covar, norms = CovarAccumulator(5, 12), VarNormAccumulator(5, 12, M=given)
    for X, Y in batches(features, labels):
        covar.accumulate(X, Y, given)
        norms.accumulate(X, Y)
    off = features.astype(np.float64) - given[labels]
    np.testing.assert_allclose(covar.compute(), off.T @ off / 500, rtol=1e-6, atol=1e-6)
    v = [(off[labels == k] ** 2).sum(axis=1).mean() for k in range(5)]
    np.testing.assert_allclose(norms.compute()[0], v, rtol=1e-6)
    with pytest.raises(nckit.UsageError, match="M differs"):
        covar.accumulate(features, labels, given + 1)


def test_what_accumulators_return_beside_results() -> None:
    features, labels = layout(np.random.default_rng(1), 300, 6, 4)
    accum = MeanAccumulator(4, 6)
    counts, totals = accum.accumulate(features, labels)
    sums = np.stack([features[labels == k].sum(axis=0, dtype=np.float64) for k in range(4)])
    np.testing.assert_array_equal(counts, np.bincount(labels))
    np.testing.assert_allclose(totals, sums, rtol=1e-6, atol=1e-5)
    M, weighted = accum.compute(weighted=True)
    np.testing.assert_allclose(weighted, features.mean(axis=0, dtype=np.float64), rtol=1e-6, atol=1e-6)
    some, of_some = accum.compute([2, 0])
    np.testing.assert_array_equal(some, M[[2, 0]])
    np.testing.assert_allclose(of_some, M[[2, 0]].mean(axis=0))
    assert accum.class_idxs(features, labels).sum(axis=0).tolist() == np.bincount(labels).tolist()
    assert accum.ns_samples.sum() == 600


def test_classes_are_filtered_by_their_rows() -> None:
    accum = MeanAccumulator(5, 2)
    accum.accumulate(np.zeros((6, 2), np.float32), [0, 0, 0, 1, 1, 3])
    assert accum.filter_indices_by_n_samples(2).tolist() == [0, 1]
    assert accum.filter_indices_by_n_samples(1, 3).tolist() == [1, 3]
    # Zero is a maximum too, and one class is a list of one.
    assert accum.filter_indices_by_n_samples(0, 0).tolist() == []
    means, _ = accum.compute(accum.filter_indices_by_n_samples(3))
    assert means.shape == (1, 2)


def test_classes_without_rows_have_no_mean_and_win_nothing() -> None:
    accum = MeanAccumulator(3, 2)
    rows = np.array([[1.0, 1.0], [3.0, 3.0], [1.0, 1.0]])
    accum.accumulate(rows, [0, 2, 0])
    M, m_G = accum.compute()
    assert np.isnan(M[1]).all()
    np.testing.assert_array_equal(m_G, [2.0, 2.0])
    with pytest.raises(nckit.DataError, match="row 1: classes without rows"):
        simplex_etf_error(M, m_G)
    decided = DecAccumulator(3, 2, M=M, W=np.eye(3, 2))
    decided.accumulate(np.array([[0.1, 0.0]]), [0])
    # The nearest mean is that of class 0, and not a mean of zeros.
    assert decided.totals.tolist() == [1, 0, 0]
    assert clf_ncc_agreement(decided, weighted=False) == 1.0


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        ([[1.0, 2.0]], [3], "row 0 has the label 3, and labels are 0 to 2"),
        ([[1.0, 2.0], [1.0, 2.0]], [0, -1], "row 1 has the label -1"),
        ([[1.0, np.nan]], [0], "not finite"),
        ([[1.0, 2.0, 3.0]], [0], "3 dimensions, and d_vectors is 2"),
        ([[1.0, 2.0]], [0, 1], "1 rows and 2 labels"),
        ([[1, 2]], [0], "float16, float32, float64"),
        ([[1.0, 2.0]], [0.5], "whole numbers"),
    ],
)
@pytest.mark.parametrize("kind", [MeanAccumulator, VarNormAccumulator, CovarAccumulator, DecAccumulator])
def test_bad_batches_are_refused_and_change_nothing(kind: Any, rows: Any, labels: Any, message: str) -> None:
    accum = kind(3, 2, M=np.eye(3, 2))
    extra = (np.eye(3, 2),) if kind is DecAccumulator else ()
    accum.accumulate(np.array([[1.0, 0.0], [0.0, 1.0]]), [0, 1], *extra)
    before = accum.ns_samples, accum.totals
    with pytest.raises(nckit.DataError, match=message):
        accum.accumulate(np.array(rows), labels, *extra)
    np.testing.assert_array_equal(accum.ns_samples, before[0])
    np.testing.assert_array_equal(accum.totals, before[1])


def test_batches_of_one_row_and_columns_of_labels() -> None:
    accum = MeanAccumulator(2, 2)
    accum.accumulate(np.array([1.0, 3.0]), 0)
    accum.accumulate(np.array([[3.0, 5.0]]), [[0]])
    accum.accumulate(np.zeros((0, 2)), np.zeros((0, 1), dtype=int))
    assert accum.compute([0])[0].tolist() == [[2.0, 4.0]]


def test_a_pooled_covariance_cannot_be_filtered() -> None:
    accum = CovarAccumulator(3, 2)
    accum.accumulate(np.array([[1.0, 0.0], [2.0, 1.0]]), [0, 0])
    whole = accum.compute()
    np.testing.assert_array_equal(accum.compute([0]), whole)
    with pytest.raises(nckit.UsageError, match="pooled over all classes, and idxs leaves out class 0"):
        accum.compute([1, 2])


def test_what_has_no_value_says_so() -> None:
    one = np.array([[1.0, 2.0]])
    for call in [
        lambda: covariance_ratio(np.eye(2), one),
        lambda: simplex_etf_error(one),
        lambda: variability_cdnv([1.0], one),
        lambda: kernel_stats(one),
    ]:
        with pytest.raises(nckit.DataError, match="two classes at least"):
            call()
    with pytest.raises(nckit.DataError, match="all class means are equal"):
        covariance_ratio(np.eye(2), np.ones((3, 2)), np.ones(2))
    with pytest.raises(nckit.UsageError, match="mean of the out-of-distribution rows"):
        orthogonality_deviation(np.eye(2))
    with pytest.raises(nckit.DataError, match="class 1 has length 0"):
        kernel_stats(np.array([[1.0, 0], [0, 0], [0, 2.0]]))
    # Products of so many distances underflow in the reference, which returns 0.
    rng = np.random.default_rng(0)
    value, _ = kernel_stats(rng.normal(size=(4, 400)), 0, riesz_kernel)
    assert 0 < value < 1e-40
    with pytest.raises(nckit.UsageError, match="leaves the range of float64"):
        kernel_stats(rng.normal(size=(4, 4000)), 0, riesz_kernel)


def test_equal_means_are_infinitely_hard_to_tell_apart() -> None:
    M = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    assert variability_cdnv([1.0, 1.0, 1.0], M) == np.inf
    with pytest.raises(nckit.DataError, match="classes 0 and 1 have the same mean and no variance"):
        variability_cdnv([0.0, 0.0, 1.0], M)
    # Tiles of one class, and means that are near each other and far from zero.
    M = 1e6 + np.array([[0.0, 0.0], [1e-3, 0.0], [0.0, 2e-3]])
    d = np.array([1e-6, 4e-6, 5e-6])
    assert variability_cdnv(np.ones(3), M, tile_size=2) == pytest.approx((1 / d).mean(), rel=1e-6)
    # Neighbours that are far from the centre of all means: products of them cancel.
    M = np.array([[1e6, 0.0], [1e6 + 1e-3, 0.0], [-2e6, 0.0]])
    d = (M[1, 0] - M[0, 0]) ** 2
    assert variability_cdnv(np.ones(3), M) == pytest.approx((1 / d + 2 / 9e12) / 3, rel=1e-6)


def test_many_classes_take_no_grid() -> None:
    rng = np.random.default_rng(5)
    M, W = rng.normal(size=(5000, 8)), rng.normal(size=(5000, 8))
    m_G = M.mean(axis=0)
    for made, (a, b) in [
        (simplex_etf_error(M, m_G), (M - m_G, M - m_G)),
        (self_duality_error(W, M, m_G), (W, M - m_G)),
    ]:
        S = a @ b.T
        S /= np.linalg.norm(S)
        S += 1 / (5000 * np.sqrt(4999))
        S[np.diag_indices(5000)] -= 1 / np.sqrt(4999)
        assert made == pytest.approx(np.linalg.norm(S), rel=1e-10)


def test_small_functions() -> None:
    grid = np.arange(16.0).reshape(4, 4)
    assert symm_reduce(grid) == grid[np.triu_indices(4, 1)].mean()
    assert symm_reduce(grid, np.sum) == symm_reduce(grid)
    rows = np.arange(10.0).reshape(5, 2)
    for size in (None, 1, 2, 4, 5, 9):
        np.testing.assert_array_equal(tiling(rows, lambda a, b: a @ b.T, size), rows @ rows.T)
    np.testing.assert_allclose(normalize(np.array([[3.0, 4.0]])), [[0.6, 0.8]])
    assert hashify(rows) == hashify(rows.copy()) != hashify(rows + 1)
    assert resolve(None, 3) == 3 == resolve(3)
    with pytest.raises(nckit.UsageError):
        resolve(None)
    assert nc.measure.covariance_ratio is covariance_ratio


def test_tensors_come_back_as_tensors() -> None:
    torch = pytest.importorskip("torch")
    features, labels = layout(np.random.default_rng(2), 400, 8, 5)
    weights = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    expected = loop(features, labels, weights, 5)
    made = loop(
        torch.tensor(features), torch.tensor(labels), torch.tensor(weights, requires_grad=True), 5
    )
    for name in ("M", "m_G", "v", "covar"):
        assert isinstance(made[name], torch.Tensor)
        np.testing.assert_array_equal(made[name].numpy(), expected[name])
    for name in ("nc1_pinv", "nc1_cdnv", "nc2_etf", "nc3_dual", "nc4"):
        assert made[name] == expected[name]
    assert mean_norms(made["M"], made["m_G"], [torch.log]).shape == (5,)
    assert MeanAccumulator(5, 8, dtype=torch.float32).accumulate(torch.tensor(features), torch.tensor(labels))[
        1
    ].dtype == torch.float32


def test_means_that_were_changed_in_place_are_noticed(rows: Any) -> None:
    features, labels = rows
    for kind in (VarNormAccumulator, CovarAccumulator):
        means = np.zeros((7, 24))
        means[6] = np.nan
        labels_before = labels % 6
        accumulator = kind(7, 24)
        accumulator.accumulate(features[:100], labels_before[:100], means)
        # The same numbers in another type are the same means.
        accumulator.accumulate(features[100:200], labels_before[100:200], means.astype(np.float32))
        accumulator.accumulate(features[200:300], labels_before[200:300], means)
        means[2, 3] += 1e-9
        with pytest.raises(nckit.UsageError, match="M differs"):
            accumulator.accumulate(features[300:], labels_before[300:], means)
        assert accumulator.ns_samples.sum() == 300


@pytest.mark.parametrize("kind", [MeanAccumulator, VarNormAccumulator, CovarAccumulator])
def test_what_ends_early_leaves_counts_and_sums_of_the_same_rows(rows: Any, kind: Any, monkeypatch: Any) -> None:
    features, labels = rows
    add = nckit.State._add

    def ends(state: Any, batch: Any) -> None:
        # As Ctrl-C does between two pieces: the rows of the first are there.
        add(state, batch._replace(features=batch.features[:700], labels=batch.labels[:700]))
        raise KeyboardInterrupt

    accumulator, expected = kind(7, 24), kind(7, 24)
    accumulator.accumulate(features[:1000], labels[:1000])
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(nckit.State, "_add", ends)
        accumulator.accumulate(features[1000:3000], labels[1000:3000])
    accumulator.accumulate(features[3000:], labels[3000:])
    kept = np.r_[:1700, 3000:6000]
    expected.accumulate(features[kept], labels[kept])
    np.testing.assert_array_equal(accumulator.ns_samples, expected.ns_samples)
    np.testing.assert_allclose(accumulator.totals, expected.totals, rtol=1e-5)
    bad = features.copy()
    bad[-1, 0] = np.nan
    with pytest.raises(nckit.DataError):
        accumulator.accumulate(bad, labels)
    assert accumulator.ns_samples.sum() == 4700
