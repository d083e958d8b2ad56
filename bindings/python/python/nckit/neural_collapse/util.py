"""Small functions on grids of pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from nckit._arrays import to_numpy
from nckit._errors import DataError, UsageError
from nckit.neural_collapse._kinds import Array, like

#: Rows of a grid that are worked on at a time.
BLOCK = 512


def hashify(data: Any) -> str:
    """Return the SHA-256 of an array's numbers, as hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(to_numpy(data)).tobytes()).hexdigest()


def resolve(given: Any, known: Any = None) -> Any:
    """Return the given value, or the known one if none is given.

    Raises
    ------
    UsageError
        If there is neither.
    """
    value = known if given is None else given
    if value is None:
        raise UsageError("a value is missing, and none was given before")
    return value


def unit_rows(rows: Array, what: str = "row") -> Array:
    """Return rows of length one."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not (norms > 0).all():
        at = int(np.flatnonzero(norms.reshape(-1) == 0)[0])
        raise DataError(f"{what} {at} has length 0, and so no direction")
    return rows / norms


def normalize(x: Any) -> Any:
    """Return vectors of length one: along the last dimension.

    Raises
    ------
    DataError
        If one has length 0.
    """
    return like(unit_rows(np.asarray(to_numpy(x), dtype=np.float64)), x)


def tiling(data: Any, kernel: Callable[[Any, Any], Any], tile_size: int | None = None) -> Any:
    """Return the grid of ``kernel(rows, rows)`` over all pairs of rows, K × K.

    Parameters
    ----------
    data : array, K × D
    kernel : callable
        Takes two sets of rows, a × D and b × D, and returns a × b.
    tile_size : int, optional
        How many rows the kernel gets at a time; all without it.
    """
    count = len(data)
    step = count if tile_size is None else max(1, int(tile_size))
    starts = range(0, count, max(1, step))
    rows = [[np.asarray(to_numpy(kernel(data[i : i + step], data[j : j + step]))) for j in starts] for i in starts]
    return like(np.block(rows) if rows else np.zeros((0, 0)), data)


def symm_reduce(data: Any, reduce: Callable[[Any], Any] | None = None) -> np.float64:
    """Return the mean over pairs of a symmetric grid: ``reduce`` of the entries above the diagonal, by their number.

    Parameters
    ----------
    data : array, K × K
    reduce : callable, optional
        Reduces a vector to a number that can be added; the sum without it.
    """
    grid = to_numpy(data)
    count = len(grid)
    if count < 2:
        raise DataError(f"pairs need two classes at least, and there is {count}")
    if reduce is None:
        total = sum(float(np.sum(grid[i, i + 1 :], dtype=np.float64)) for i in range(count - 1))
    else:
        total = sum(float(reduce(data[i, i + 1 :])) for i in range(count - 1))
    return np.float64(total / (count * (count - 1) / 2))


def squared_distances(rows: Array, others: Array) -> Array:
    """Return the squared distances of all pairs; those of near neighbours from differences, since products cancel."""
    squares, other_squares = (rows**2).sum(axis=1), (others**2).sum(axis=1)
    sums = squares[:, None] + other_squares
    found = sums - 2.0 * (rows @ others.T)
    near = np.argwhere(found < 1e-3 * sums)
    for start in range(0, len(near), BLOCK):
        i, j = near[start : start + BLOCK].T
        found[i, j] = ((rows[i] - others[j]) ** 2).sum(axis=1)
    return np.maximum(found, 0.0)
