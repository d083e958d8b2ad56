"""What tests share."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DIGITS = Path(__file__).resolve().parents[3] / "tests" / "data" / "digits"


def pytest_report_header() -> str:
    """Say aloud what cannot be tested."""
    missing = [name for name in ("torch", "pyarrow", "polars", "pandas") if not _has(name)]
    return f"skipped, since these are not installed: {', '.join(missing)}" if missing else "nothing is skipped"


def _has(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


@pytest.fixture(scope="session")
def digits() -> Path:
    """Return the archive of digits with its goldens."""
    return DIGITS


@pytest.fixture(scope="session")
def goldens() -> Any:
    """Return the goldens of digits."""
    return json.loads((DIGITS / "goldens.json").read_text())


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Return a function that runs the program which came with the package, and returns what it prints."""
    path = shutil.which("nckit", path=sysconfig.get_path("scripts"))

    def run(*words: object) -> str:
        command = [path] if path else [sys.executable, "-m", "nckit"]
        return subprocess.run(
            [*command, *map(str, words)], check=True, capture_output=True, text=True
        ).stdout

    return run


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Return 6,000 rows of 24 dimensions, of 7 classes."""
    return layout(np.random.default_rng(7), 6000, 24, 7)


def layout(rng: np.random.Generator, count: int, dim: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random rows around class means, and labels; every class has a row where there are enough."""
    means = rng.normal(size=(classes, dim)) * rng.uniform(0.5, 3.0) + rng.normal(size=dim)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, size=count)])[:count]
    rng.shuffle(labels)
    features = means[labels] + rng.normal(size=(count, dim)) * rng.uniform(0.05, 1.0)
    return features.astype(np.float32), labels
