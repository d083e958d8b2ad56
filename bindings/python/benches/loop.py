"""How fast a loop over batches is: one state, beside the products of three accumulators over two passes.

    python benches/loop.py [ROWS [DIM [CLASSES [BATCH]]]]

The other side does what the package `neural_collapse` does for means, covariance and variances: one-hot products, a hash of the
means for each batch, float32. It uses torch where that is installed, else NumPy. Rows are made before the clocks run.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

import nckit


def accumulators(features: Any, labels: Any, classes: int, batch: int) -> Any:
    """Return means, variances and covariance by the products of the package."""
    try:
        import torch as xp

        features, labels = xp.from_numpy(features), xp.from_numpy(labels)
        every, to_float = xp.arange(classes), xp.Tensor.float
    except ImportError:
        xp = np
        every, to_float = np.arange(classes), lambda mask: mask.astype(np.float32)
    dim = features.shape[1]
    totals, counts = xp.zeros((classes, dim), dtype=xp.float32), xp.zeros(classes, dtype=xp.float32)
    starts = range(0, len(labels), batch)
    for start in starts:
        X, Y = features[start : start + batch], labels[start : start + batch]
        one_hot = to_float(Y[:, None] == every)
        counts += one_hot.sum(0)
        totals += one_hot.T @ X
    means = totals / counts[:, None]
    scatter, squares = xp.zeros((dim, dim), dtype=xp.float32), xp.zeros(classes, dtype=xp.float32)
    for start in starts:
        X, Y = features[start : start + batch], labels[start : start + batch]
        for _ in range(2):
            hashlib.sha256(np.asarray(means).tobytes()).hexdigest()
        off = X - means[Y]
        scatter += off.T @ off
        one_hot = to_float(Y[:, None] == every)
        squares += (one_hot.T @ off**2).sum(1)
    return means, squares / counts, scatter / len(labels)


def counted(features: Any, labels: Any, batch: int, threads: int | None) -> Any:
    """Return the scatter matrix that a state finds."""
    state = nckit.State(threads=threads)
    for start in range(0, len(labels), batch):
        state.update(features[start : start + batch], labels[start : start + batch])
    return state.statistics()["scatter"]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the better of two times, and what the work returns."""
    times = []
    for _ in range(2):
        began = time.perf_counter()
        made = work()
        times.append(time.perf_counter() - began)
    return min(times), made


def main() -> None:
    """Time both, one after the other, twice."""
    count, dim, classes, batch = (*map(int, sys.argv[1:]), *(500_000, 512, 100, 512)[len(sys.argv) - 1 :])
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, size=count)
    features = rng.normal(size=(classes, dim)).astype(np.float32)[labels]
    for start in range(0, count, 1 << 14):
        features[start : start + (1 << 14)] += 0.1 * rng.standard_normal((min(1 << 14, count - start), dim), np.float32)
    print(f"{count:,} × {dim} float32, {classes} classes, batches of {batch}, {os.cpu_count()} cores")
    others, (_, _, covariance) = timed(lambda: accumulators(features, labels, classes, batch))
    print(f"three products by {'torch' if find_spec('torch') else 'NumPy'}  {others:6.2f} s")
    for name, size, threads in [
        ("State, all cores", batch, None),
        ("State, one thread", batch, 1),
        ("State, one update", count, None),
    ]:
        own, scatter = timed(partial(counted, features, labels, size, threads))
        off = np.abs(np.asarray(covariance) - scatter / count).max() / np.abs(scatter / count).max()
        speed = features.nbytes / own / 1e9
        print(f"{name:23}  {own:6.2f} s   {others / own:.1f} times as fast, {speed:.2f} GB/s; covariance off by {off:.0e}")


if __name__ == "__main__":
    main()
