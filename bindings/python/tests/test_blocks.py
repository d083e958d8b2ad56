"""Rows in memory in blocks, for error bars, and at length one."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import layout

import nckit
from nckit import State

pytestmark = pytest.mark.filterwarnings("default::nckit.RemarkWarning")


@pytest.fixture
def documents(rows: Any) -> np.ndarray:
    """Return the document of each row: some 40 of them, in no order."""
    return np.random.default_rng(3).integers(-20, 20, size=len(rows[1]))


def written(path: Path, rows: Any, documents: Any) -> Path:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    features, labels = rows
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    parquet.write_table(pa.table({"feature": vectors, "label": labels, "document": documents}), path)
    return path


@pytest.mark.parametrize("flags", [{}, {"grid": -18}, {"metrics": "nc2"}, {"normalize": True}])
def test_blocks_are_those_of_a_file_of_the_same_name(flags: Any, rows: Any, documents: Any, tmp_path: Path) -> None:
    file = written(tmp_path / "memory", rows, documents)
    nckit.accumulate(file, tmp_path / "a.ncst", error_bars="jackknife:7", **flags)
    state = State(error_bars="jackknife:7", **flags)
    for start in range(0, len(rows[1]), 999):
        state.update(rows[0][start : start + 999], rows[1][start : start + 999])
    assert state == State.load(tmp_path / "a.ncst")


@pytest.mark.parametrize("flags", [{}, {"grid": -18}])
@pytest.mark.parametrize("kind", [int, str])
def test_values_of_a_key_are_dealt_as_those_of_a_column(
    kind: Any, flags: Any, rows: Any, documents: Any, tmp_path: Path
) -> None:
    documents = documents.astype(kind)
    file = written(tmp_path / "rows.parquet", rows, documents)
    bars = {"error_bars": "jackknife:7", "block_by": "document"}
    nckit.accumulate(file, tmp_path / "a.ncst", **bars, **flags)
    expected = State.load(tmp_path / "a.ncst")
    state, parts = State(**bars, **flags), []
    for start in range(0, len(rows[1]), 999):
        batch = rows[0][start : start + 999], rows[1][start : start + 999], documents[start : start + 999]
        state.update(*batch)
        parts.append(State(**bars, **flags))
        parts[-1].update(*batch)
    assert state == expected
    if flags:
        # Documents stay whole across states too.
        assert sum(parts) == expected
        assert sum(parts) - parts[0] == sum(parts[1:])
        assert pickle.loads(pickle.dumps(parts[0])) + sum(parts[1:]) == expected
    made = state.finish(metrics="nc1_cdnv")
    assert made.records == nckit.finish(tmp_path / "a.ncst", metrics="nc1_cdnv", **bars).records


def test_finish_gives_error_bars_where_there_are_blocks(rows: Any, documents: Any) -> None:
    state = State(error_bars="jackknife:8")
    state.update(*rows)
    detail = state.finish(metrics="nc1_cdnv").only.detail("nc1_cdnv")
    assert detail["lo"] < detail["value"] < detail["hi"] and detail["se"] > 0
    assert "se" not in state.finish(metrics="nc1_cdnv", error_bars=None).only.detail("nc1_cdnv")
    # The numbers themselves, and statistics, are those of all rows.
    plain = State()
    plain.update(*rows)
    assert plain.finish()["nc1_cdnv"] == detail["value"]
    np.testing.assert_array_equal(plain.statistics()["means"], state.statistics()["means"])
    np.testing.assert_array_equal(plain.statistics()["scatter"], state.statistics()["scatter"])
    again = State.from_bytes(state.to_bytes())
    assert again.finish(metrics="nc1_cdnv").records == state.finish(metrics="nc1_cdnv").records
    again.update(*(part[:50] for part in rows))
    assert again.rows == len(rows[1]) + 50 and again.finish().only.detail("nc1_cdnv")["se"] > 0
    whole = nckit.measure(rows[0], labels=rows[1], error_bars="jackknife:8", metrics="nc1_cdnv")
    assert whole.records == state.finish(metrics="nc1_cdnv").records


def test_measure_takes_blocks_of_arrays_and_tables(rows: Any, documents: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    features, labels = rows
    state = State(error_bars="jackknife:8", block_by="document")
    state.update(features, labels, documents)
    expected = state.finish(metrics="nc1_cdnv").records
    flags: Any = {"error_bars": "jackknife:8", "metrics": "nc1_cdnv"}
    assert nckit.measure(features, labels=labels, block_by=documents, **flags).records == expected
    table = pa.table({"feature": list(features), "label": labels, "document": documents})
    assert nckit.measure(table, block_by="document", **flags).records == expected
    # Rows that depend on each other say less.
    plain = nckit.measure(features, labels=labels, **flags).records
    assert plain[0]["nc1_cdnv"] == expected[0]["nc1_cdnv"] and plain[0]["nc1_cdnv_se"] != expected[0]["nc1_cdnv_se"]
    for call, message in [
        (lambda: nckit.measure(features, labels=labels, block_by="document", **flags), "an array has none"),
        (lambda: nckit.measure(table, block_by=documents, **flags), "names a column"),
        (lambda: nckit.measure(table, block_by="page", **flags), "no column 'page'"),
    ]:
        with pytest.raises(nckit.UsageError, match=message):
            call()


def test_blocks_that_do_not_fit_are_refused(rows: Any, documents: Any) -> None:
    features, labels = (part[:30] for part in rows)
    for settings, message in [
        ({"error_bars": "bootstrap"}, "jackknife"),
        ({"block_by": "document"}, "error_bars"),
        ({"error_bars": "jackknife", "block_by": "document"}, "fixed number of blocks"),
        ({"threads": 0}, "at least 1"),
    ]:
        with pytest.raises(nckit.UsageError, match=message):
            State(**settings)
    by = State(error_bars="jackknife:3", block_by="document")
    before = by.to_bytes()
    for blocks, error, message in [
        (None, nckit.UsageError, r"update\(features, labels, blocks\)"),
        (documents[:29], nckit.DataError, "not one block a row"),
        (documents[:30, None, None], nckit.DataError, "blocks are one a row"),
        ([None] * 30, nckit.DataError, "block 0 is null"),
    ]:
        with pytest.raises(error, match=message):
            by.update(features, labels, blocks)
    assert by.to_bytes() == before
    with pytest.raises(nckit.UsageError, match="no key makes blocks"):
        State().update(features, labels, documents[:30])
    by.update(features, labels, documents[:30])
    plain = State(error_bars="jackknife:3")
    plain.update(features[::-1], labels[::-1])
    with pytest.raises(nckit.DataError, match="blocks: 3 and 3 by document"):
        by.merge(plain)


def test_rows_of_length_one_are_those_of_a_file(digits: Path, tmp_path: Path) -> None:
    features = np.load(digits / "arrays" / "test_features.npy")
    labels = np.load(digits / "arrays" / "test_labels.npy")
    nckit.accumulate(digits / "arrays" / "test_features.npy", tmp_path / "a.ncst", normalize=True)
    state = State(normalize=True)
    for start in range(0, len(labels), 77):
        state.update(features[start : start + 77], labels[start : start + 77])
    assert state == State.load(tmp_path / "a.ncst")
    measured = nckit.measure(digits / "arrays" / "test_features.npy", normalize=True, metrics="nc1")
    assert measured.records == nckit.measure(features, labels=labels, normalize=True, metrics="nc1").records
    metric = nckit.NeuralCollapse("nc1", normalize=True)
    metric.update(features, labels)
    assert metric.compute() == dict(measured.only)


def test_a_row_of_zeros_has_no_length(rows: Any) -> None:
    state = State(normalize=True)
    state.update(*rows)
    bad = rows[0][:5].copy()
    bad[3] = 0
    with pytest.raises(nckit.DataError, match="row of zeros") as error:
        state.update(bad, rows[1][:5])
    assert error.value.facts["row"] == "3"
    assert state.rows == len(rows[1])
    plain = State()
    plain.update(rows[0][:5], rows[1][:5])
    with pytest.raises(nckit.DataError, match="normalize"):
        state.merge(plain)


@pytest.mark.parametrize("bars", [None, "jackknife:5"])
@pytest.mark.parametrize("metrics", [None, "nc2"])
def test_threads_change_no_bit(bars: Any, metrics: Any) -> None:
    # Several chunks at once, chunks one by one, and rows that fill none.
    features, labels = layout(np.random.default_rng(5), 70_000, 260, 9)
    made = []
    for threads, size in [(1, 70_000), (2, 70_000), (3, 6_000), (8, 20_000)]:
        state = State(threads=threads, error_bars=bars, metrics=metrics)
        for start in range(0, len(labels), size):
            state.update(features[start : start + size], labels[start : start + size])
        made.append(state.to_bytes())
    assert all(one == made[0] for one in made)
