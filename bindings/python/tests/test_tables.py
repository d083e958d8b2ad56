"""Tables that stream Arrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nckit

pa = pytest.importorskip("pyarrow")


def table(rows: Any, **columns: Any) -> Any:
    features, labels = rows
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    return pa.table({"embedding": vectors, "label": labels, **columns})


def test_tables_are_the_same_rows(rows: Any) -> None:
    features, labels = rows
    expected = dict(nckit.measure(features, labels=labels).only)
    fixed = table(rows)
    lists = fixed.set_column(0, "embedding", pa.array(list(features)))
    tables = [fixed, lists, pa.Table.from_batches(fixed.to_batches(max_chunksize=700)), fixed.to_reader()]
    tables.append(fixed.set_column(1, "label", fixed["label"].cast(pa.int16()).dictionary_encode()))
    polars = pytest.importorskip("polars")
    tables.append(polars.from_arrow(fixed))
    for same in tables:
        assert dict(nckit.measure(same).only) == expected


def test_columns_are_named_where_it_is_not_clear(rows: Any) -> None:
    several = table(rows, other=table(rows)["embedding"], y=rows[1])
    with pytest.raises(nckit.UsageError, match="found: label, y"):
        nckit.measure(several)
    texts = table((rows[0][:50], rows[1][:50]), kind=[f"k{label}" for label in rows[1][:50]])
    assert nckit.measure(texts, labels="kind", features="embedding").only.classes == 7
    with pytest.raises(nckit.UsageError, match="no column 'x'"):
        nckit.measure(several, features="x")


def test_nulls_and_lengths_are_refused(rows: Any) -> None:
    features, labels = rows[0][:3], [0, 1, 2]
    good = table((features, labels))
    for at, column, message in [
        (1, pa.array([0, None, 2]), "the label of row 1 is null"),
        (0, pa.array([[1.0, 2.0], None, [3.0, 4.0]]), "the vector of row 1 is null"),
        (0, pa.array([[1.0, 2.0], [None, 1.0], [3.0, 4.0]]), "the vector of row 1 is null, or has nulls"),
        (0, pa.array([[1.0, 2.0], [1.0], [3.0, 4.0]]), "row 1 of a batch has 1 values, the first 2"),
    ]:
        with pytest.raises(nckit.DataError, match=message):
            nckit.measure(good.set_column(at, good.column_names[at], column), features="embedding")
    with pytest.raises(nckit.DataError, match="has no vectors"):
        nckit.measure(good, features="label", labels="label")


def test_slices_are_read_from_where_they_begin(rows: Any) -> None:
    part = table(rows).slice(100, 900)
    expected = nckit.measure(rows[0][100:1000], labels=rows[1][100:1000])
    assert dict(nckit.measure(part).only) == dict(expected.only)
    assert np.isfinite(expected["nc1_pinv"])


def test_chunks_without_rows_are_no_rows(rows: Any) -> None:
    whole = table(rows)
    expected = dict(nckit.measure(whole).only)
    lists = whole.set_column(0, "embedding", pa.array(list(rows[0])))
    for same in (whole, lists):
        for cut in (0, 9, 6000):
            parted = pa.concat_tables([same.slice(0, cut), same.slice(cut, 0), same.slice(cut)])
            assert dict(nckit.measure(parted).only) == expected
    with pytest.raises(nckit.MissingError, match="no rows to measure"):
        nckit.measure(whole.slice(0, 0))


def test_nulls_are_left_out_as_of_files(rows: Any, tmp_path: Path) -> None:
    features, labels = rows[0][:200], rows[1][:200]
    vectors: list[Any] = features.tolist()
    vectors[3], vectors[10] = None, [None, *vectors[10][1:]]
    names: list[Any] = labels.tolist()
    names[7] = None
    fixed = pa.list_(pa.float32(), 24)
    for kind in (fixed, pa.list_(pa.float32()), pa.large_list(pa.float32())):
        with_nulls = pa.table({"feature": pa.array(vectors, kind), "label": names})
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(with_nulls, tmp_path / "x.parquet")
        flags: Any = {"nulls": "skip", "grid": -20, "head": np.eye(7, 24)}
        of_file = nckit.measure(tmp_path / "x.parquet", **flags)
        for chunk in (200, 4):
            parted = pa.Table.from_batches(with_nulls.to_batches(max_chunksize=chunk))
            of_table = nckit.measure(parted, **flags)
            assert dict(of_table.only) == dict(of_file.only)
            assert of_table.only.skipped == of_file.only.skipped and of_table.only.skipped["nulls"] == 3


def test_labels_of_categories_are_texts(rows: Any) -> None:
    polars = pytest.importorskip("polars")
    texts = [f"k{label}" for label in rows[1]]
    expected = dict(nckit.measure(rows[0], labels=texts).only)
    frame = polars.from_arrow(table((rows[0], texts)))
    kinds = [polars.Categorical, polars.Enum([f"k{label}" for label in reversed(range(7))])]
    for kind in kinds:
        assert dict(nckit.measure(frame.with_columns(polars.col("label").cast(kind))).only) == expected
    coded = table((rows[0], pa.array(texts).dictionary_encode()))
    assert dict(nckit.measure(coded).only) == expected
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": list(rows[0]), "label": pandas.Categorical(texts)})
    assert dict(nckit.measure(frame).only) == expected


def test_a_table_that_fails_is_an_error_of_the_package(rows: Any) -> None:
    def failing() -> Any:
        yield table(rows).to_batches()[0]
        raise pa.ArrowInvalid("the disk is on fire")

    reader = pa.RecordBatchReader.from_batches(table(rows).schema, failing())
    with pytest.raises(nckit.DataError, match="cannot be read: .*the disk is on fire"):
        nckit.measure(reader)


def test_conventions_name_the_columns_of_the_table(rows: Any, tmp_path: Path) -> None:
    vectors = table(rows).rename_columns(["vec", "lab"]).append_column("doc", pa.array([f"d{at % 7}" for at in range(6000)]))
    result = nckit.measure(vectors, features="vec", labels="doc")
    assert (result.options["features"], result.options["labels"]) == ("vec", "doc")
    assert nckit.measure(table(rows)).options["features"] == "embedding"
    assert nckit.measure(*rows[:1], labels=rows[1]).options["features"] == "feature"
    # What Parquet says is there too.
    stored = result.to_arrow().schema.metadata
    result.to_parquet(tmp_path / "r.parquet")
    pq = pytest.importorskip("pyarrow.parquet")
    of_file = pq.read_metadata(tmp_path / "r.parquet").metadata
    assert stored and {name: of_file[name] for name in stored} == stored
    assert any(b"vec" in text for text in stored.values())


def test_tables_are_decided_as_those_of_files(rows: Any, tmp_path: Path) -> None:
    own, other = table(rows), table((rows[0][:500] + 1, rows[1][:500]))
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(own, tmp_path / "own.parquet")
    pq.write_table(other, tmp_path / "other.parquet")
    flags: Any = {"head": np.random.default_rng(4).normal(size=(7, 24)), "metrics": "nc4,nc5"}
    of_files = nckit.measure(tmp_path / "own.parquet", ood=tmp_path / "other.parquet", **flags)
    for ood in (other, other.drop(["label"])):
        of_tables = nckit.measure(pa.Table.from_batches(own.to_batches(max_chunksize=900)), ood=ood, **flags)
        assert of_tables["nc4_agreement"] == of_files["nc4_agreement"]
    of_tables = nckit.measure(own, ood=other, decisions=other, **flags)
    of_files = nckit.measure(
        tmp_path / "own.parquet", ood=tmp_path / "other.parquet", decisions=tmp_path / "other.parquet", **flags
    )
    assert of_tables.only._metrics == of_files.only._metrics
