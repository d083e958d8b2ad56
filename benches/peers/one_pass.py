"""What one writes by hand: class sums and the scatter of an archive in one pass, with pyarrow, numpy and its BLAS.

    OPENBLAS_NUM_THREADS=2 python one_pass.py features.parquet [--scatter]

Prints seconds. float32 products, float64 accumulators; numbers are not exact, and depend on the row groups.
"""

import argparse
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def batches(path):
    file = pq.ParquetFile(path)
    for batch in file.iter_batches(batch_size=65536, columns=["feature", "label"]):
        feature = batch.column("feature")
        values = feature.flatten().to_numpy(zero_copy_only=True)
        yield values.reshape(len(feature), -1), batch.column("label").to_numpy()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--scatter", action="store_true")
    args = parser.parse_args()
    pa.set_cpu_count(2)
    start = time.perf_counter()
    sums = counts = squares = gram = None
    for x, y in batches(args.path):
        classes = int(y.max()) + 1
        if sums is None or classes > len(sums):
            grown = (np.zeros((classes, x.shape[1])), np.zeros(classes, np.int64), np.zeros(classes))
            for old, new in zip((sums, counts, squares), grown):
                if old is not None:
                    new[: len(old)] = old
            sums, counts, squares = grown
        order = np.argsort(y, kind="stable")
        present, first = np.unique(y[order], return_index=True)
        sums[present] += np.add.reduceat(x[order], first, axis=0)
        np.add.at(squares, y, np.einsum("ij,ij->i", x, x))
        counts += np.bincount(y, minlength=len(counts))
        if args.scatter:
            product = x.T @ x
            gram = product.astype(np.float64) if gram is None else gram + product
    means = sums / counts[:, None]
    centred = means - means.mean(axis=0)
    variances = squares / counts - (means**2).sum(axis=1)
    norms = np.linalg.norm(centred, axis=1)
    unit = centred / norms[:, None]
    cosines = unit @ unit.T
    distances = norms[:, None] ** 2 + norms**2 - 2 * (centred @ centred.T)
    with np.errstate(divide="ignore"):
        cdnv = (variances[:, None] + variances) / (2 * distances)
    upper = np.triu_indices(len(means), 1)
    print("cdnv", cdnv[upper].mean(), "cos", cosines[upper].mean())
    if args.scatter:
        within = (gram - (means * counts[:, None]).T @ means) / counts.sum()
        between = centred.T @ centred / len(means)
        print("nc1", np.trace(within @ np.linalg.pinv(between)) / len(means))
    print(f"{time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
