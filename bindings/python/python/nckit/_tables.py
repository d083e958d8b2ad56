"""Tables with a column of vectors: pyarrow, polars, DuckDB, pandas, datasets, and all else that streams Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nckit._errors import DataError, PackageError, UsageError

#: Names of columns, as `nckit measure` knows them.
_FEATURES = ("feature", "features", "embedding", "embeddings", "emb", "vector", "hidden_state", "hidden_states")
_LABELS = ("label", "labels", "y", "target", "class")


def is_table(value: Any) -> bool:
    """Whether a value streams Arrow."""
    return hasattr(value, "__arrow_c_stream__")


def batches(
    table: Any, features: str | None, labels: str | None, blocks: str | None = None
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield features, labels and values of the key that makes blocks, if there is one, of the table's batches."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise PackageError("tables need the package pyarrow: pip install pyarrow") from error
    reader = pa.RecordBatchReader.from_stream(table)
    vector = _chosen(reader.schema, features, _FEATURES, "features", _is_vector)
    label = _chosen(reader.schema, labels, _LABELS, "labels", lambda _: True)
    key = None if blocks is None else _chosen(reader.schema, blocks, (), "block_by", lambda _: True)
    for batch in reader:
        values = None if key is None else _labels(batch.column(key), key)
        yield _vectors(batch.column(vector), vector), _labels(batch.column(label), label), values


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


def _vectors(column: Any, name: str) -> Any:
    import pyarrow as pa

    if column.null_count:
        raise DataError(f"column {name!r} has nulls")
    if not _is_vector(column.type):
        raise DataError(f"column {name!r} has no vectors: it is {column.type}")
    rows = len(column)
    if not rows:
        return np.zeros((0, 0), dtype=np.float32)
    if not pa.types.is_fixed_size_list(column.type):
        lengths = column.value_lengths().to_numpy()
        wrong = np.flatnonzero(lengths != lengths[0])
        if wrong.size:
            raise DataError(
                f"column {name!r}: row {wrong[0]} of a batch has {lengths[wrong[0]]} values, the first {lengths[0]}"
            )
    values = column.flatten()
    if values.null_count:
        raise DataError(f"column {name!r} has nulls within its vectors")
    return values.to_numpy(zero_copy_only=False).reshape(rows, -1)


def _labels(column: Any, name: str) -> Any:
    import pyarrow as pa

    if column.null_count:
        raise DataError(f"column {name!r} has nulls")
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.to_pylist()
    return column.to_numpy(zero_copy_only=False)
