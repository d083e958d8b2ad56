"""What pages and the notebook show works: their blocks of Python run, on the digits in place of the reader's own data."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import DIGITS

import nckit
from nckit import _nckit

ROOT = Path(__file__).resolve().parents[3]
PAGES = ["README.md", "docs/python.md", "bindings/python/README.md"]
NOTEBOOK = ROOT / "bindings" / "python" / "examples" / "digits.ipynb"


def blocks(page: str) -> list[tuple[int, str]]:
    """Return the fenced blocks of Python with the numbers of their lines."""
    text = (ROOT / page).read_text()
    found = re.finditer(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [(text[: block.start()].count("\n") + 2, block[1]) for block in found]


def test_every_page_has_blocks() -> None:
    assert all(blocks(page) for page in PAGES)


def reader() -> dict[str, Any]:
    """Return what the pages suppose to be there: rows, a loader, a network whose last layer is `fc`."""
    features = np.load(DIGITS / "arrays" / "test_features.npy")
    labels = np.load(DIGITS / "arrays" / "test_labels.npy")
    rng = np.random.default_rng(0)
    layer = SimpleNamespace(weight=rng.normal(size=(10, features.shape[1])), bias=rng.normal(size=10))
    batches = [(features[start : start + 50], labels[start : start + 50]) for start in range(0, len(labels), 50)]
    model = SimpleNamespace(fc=layer, features=lambda images: images)
    documents = np.arange(len(labels)) // 3
    return {
        "nckit": nckit,
        "np": np,
        "features": features,
        "labels": labels,
        "documents": documents,
        "batches": batches,
        "loader": batches,
        "model": model,
    }


def lacks(code: str) -> str | None:
    """Return what a block needs and is not installed."""
    if "nckit.sql(" in code and not hasattr(_nckit, "sql"):
        return "SQL"
    needs = {"import torch": "torch", ".plot(": "matplotlib", ".to_pandas(": "pandas"}
    return next((name for text, name in needs.items() if text in code and find_spec(name) is None), None)


@pytest.mark.filterwarnings("default::nckit.RemarkWarning")
@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_pages_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "archive").symlink_to(DIGITS / "hive")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    # A page is read from above: what its first blocks make, the others use.
    names = reader()
    for line, code in blocks(page):
        if missing := lacks(code):
            print(f"{page}:{line}: skipped, since {missing} is not there")
            continue
        # Tracebacks show the page and the line.
        exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), names)


@pytest.mark.filterwarnings("ignore")  # those of the client
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    kinds = {kind for cell in notebook.cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= kinds
    told = [output for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    assert not told, told
