"""The metric of training loops."""

from __future__ import annotations

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
        nckit.NeuralCollapse(mincount=3).compute()
