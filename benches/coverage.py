"""How often intervals of error bars hold the true number: Gaussian classes, drawn again and again.

    python benches/coverage.py NCKIT DRAWS [FOLDER]

needs numpy and pyarrow. Every draw is a group of one archive, which one run of `nckit measure --error-bars jackknife`
measures; the truth is the number of some 200,000 rows a class. Prints a table of Markdown.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# name, classes, dimensions, least and most rows of a class, spread within classes over that of the means
SETTINGS = [
    ("apart", 10, 16, 100, 100, 0.5),
    ("collapsed", 10, 16, 100, 100, 0.05),
    ("mixed", 8, 24, 60, 240, 1.5),
    ("many", 40, 12, 40, 60, 0.5),
]
TRUTH = 200_000


def population(rng, classes, dim, spread):
    means = rng.normal(size=(classes, dim)) * np.linspace(1.5, 0.5, dim)
    factor = rng.normal(size=(dim, dim)) / np.sqrt(dim) * spread * np.linspace(2.0, 0.3, dim)
    weights = means - means.mean(0) + 0.3 * rng.normal(size=means.shape)
    return means, factor, weights


def rows(rng, means, factor, counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    rng.shuffle(labels)
    values = means[labels] + rng.normal(size=(len(labels), means.shape[1])) @ factor
    return values.astype(np.float32), labels


def table(values, labels, draw):
    features = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    draws = pa.array(np.full(len(labels), draw, np.int32))
    return pa.table({"feature": features, "label": pa.array(labels.astype(np.int32)), "draw": draws})


def measured(nckit, path, weights, out, flags):
    head = path.parent / "head.npy"
    np.save(head, weights.astype(np.float32))
    command = [nckit, "measure", str(path), "--group-by", "draw", "--head", str(head), "--metrics", "all", "-q"]
    subprocess.run([*command, "-o", str(out), "--overwrite", *flags], check=True)
    return json.loads(out.read_text())["groups"]


def coverage(nckit, draws, folder, setting):
    name, classes, dim, least, most, spread = setting
    rng = np.random.default_rng(len(name))
    means, factor, weights = population(rng, classes, dim, spread)
    counts = np.linspace(least, most, classes).astype(int)
    path = folder / f"{name}.parquet"
    with pq.ParquetWriter(path, table(*rows(rng, means, factor, counts), 0).schema) as writer:
        for draw in range(draws):
            writer.write_table(table(*rows(rng, means, factor, counts), draw))
    groups = measured(nckit, path, weights, folder / f"{name}.json", ["--error-bars", "jackknife"])
    with pq.ParquetWriter(path, table(*rows(rng, means, factor, counts), 0).schema) as writer:
        values, labels = rows(rng, means, factor, counts * (TRUTH // counts.mean().astype(int)))
        writer.write_table(table(values, labels, 0), row_group_size=100_000)
    truth = measured(nckit, path, weights, folder / f"{name}-truth.json", [])[0]["metrics"]
    path.unlink()
    found = {}
    for key in truth:
        bars = [group["metrics"][key] for group in groups]
        bars = [bar for bar in bars if bar.get("se") is not None]
        if bars and truth[key]["value"] is not None:
            found[key] = np.mean([bar["lo"] <= truth[key]["value"] <= bar["hi"] for bar in bars])
    return found


def main():
    nckit, draws = sys.argv[1], int(sys.argv[2])
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp())
    all_found = [coverage(nckit, draws, folder, setting) for setting in SETTINGS]
    keys = dict.fromkeys(key for found in all_found for key in found)
    print(f"| metric | {' | '.join(name for name, *_ in SETTINGS)} |")
    print(f"|---|{'---|' * len(SETTINGS)}")
    for key in keys:
        shown = [f"{100 * found[key]:.1f} %" if key in found else "" for found in all_found]
        print(f"| `{key}` | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
