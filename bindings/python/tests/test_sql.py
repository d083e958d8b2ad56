"""SQL."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import nckit
from nckit import _nckit

pytestmark = pytest.mark.filterwarnings("default::nckit.RemarkWarning", "ignore:.*fork.*:DeprecationWarning")

BY_EPOCH = """
SELECT epoch, nc1_pinv(feature, label) FROM digits WHERE layer = $layer AND split = 'train' GROUP BY epoch ORDER BY epoch
"""


def asked(query: str, **flags: Any) -> Any:
    return pytest.importorskip("pyarrow").table(nckit.sql(query, **flags))


def test_without_sql_the_error_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_nckit, "sql")
    with pytest.raises(ImportError, match="--no-default-features") as error:
        nckit.sql("SELECT 1")
    assert isinstance(error.value, nckit.PackageError)


def test_metrics_are_those_of_measure(digits: Path) -> None:
    made = asked(BY_EPOCH, params={"layer": "h3"}, digits=digits / "hive")
    flags: Any = {"where": {"layer": "h3", "split": "train"}, "group_by": "epoch", "metrics": "nc1_pinv"}
    measured = nckit.measure(digits / "hive", **flags)
    assert made["epoch"].to_pylist() == [group.key["epoch"] for group in measured]
    assert made["nc1_pinv"].to_pylist() == [group["nc1_pinv"] for group in measured]


@pytest.mark.parametrize("kind", ["pyarrow", "polars", "pandas", "reader", "own"])
def test_tables_in_memory_join_archives(kind: str, digits: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    runs: Any = pa.table({"epoch": [0, 9, 4000], "lr": [0.1, 0.1, 0.001]})
    if kind in ("polars", "pandas"):
        pytest.importorskip(kind)
    if kind == "polars":
        import polars

        runs = polars.from_arrow(runs)
    elif kind == "pandas":
        runs = runs.to_pandas()
    elif kind == "reader":
        runs = runs.to_reader()
    elif kind == "own":
        runs = _nckit.sql("SELECT * FROM runs", {}, [], [("runs", runs)])[0]
        assert (runs.num_rows, runs.column_names) == (3, ["epoch", "lr"])
        assert repr(runs) == "<nckit.Arrow rows=3 columns=epoch,lr>"
    query = """
    SELECT lr, nc_cdnv FROM runs JOIN
      (SELECT epoch, nc1_cdnv(feature, label) AS nc_cdnv FROM digits WHERE layer = 'h3' AND split = 'train' GROUP BY epoch)
    USING (epoch) ORDER BY lr, nc_cdnv
    """
    made = asked(query, digits=digits / "hive", runs=runs)
    assert made["lr"].to_pylist() == [0.001, 0.1, 0.1]
    assert made["nc_cdnv"].to_pylist() == sorted(made["nc_cdnv"].to_pylist())


def test_features_in_memory_are_measured(rows: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    features, labels = rows
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    made = asked("SELECT nc1_pinv(x, y, -18) FROM mine", mine=pa.table({"x": vectors, "y": labels}))
    assert made.column(0).to_pylist() == [nckit.measure(features, labels=labels, grid=-18)["nc1_pinv"]]


def test_what_cannot_be_answered_is_said(digits: Path) -> None:
    for query, tables, message in [
        ("SELEC 1", {}, "SELEC"),
        ("SELECT nc1_pinw(feature, label) FROM d", {"d": digits / "hive"}, "nc1_pin"),
        ("CREATE TABLE t AS SELECT 1", {}, "CREATE TABLE|write"),
        ("SELECT * FROM d", {"d": 5}, "the table d is a path, or streams Arrow, and this is int"),
        ("SELECT $x", {}, r"\$x"),
    ]:
        with pytest.raises(nckit.UsageError, match=message):
            nckit.sql(query, **tables)
    with pytest.raises(nckit.MissingError):
        nckit.sql("SELECT * FROM d", d="nowhere.parquet")
    with pytest.raises(nckit.DataError, match="the generator failed"):
        nckit.sql("SELECT * FROM d", d=failing())


def failing() -> Any:
    pa = pytest.importorskip("pyarrow")
    schema = pa.schema([("x", pa.int64())])

    def batches() -> Any:
        yield pa.record_batch([[1]], schema=schema)
        raise ValueError("the generator failed")

    return pa.RecordBatchReader.from_batches(schema, batches())


def test_a_forked_process_is_refused_and_ctrl_c_ends_a_query() -> None:
    nckit.sql("SELECT 1")
    child = os.fork()
    if child == 0:
        try:
            nckit.sql("SELECT 1")
        except nckit.ResourceError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    code = """
import nckit
print("begun", flush=True)
try:
    nckit.sql("SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value * b.value = 7")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None and program.stdout.readline() == "begun\n"
    time.sleep(1.0)
    program.send_signal(2)
    before = time.monotonic()
    assert program.stdout.readline() == "interrupted\n"
    assert time.monotonic() - before < 1.5
    program.communicate(timeout=60)
    assert program.returncode == 0
