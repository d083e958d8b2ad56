"""How often `nckit compare` finds a difference between samples of one distribution.

    python benches/alarms.py target/release/nckit [PAIRS [SPREAD]]

Draws PAIRS (100) pairs of samples, each of 2,000 rows of 10 Gaussian classes in 16 dimensions, the second one SPREAD times
as wide around its means (1: the same). Prints how many pairs `--fail-if 'any differs'` alarms for, and for how many of them
each metric alone is beyond noise at 95 %. Needs numpy.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

ROWS, CLASSES, DIM = 2000, 10, 16


def draw(random, means, folder, name, spread):
    labels = np.repeat(np.arange(CLASSES), ROWS // CLASSES)
    random.shuffle(labels)
    features = means[labels] + 0.5 * spread * random.standard_normal((ROWS, DIM))
    np.save(os.path.join(folder, f"{name}_features.npy"), features.astype(np.float32))
    np.save(os.path.join(folder, f"{name}_labels.npy"), labels)


def main():
    program = os.path.abspath(sys.argv[1])
    pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    spread = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
    random = np.random.default_rng(7)
    means = random.standard_normal((CLASSES, DIM))
    alarms, beyond = 0, collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(pairs):
            draw(random, means, folder, "a", 1.0)
            draw(random, means, folder, "b", spread)
            command = [program, "compare", "a_features.npy", "b_features.npy", "--error-bars", "jackknife"]
            command += ["--fail-if", "any differs", "--format", "json", "-q"]
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            assert run.returncode in (0, 1), run.stderr
            alarms += run.returncode
            for key, metric in json.loads(run.stdout)["pairs"][0]["metrics"].items():
                beyond[key] += metric["verdict"] in ("better", "worse", "differs")
    print(f"{alarms} of {pairs} pairs differ")
    for key, count in sorted(beyond.items()):
        print(f"  {key}: {count}")


main()
