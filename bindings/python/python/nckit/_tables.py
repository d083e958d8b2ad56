"""Tables with a column of vectors: pyarrow, polars, DuckDB, pandas, datasets, and all else that streams Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nckit._choice import Columns
from nckit._errors import DataError, PackageError, UsageError

#: Names of columns, as `nckit measure` knows them.
_FEATURES = ("feature", "features", "embedding", "embeddings", "emb", "vector", "hidden_state", "hidden_states")
_LABELS = ("label", "labels", "y", "target", "class")


def is_table(value: Any) -> bool:
    """Whether a value streams Arrow tables. What has one column alone, as a series of polars, does not."""
    alone = hasattr(value, "is_null") or (hasattr(value, "isna") and not hasattr(value, "columns"))
    return hasattr(value, "__arrow_c_stream__") and not alone


def opened(table: Any, columns: Columns, labels_optional: bool = False) -> tuple[Any, Columns]:
    """Return what reads a table's batches, and the names of its columns."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise PackageError("tables need the package pyarrow: pip install pyarrow") from error
    try:
        reader = pa.RecordBatchReader.from_stream(table)
    except pa.ArrowException as error:
        raise DataError(f"the table cannot be read: {error}") from error
    schema = reader.schema
    vector = _chosen(schema, columns.features, _FEATURES, "features", _is_vector)
    label: str | None
    if labels_optional and columns.labels not in schema.names:
        known = [name for name in schema.names if name.lower() in _LABELS]
        label = known[0] if columns.labels is None and len(known) == 1 else None
    else:
        label = _chosen(schema, columns.labels, _LABELS, "labels", lambda _: True)
    return reader, Columns(
        vector,
        label,
        None if columns.blocks is None else _chosen(schema, columns.blocks, (), "block_by", lambda _: True),
    )


def batches(reader: Any, columns: Columns) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Yield features, labels, the values of the key that makes blocks, and which vectors have nulls, of each batch.

    What there is none of is ``None``.
    """
    import pyarrow as pa

    try:
        for batch in reader:
            if batch.num_rows:
                vectors, nulls = _vectors(batch.column(columns.features), columns.features)
                rest = (None if name is None else _values(batch.column(name)) for name in columns[1:])
                yield vectors, *rest, nulls
    except pa.ArrowException as error:
        raise DataError(f"the table cannot be read: {error}") from error


def _is_vector(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _chosen(schema: Any, asked: str | None, known: tuple[str, ...], what: str, suits: Any) -> str:
    if asked is not None:
        if asked not in schema.names:
            raise UsageError(f"the table has no column {asked!r}: it has {', '.join(schema.names)}")
        return asked
    names = [field.name for field in schema if suits(field.type)]
    well_known = [name for name in names if name.lower() in known]
    if what == "features" and len(names) == 1:
        return names[0]
    if len(well_known) == 1:
        return well_known[0]
    found = ", ".join(well_known or names) or "none"
    raise UsageError(f"it is not clear which column has the {what} (found: {found}): {what}='COLUMN' says which")


def _vectors(column: Any, name: Any) -> tuple[Any, Any]:
    """Return rows × D, and which rows are null or have nulls, if some do."""
    import pyarrow as pa

    if not _is_vector(column.type):
        raise DataError(f"column {name!r} has no vectors: it is {column.type}")
    there = column.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(there)
    if not rows.size:
        return np.zeros((len(there), 1), dtype=np.float32), ~there
    if not pa.types.is_fixed_size_list(column.type):
        lengths = column.value_lengths().drop_null().to_numpy()
        wrong = np.flatnonzero(lengths != lengths[0])
        if wrong.size:
            at = wrong[0]
            raise DataError(
                f"column {name!r}: row {rows[at]} of a batch has {lengths[at]} values, the first {lengths[0]}"
            )
    # Without those of rows that are null.
    values = column.flatten()
    if values.null_count:
        nulls = values.is_null().to_numpy(zero_copy_only=False).reshape(rows.size, -1).any(axis=1)
        there[rows[nulls]] = False
        values = values.fill_null(0)
    vectors = values.to_numpy(zero_copy_only=False).reshape(rows.size, -1)
    if rows.size < len(there):
        every = np.zeros((len(there), vectors.shape[1]), dtype=vectors.dtype)
        every[rows] = vectors
        vectors = every
    return vectors, None if there.all() else ~there


def _values(column: Any) -> Any:
    """Return labels, or what else has one value a row, as an array or a list."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        # A dictionary may be of any kind of text, of which not all can be decoded.
        known = np.empty(len(column.dictionary) + 1, dtype=object)
        known[:-1] = column.dictionary.to_pylist()
        known[-1] = None
        return known[column.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False).astype(np.int64)]
    kind = column.type
    if column.null_count or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.to_pylist()
    return column.to_numpy(zero_copy_only=False)
