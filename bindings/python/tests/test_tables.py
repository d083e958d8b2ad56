"""Tables that stream Arrow."""

from __future__ import annotations

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
        (1, pa.array([0, None, 2]), "'label' has nulls"),
        (0, pa.array([[1.0, 2.0], None, [3.0, 4.0]]), "'embedding' has nulls"),
        (0, pa.array([[1.0, 2.0], [None, 1.0], [3.0, 4.0]]), "nulls within"),
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
