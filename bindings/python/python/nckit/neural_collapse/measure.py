"""Measures of neural collapse from class means, covariances and a classifier. Numbers are of float64, which has ``item()``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nckit._arrays import to_numpy
from nckit._errors import DataError, UsageError
from nckit.neural_collapse._kinds import Array, centred, chosen_classes, like, several, wide
from nckit.neural_collapse.kernels import mean_cdnv
from nckit.neural_collapse.util import BLOCK, unit_rows

#: Classes up to which a K × K grid is made.
_SMALL = 4096


def covariance_ratio(V_intra: Any, M: Any, m_G: Any = 0, metric: str = "pinv") -> np.float64:
    """Return the within-class covariance over the between-class one (NC1); lower is more collapsed.

    Parameters
    ----------
    V_intra : array, D × D
        The covariance within classes, divided by N.
    M : array, K × D
        Class means.
    m_G : array, D
        Their mean.
    metric : {"pinv", "svd", "quotient"}
        ``tr(Σ_W Σ_B⁺) / K`` with the numerical rank, or with ``K − 1`` directions at most; or ``tr Σ_W / tr Σ_B``.
    """
    within, rows = wide(V_intra, "V_intra", 2), centred(M, m_G)
    several(rows, "a covariance between classes")
    classes, dim = rows.shape
    if within.shape != (dim, dim):
        raise DataError(f"V_intra is D × D = {dim} × {dim}, and this has the shape {within.shape}")
    if metric not in ("pinv", "svd", "quotient"):
        raise UsageError(f'metric is "pinv", "svd" or "quotient", and not {metric!r}')
    if not rows.any():
        raise DataError("all class means are equal: there is no covariance between classes")
    if metric == "quotient":
        return np.float64(np.trace(within) / ((rows**2).sum() / classes))
    within = (within + within.T) / 2.0
    most = min(classes, dim) if metric == "pinv" else min(classes - 1, dim)
    if classes < dim:
        values, vectors = np.linalg.eigh(rows @ rows.T)
        kept = _kept(values, most, max(classes, dim))
        axes = rows.T @ vectors[:, kept]
        return np.float64((((within @ axes) * axes).sum(axis=0) / values[kept] ** 2).sum())
    values, axes = np.linalg.eigh(rows.T @ rows / classes)
    kept = _kept(values, most, max(classes, dim))
    axes = axes[:, kept]
    return np.float64((((within @ axes) * axes).sum(axis=0) / values[kept]).sum() / classes)


def _kept(values: Array, most: int, size: int) -> Any:
    """Return the directions that are not rounding, the largest ones if there are more than ``most``."""
    kept = np.flatnonzero(values > size * np.finfo(np.float64).eps * values[-1])
    return kept[-most:]


def variability_cdnv(V_norms: Any, M: Any, dist_exp: float = 1.0, tile_size: int | None = None) -> np.float64:
    """Return the mean class-distance normalised variance over pairs of classes (NC1); infinite if two means are equal."""
    return mean_cdnv(V_norms, M, dist_exp)


def variability_pinv(covar: Any, M: Any, m_G: Any = 0, svd: bool = False) -> np.float64:
    """Return ``covariance_ratio`` with the pseudo-inverse; an older name."""
    return covariance_ratio(covar, M, m_G, "svd" if svd else "pinv")


def covariance_pinv(covar: Any, M: Any, m_G: Any = 0) -> np.float64:
    """Return ``covariance_ratio`` with the pseudo-inverse; an older name."""
    return covariance_ratio(covar, M, m_G, "pinv")


def variability_ratio(covar: Any, M: Any, m_G: Any = 0) -> np.float64:
    """Return ``covariance_ratio`` of traces; an older name."""
    return covariance_ratio(covar, M, m_G, "quotient")


def mean_norms(M: Any, m_G: Any = 0, post_funcs: Iterable[Callable[[Any], Any]] = ()) -> Any:
    """Return the lengths of the centred class means, K, after these functions."""
    norms = like(np.linalg.norm(centred(M, m_G), axis=1), M)
    for function in post_funcs:
        norms = function(norms)
    return norms


def interference_grid(M: Any, m_G: Any = 0) -> Any:
    """Return the inner products of the centred class means, K × K."""
    rows = centred(M, m_G)
    return like(rows @ rows.T, M)


def _head_and_means(W: Any, M: Any, m_G: Any) -> tuple[Array, Array]:
    weights, means = wide(W, "W", 2), centred(M, m_G)
    if weights.shape != means.shape:
        raise DataError(f"W and M are both K × D, and these have the shapes {weights.shape} and {means.shape}")
    return weights, means


def similarities(W: Any, M: Any, m_G: Any = 0, cos: bool = False) -> Any:
    """Return the inner product of each class's weights and centred mean, K; with ``cos`` their cosine."""
    weights, means = _head_and_means(W, M, m_G)
    if cos:
        weights, means = unit_rows(weights, "the weights of class"), unit_rows(means, "the centred mean of class")
    return like((weights * means).sum(axis=1), M, W)


def distance_norms(W: Any, M: Any, m_G: Any = 0, norm: bool = True) -> Any:
    """Return the distance of each class's weights and centred mean, K; with ``norm`` that of their directions."""
    weights, means = _head_and_means(W, M, m_G)
    if norm:
        weights, means = unit_rows(weights, "the weights of class"), unit_rows(means, "the centred mean of class")
    return like(np.linalg.norm(weights - means, axis=1), M, W)


def structure_error(A: Any, B: Any) -> np.float64:
    """Return how far ``A Bᵀ`` is from a simplex: ``‖S/‖S‖ − (I − 11ᵀ/K)/√(K − 1)‖`` with ``S = A Bᵀ``, 0 at a simplex."""
    a, b = wide(A, "A", 2), wide(B, "B", 2)
    if a.shape != b.shape:
        raise DataError(f"A and B are both K × D, and these have the shapes {a.shape} and {b.shape}")
    several(a, "a structure")
    # The same direction has the same error, and no square leaves the range of numbers.
    a, b = (rows / max(np.abs(rows).max(), np.finfo(np.float64).tiny) for rows in (a, b))
    classes = len(a)
    if classes > _SMALL:
        size = np.sqrt(((a.T @ a) * (b.T @ b)).sum())
        _refuse_zero(size)
        along = (a * b).sum() - a.sum(axis=0) @ b.sum(axis=0) / classes
        square = 2.0 - 2.0 * along / (size * np.sqrt(classes - 1.0))
        # Below that, the subtraction has cancelled digits.
        if square > 1e-6:
            return np.float64(np.sqrt(square))
    blocks = [slice(start, start + BLOCK) for start in range(0, classes, BLOCK)]
    size = np.sqrt(sum(float(((a[block] @ b.T) ** 2).sum()) for block in blocks))
    _refuse_zero(size)
    total = 0.0
    for block in blocks:
        rest = a[block] @ b.T / size + 1.0 / (classes * np.sqrt(classes - 1.0))
        at = np.arange(len(rest))
        rest[at, at + block.start] -= 1.0 / np.sqrt(classes - 1.0)
        total += float((rest**2).sum())
    return np.float64(np.sqrt(total))


def _refuse_zero(size: Any) -> None:
    if not size > 0:
        raise DataError("all inner products are 0: there is no structure")


def simplex_etf_error(M: Any, m_G: Any = 0) -> np.float64:
    """Return how far the centred class means are from a simplex (NC2), 0 to √2; 0 at full collapse."""
    rows = centred(M, m_G)
    return structure_error(rows, rows)


def self_duality_error(W: Any, M: Any, m_G: Any = 0) -> np.float64:
    """Return how far weights and centred class means are from being each other's simplex (NC3), 0 to 2."""
    return structure_error(*_head_and_means(W, M, m_G))


def clf_ncc_agreement(accum: Any, indices: Any = None, weighted: bool = True) -> np.float64:
    """Return how often the classifier decides for the class of the nearest mean (NC4), 0 to 1.

    Parameters
    ----------
    accum : DecAccumulator
        Or, in an older form, the numbers of rows, with the numbers of hits as the second argument.
    indices : array, optional
        Which classes count; all without it.
    weighted : bool
        The share of all rows; else the mean of the shares of classes.
    """
    if hasattr(accum, "ns_samples"):
        counts, hits = to_numpy(accum.ns_samples), to_numpy(accum.totals)
        if indices is not None:
            classes = chosen_classes(indices, len(counts))
            counts, hits = counts[classes], hits[classes]
    elif indices is None:
        raise UsageError("hits are missing: clf_ncc_agreement(accum), or of counts and hits")
    else:
        counts, hits = np.atleast_1d(to_numpy(accum)), np.atleast_1d(to_numpy(indices))
    if counts.sum() == 0:
        raise DataError("no rows were decided")
    if weighted:
        return np.float64(hits.sum() / counts.sum())
    filled = counts > 0
    return np.float64((hits[filled] / counts[filled]).mean())


def orthogonality_deviation(M: Any, m_G_ood: Any = 0) -> np.float64:
    """Return the mean of ``|cos(μ_k, o)|`` (NC5), 0 to 1; ``m_G_ood`` is the mean ``o`` of the out-of-distribution rows."""
    if isinstance(m_G_ood, int | float):
        raise UsageError("m_G_ood is missing: the mean of the out-of-distribution rows, D numbers")
    means, outside = wide(M, "M", 2), wide(m_G_ood, "m_G_ood", 1)
    if means.shape[1] != outside.shape[0]:
        raise DataError(f"m_G_ood has {outside.shape[0]} dimensions, and M has {means.shape[1]}")
    outside = unit_rows(outside[None, :], "m_G_ood, row")[0]
    return np.float64(np.abs(unit_rows(means, "the mean of class") @ outside).mean())
