"""What mypy checks: how programs use the package."""

from __future__ import annotations

from typing import assert_type

import numpy as np

import nckit
import nckit.neural_collapse as nc

result = nckit.measure("x.parquet", group_by=["layer", "epoch"], where={"split": "train"}, grid=-20, threads=2)
assert_type(result, nckit.Result)
assert_type(result.only["nc1_pinv"], float | None)
nckit.measure(np.zeros((2, 2)), labels=[0, 1], head=(np.zeros((2, 2)), None), nulls="skip")
nckit.measure("x.parquet", nulls="drop")  # type: ignore[arg-type]
nckit.measure("x.parquet", groupby="epoch")  # type: ignore[call-arg]
state = nckit.State(dim=4, metrics="nc1")
state.update(np.zeros((1, 4)), [0])
nckit.State(error_bars="jackknife:8", block_by="document", threads=2).update(np.zeros((1, 4)), [0], blocks=["a"])
nckit.State(error_bars=8)  # type: ignore[arg-type]
result.plot(["nc1"], x="epoch", bars=False, linewidth=2)
nckit.sql("SELECT $x FROM t", params={"x": 1}, t="x.parquet", threads=2)
nckit.sql("SELECT 1", memory="1GiB")  # type: ignore[arg-type]
assert_type(state + state - state, nckit.State)
assert_type(state.finish(metrics=["nc1"], min_count=2), nckit.Result)
error: float = nc.measure.simplex_etf_error(np.eye(3)).item()
nckit.measure(np.zeros((2, 2)), labels=[0, 1], decisions=(np.zeros((2, 2)), [0, 1]), ignore_label=-100)
