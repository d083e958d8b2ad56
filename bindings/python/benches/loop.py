"""How fast a loop over batches is: one state, beside the products of three accumulators over two passes.

    python benches/loop.py [ROWS [DIM [CLASSES [BATCH]]]]

The other side does what the package `neural_collapse` does for means, covariance and variances: one-hot products, a hash of the
means for each batch, float32. It uses torch where that is installed, else NumPy. Rows are made before the clocks run.
"""

from __future__ import annotations

import hashlib
import sys
import time
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


def main() -> None:
    """Time both."""
    count, dim, classes, batch = (*map(int, sys.argv[1:]), *(500_000, 512, 100, 512)[len(sys.argv) - 1 :])
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, size=count)
    features = rng.normal(size=(classes, dim)).astype(np.float32)[labels]
    for start in range(0, count, 1 << 14):
        features[start : start + (1 << 14)] += 0.1 * rng.standard_normal((min(1 << 14, count - start), dim), np.float32)
    began = time.perf_counter()
    state = nckit.State()
    for start in range(0, count, batch):
        state.update(features[start : start + batch], labels[start : start + batch])
    scatter = state.statistics()["scatter"]
    own = time.perf_counter() - began
    began = time.perf_counter()
    _, _, covariance = accumulators(features, labels, classes, batch)
    others = time.perf_counter() - began
    off = np.abs(np.asarray(covariance) - scatter / count).max() / np.abs(scatter / count).max()
    print(f"{count:,} × {dim}, {classes} classes, batches of {batch}")
    print(f"nckit.State      {own:6.2f} s   {features.nbytes / own / 1e9:.2f} GB/s")
    print(f"three products   {others:6.2f} s   {others / own:.1f} times as long; covariance off by {off:.0e}")


if __name__ == "__main__":
    main()
