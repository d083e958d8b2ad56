"""The metric of training loops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nckit

pytestmark = pytest.mark.filterwarnings("default::nckit.RemarkWarning")


def test_a_metric_updates_computes_resets_and_merges(rows: Any) -> None:
    features, labels = rows
    weights = np.random.default_rng(0).normal(size=(7, 24))
    metric = nckit.NeuralCollapse(metrics=["nc1", "nc3_cos_mean"], head=weights, grid=-18)
    others = [nckit.NeuralCollapse(metrics=["nc1", "nc3_cos_mean"], head=weights, grid=-18) for _ in range(2)]
    for number, start in enumerate(range(0, len(labels), 500)):
        [metric, *others][number % 3].update(features[start : start + 500], labels[start : start + 500])
    metric.merge_state(others)
    expected = nckit.measure(features, labels=labels, head=weights, metrics="nc1,nc3_cos_mean", grid=-18)
    assert metric.compute() == dict(expected.only)
    assert metric.compute()["nc1_pinv"] is not None
    metric.reset()
    assert metric.state.rows == 0
    with pytest.raises(nckit.MissingError):
        metric.compute()


def test_flags_of_finish_are_passed_on(rows: Any) -> None:
    metric = nckit.NeuralCollapse("nc1_cdnv", option={"cdnv_exponent": 2}, min_count=3)
    metric.update(*rows)
    expected = nckit.measure(rows[0], labels=rows[1], metrics="nc1_cdnv", option="cdnv_exponent=2", min_count=3)
    assert metric.compute() == {"nc1_cdnv": expected["nc1_cdnv"]}
    with pytest.raises(TypeError, match="did you mean min_count"):
        nckit.NeuralCollapse(mincount=3)


def test_what_cannot_work_is_refused_before_rows_come() -> None:
    for flags, error, message in [
        ({"metrics": "nc9"}, nckit.UsageError, "nc9"),
        ({"min_count": "few"}, nckit.UsageError, "min-count"),
        ({"option": {"cdnv": 2}}, nckit.UsageError, "cdnv"),
        ({"head_rows": "rank"}, nckit.UsageError, "no effect without a head"),
        ({"error_bars": "bootstrap"}, nckit.UsageError, "jackknife"),
        ({"block_by": "document"}, nckit.UsageError, "block_by"),
        ({"scores": "s.parquet"}, nckit.UsageError, "no rows to score"),
        ({"head": [[1, 2], [3]]}, nckit.DataError, "cannot be read"),
        ({"nulls": "drop"}, nckit.UsageError, "nulls"),
        ({"typo": 1}, TypeError, "no keyword argument 'typo'"),
        ({"grit": 1}, TypeError, "did you mean grid"),
    ]:
        with pytest.raises(error, match=message):
            nckit.NeuralCollapse(**flags)


def test_flags_of_states_hold_in_a_loop(rows: Any) -> None:
    features, labels = rows[0], rows[1].copy()
    labels[::10] = -100
    documents = np.arange(len(labels)) // 20
    flags: Any = {"ignore_label": -100, "grid": -20, "error_bars": "jackknife:4", "block_by": "document"}
    metric = nckit.NeuralCollapse("nc1_cdnv", **flags)
    for start in range(0, len(labels), 600):
        part = slice(start, start + 600)
        metric.update(features[part], labels[part], documents[part])
    expected = nckit.measure(features, labels=labels, metrics="nc1_cdnv", **{**flags, "block_by": documents})
    assert metric.compute() == dict(expected.only)
    assert metric.state.finish(metrics="nc1_cdnv").only.skipped["ignored"] == 600


PROCESS = """
import sys
import numpy as np, torch, nckit
rank, store = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
features = torch.tensor(np.random.default_rng(0).normal(size=(400, 8)), dtype=torch.float32, requires_grad=True)
labels = torch.arange(400) % 5
metric = nckit.NeuralCollapse("nc1,nc3_cos_mean", head=torch.nn.Linear(8, 5, bias=False), grid=-18)
torch.nn.init.ones_(metric._head.weight)
metric.update(features[rank::2], labels[rank::2])
print(metric.compute(), metric.gathered().rows, metric.state.rows)
"""


def test_processes_of_torch_share_their_rows(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    words = [[sys.executable, "-W", "ignore", "-c", PROCESS, str(rank), str(tmp_path / "store")] for rank in (0, 1)]
    started = [subprocess.Popen(one, stdout=subprocess.PIPE, text=True) for one in words]
    said = [process.communicate(timeout=120)[0] for process in started]
    features, labels = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32), np.arange(400) % 5
    flags: Any = {"metrics": "nc1,nc3_cos_mean", "grid": -18}
    expected = dict(nckit.measure(features, labels=labels, head=torch.ones(5, 8), **flags).only)
    assert said[0] == said[1] == f"{expected} 400 200\n"
