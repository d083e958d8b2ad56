"""Grids over pairs of classes, and their statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nckit._errors import DataError, UsageError
from nckit.neural_collapse._kinds import Array, centred, like, several, wide
from nckit.neural_collapse.util import BLOCK, squared_distances, symm_reduce, unit_rows


def class_dist_norm_vars(V_norms: Any, M: Any, dist_exp: float = 1.0, tile_size: int | None = None) -> Any:
    """Return the class-distance normalised variances of all pairs, K × K: ``(v_i + v_j) / (2 ‖μ_i − μ_j‖^(2 dist_exp))``.

    The diagonal means nothing.
    """
    variances, means = _with_variances(V_norms, M)
    rows = [_cdnv(block, variances, means, dist_exp) for block in _blocks(len(means))]
    return like(np.concatenate(rows), M, V_norms)


def mean_cdnv(V_norms: Any, M: Any, dist_exp: float) -> np.float64:
    """Return the mean over pairs, without the grid."""
    variances, means = _with_variances(V_norms, M)
    several(means, "CDNV")
    total = 0.0
    for block in _blocks(len(means)):
        grid = _cdnv(block, variances, means, dist_exp)
        above = np.triu(np.ones(grid.shape, dtype=bool), 1 + block.start)
        values = grid[above]
        if np.isnan(values).any():
            i, j = np.argwhere(above & np.isnan(grid))[0]
            raise DataError(f"classes {block.start + i} and {j} have the same mean and no variance")
        total += float(values.sum())
    return np.float64(total / (len(means) * (len(means) - 1) / 2))


def _with_variances(V_norms: Any, M: Any) -> tuple[Array, Array]:
    variances, means = wide(V_norms, "V_norms", 1), wide(M, "M", 2)
    if len(variances) != len(means):
        raise DataError(f"there are {len(variances)} variances and {len(means)} means")
    # Distances are the same, and products cancel less.
    return variances, means - means.mean(axis=0)


def _cdnv(block: slice, variances: Array, means: Array, dist_exp: float) -> Array:
    distances = squared_distances(means[block], means)
    with np.errstate(divide="ignore", invalid="ignore"):
        grid: Array = (variances[block, None] + variances) / (2.0 * distances**dist_exp)
    return grid


def _blocks(count: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


def _distances(block: slice, data: Array) -> Array:
    grid = np.sqrt(squared_distances(data[block], data))
    # A row is at no distance from itself.
    at = np.arange(block.start, block.stop)
    grid[at - block.start, at] = 0.0
    return grid


def _log(distances: Array, dim: int, exponent: float = -1) -> Array:
    with np.errstate(divide="ignore"):
        made: Array = exponent * np.log(distances)
    return made


def _riesz(distances: Array, dim: int) -> Array:
    power = dim - 2
    if power == 0:
        raise UsageError("the Riesz kernel has the exponent D − 2, which is 0 here: log_kernel is its limit")
    with np.errstate(divide="ignore", over="ignore"):
        made: Array = np.sign(power) * distances ** float(-power)
    positive = distances > 0
    if not (np.isfinite(made[positive]).all() and (made[positive] != 0).all()):
        raise UsageError(
            f"the Riesz kernel with the exponent {power} leaves the range of float64: "
            "the metrics gnc2_riesz_mean and gnc2_riesz_ln_mean of nckit.measure have an exponent of their own"
        )
    return made


def _identity(distances: Array, dim: int) -> Array:
    return distances


def _grid(data: Any, of: Callable[..., Array], **options: Any) -> Any:
    rows = wide(data, "data", 2)
    made = [of(_distances(block, rows), rows.shape[1], **options) for block in _blocks(len(rows))]
    return like(np.concatenate(made) if made else np.zeros((0, 0)), data)


def dist_kernel(data: Any, tile_size: int | None = None) -> Any:
    """Return the distances of all pairs of rows, K × K."""
    return _grid(data, _identity)


def log_kernel(data: Any, exponent: float = -1, tile_size: int | None = None) -> Any:
    """Return ``ln(distance ** exponent)`` of all pairs of rows, K × K."""
    return _grid(data, _log, exponent=exponent)


def riesz_kernel(data: Any, tile_size: int | None = None) -> Any:
    """Return ``sign(s) distance ** −s`` of all pairs of rows, K × K, with ``s = D − 2``.

    Raises
    ------
    UsageError
        If a value leaves the range of float64, as beyond some thousand dimensions.
    """
    return _grid(data, _riesz)


#: What these kernels make of distances.
_OF_DISTANCES: dict[Any, Callable[..., Array]] = {dist_kernel: _identity, log_kernel: _log, riesz_kernel: _riesz}


def kernel_grid(M: Any, m_G: Any = 0, kernel: Callable[..., Any] = dist_kernel, tile_size: int | None = None) -> Any:
    """Return a kernel over the directions of the centred class means, K × K."""
    rows = unit_rows(centred(M, m_G), "the centred mean of class")
    return kernel(like(rows, M), tile_size=tile_size)


def kernel_stats(
    M: Any, m_G: Any = 0, kernel: Callable[..., Any] = dist_kernel, tile_size: int | None = None
) -> tuple[np.float64, np.float64]:
    """Return mean and population variance of a kernel over all pairs of classes.

    Nothing of the size K × K is made for the kernels of this module.
    """
    own = kernel.func if isinstance(kernel, functools.partial) else kernel
    if own not in _OF_DISTANCES:
        grid = kernel_grid(M, m_G, kernel, tile_size)
        mean = symm_reduce(grid)
        return mean, symm_reduce(grid, lambda row: ((row - mean) ** 2).sum())
    options = dict(kernel.keywords) if isinstance(kernel, functools.partial) else {}
    options.pop("tile_size", None)
    rows = unit_rows(centred(M, m_G), "the centred mean of class")
    several(rows, "a statistic of pairs")

    def values(block: slice) -> Array:
        grid = _OF_DISTANCES[own](_distances(block, rows), rows.shape[1], **options)
        above: Array = grid[np.triu(np.ones(grid.shape, dtype=bool), 1 + block.start)]
        return above

    pairs = len(rows) * (len(rows) - 1) / 2
    mean = np.float64(sum(float(values(block).sum()) for block in _blocks(len(rows))) / pairs)
    variance = sum(float(((values(block) - mean) ** 2).sum()) for block in _blocks(len(rows))) / pairs
    return mean, np.float64(variance)
