"""The metrics of pairs of classes by their formulas in numpy, each over a K×K grid, and decisions by plain products.

    OPENBLAS_NUM_THREADS=1 python grids.py 3000 [--dim 768] [--rows 2000]

Prints nanoseconds for a pair of classes and microseconds for a row, as `nckit bench --classes 3000` does. Float64; it holds up to
five grids of 8 K² bytes at once. Means, variances and rows are made up from a seed.
"""

import argparse
import time

import numpy as np


def simplex_error(product):
    product /= np.linalg.norm(product)
    classes = len(product)
    product += 1 / (classes * np.sqrt(classes - 1))
    product[np.diag_indices(classes)] -= 1 / np.sqrt(classes - 1)
    return np.linalg.norm(product)


def moments(grid):
    """Mean and variance over pairs."""
    pairs = len(grid) * (len(grid) - 1)
    np.fill_diagonal(grid, 0)
    mean = grid.sum() / pairs
    return mean, (grid**2).sum() / pairs - mean**2


def squared_distances(vectors):
    squares = (vectors**2).sum(axis=1)
    return np.maximum(squares[:, None] + squares - 2 * vectors @ vectors.T, 0)


def pair_metrics(means, variances, weights):
    centred = means - means.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1)[:, None]
    distances = squared_distances(means)
    np.fill_diagonal(distances, 1)
    cdnv = moments((variances[:, None] + variances) / (2 * distances))
    of_unit = squared_distances(unit)
    np.fill_diagonal(of_unit, 1)
    energies = moments(-np.log(of_unit) / 2), moments(1 / np.sqrt(of_unit))
    angles = moments(unit @ unit.T)
    errors = simplex_error(centred @ centred.T), simplex_error(weights @ centred.T)
    return cdnv, energies, angles, errors


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("classes", type=int)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--rows", type=int, default=2000)
    args = parser.parse_args()
    random = np.random.default_rng(1)
    means = random.standard_normal((args.classes, args.dim))
    weights = means + 0.1 * random.standard_normal(means.shape)
    variances = random.random(args.classes)
    rows = random.standard_normal((args.rows, args.dim))
    pairs = args.classes * (args.classes - 1) / 2
    squares = (means**2).sum(axis=1) / 2
    for name, work, count, unit in [
        ("pairs, five of their metrics", lambda: pair_metrics(means, variances, weights), pairs / 1e9, "ns a pair"),
        ("nearest mean", lambda: (rows @ means.T - squares).argmax(axis=1), args.rows / 1e6, "µs a row"),
        ("classifier", lambda: (rows @ weights.T).argmax(axis=1), args.rows / 1e6, "µs a row"),
    ]:
        work()
        print(f"{name:30} {min(timed(work) for _ in range(3)) / count:9.1f} {unit}", flush=True)


if __name__ == "__main__":
    main()
