"""Rows as the compiled module takes them, without those that are to be left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from nckit._arrays import features_of, labels_and_nulls, labels_of
from nckit._choice import Columns, Policy
from nckit._errors import DataError, UsageError
from nckit._tables import batches, is_table, opened

#: Rows with nulls, rows of the ignored label, and the labels of rows that are not finite.
LeftOut = tuple[int, int, Any]


class Batch(NamedTuple):
    """Rows that are used, and the others in numbers."""

    features: Any
    labels: Any
    blocks: Any
    left_out: LeftOut | None


def batch_of(features: Any, labels: Any, blocks: Any, policy: Policy, null_rows: Any = None) -> Batch:
    """Return the rows of a batch that are used. ``null_rows`` says which vectors have nulls, if some do.

    Raises
    ------
    DataError
        For a row that cannot be used and may not be left out, with its number.
    """
    values = features_of(features)
    of_blocks = None if blocks is None else labels_of(blocks, "blocks")
    if labels is None:
        classes, null_labels = np.zeros(len(values), dtype=np.int64), None
    else:
        classes, null_labels = labels_and_nulls(labels)
    if len(classes) != len(values):
        # The compiled module says so, with both numbers.
        return Batch(values, classes, of_blocks, None)
    nothing = np.zeros(len(values), dtype=bool)
    unlabelled = nothing if null_labels is None else null_labels
    ignored = _of_label(classes, policy) & ~unlabelled
    others = ~(unlabelled | ignored)
    _check_nulls(unlabelled, "label", "is null", policy)
    null_vectors = nothing if null_rows is None else null_rows & others
    _check_nulls(null_vectors, "vector", "is null, or has nulls", policy)
    others &= ~null_vectors
    negative = nothing if isinstance(classes, list) or policy.any_labels else classes < 0
    unusable = nothing
    if policy.nonfinite:
        unusable = ~np.isfinite(values).all(axis=1)
        if policy.normalize:
            unusable |= ~values.any(axis=1)
        unusable = unusable & others & ~negative
    used = others & ~unusable
    if used.all() and len(used) == len(values):
        return Batch(values, classes, of_blocks, None)
    _check_used(values, classes, used, negative)
    if of_blocks is not None and len(of_blocks) == len(values):
        of_blocks = _chosen(of_blocks, used)
    left_out = int((unlabelled | null_vectors).sum()), int(ignored.sum()), _chosen(classes, unusable)
    return Batch(values[used], _chosen(classes, used), of_blocks, left_out)


def _of_label(classes: Any, policy: Policy) -> Any:
    """Return which rows have the label that is to be left out."""
    label = policy.ignore_label
    if not label or not len(classes):
        return np.zeros(len(classes), dtype=bool)
    if isinstance(classes, list):
        return np.fromiter((text == label for text in classes), dtype=bool, count=len(classes))
    try:
        wanted = {"true": True, "false": False}[label] if classes.dtype == np.bool_ else int(label)
    except (KeyError, ValueError):
        if policy.any_labels:
            return np.zeros(len(classes), dtype=bool)
        kind = "truth values" if classes.dtype == np.bool_ else "integers"
        raise UsageError(f"ignore_label is {label!r}, and the labels are {kind}") from None
    info = None if classes.dtype == np.bool_ else np.iinfo(classes.dtype)
    if info is not None and not info.min <= wanted <= info.max:
        return np.zeros(len(classes), dtype=bool)
    return classes == wanted


def _check_nulls(nulls: Any, what: str, fault: str, policy: Policy) -> None:
    if nulls.any() and not policy.nulls:
        row = int(np.argmax(nulls))
        raise DataError(f'the {what} of row {row} {fault}: nulls="skip" leaves such rows out and counts them')


def _check_used(values: Any, classes: Any, used: Any, negative: Any) -> None:
    """Look for what the compiled module would refuse with the number of a row among those that are left."""
    bad = used & negative
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"negative label {classes[row]} in row {row}: ignore_label={classes[row]} leaves such rows out and counts them"
        )
    bad = used & ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f'row {row} is not finite: nonfinite="skip" leaves such rows out and counts them')


def _chosen(values: Any, mask: Any) -> Any:
    if isinstance(values, list):
        return [value for value, wanted in zip(values, mask.tolist(), strict=True) if wanted]
    return values[mask]


#: Batches with their labels, and what was left out of them: what the compiled module looks at once more.
Again = tuple[list[tuple[Any, Any]], list[LeftOut]]


def again(batches: Iterable[Batch]) -> Again:
    """Return rows that are looked at once more. They are not copied."""
    kept: list[tuple[Any, Any]] = []
    left_out: list[LeftOut] = []
    for batch in batches:
        kept.append((batch.features, batch.labels))
        if batch.left_out is not None:
            left_out.append(batch.left_out)
    return kept, left_out


def batches_of(rows: Any, columns: Columns, policy: Policy, flag: str) -> Iterator[Batch]:
    """Yield the rows that a flag has in memory: a table, a pair of features and labels, or features alone."""
    if is_table(rows):
        yield from (_checked(batch, policy) for batch in table_batches(*opened(rows, columns, policy.any_labels), policy))
    elif isinstance(rows, tuple | list) and len(rows) == 2 and np.ndim(rows[0]) == 2:
        yield _checked(batch_of(rows[0], rows[1], None, policy), policy)
    elif policy.any_labels and getattr(rows, "ndim", 0) == 2:
        batch = batch_of(rows, None, None, policy)
        yield batch._replace(labels=None)
    else:
        pair = "a pair of features and labels" + (", features alone" if policy.any_labels else "")
        raise UsageError(f"{flag} is a path, a table, or {pair}, and this is {type(rows).__name__}")


def _checked(batch: Batch, policy: Policy) -> Batch:
    """Look at rows that no state takes."""
    nothing = np.zeros(len(batch.features), dtype=bool)
    negative = nothing if policy.any_labels or isinstance(batch.labels, list) else batch.labels < 0
    _check_used(batch.features, batch.labels, ~nothing, negative)
    return batch


def table_batches(reader: Any, columns: Columns, policy: Policy) -> Iterator[Batch]:
    """Yield the rows of an opened table that are used."""
    for features, labels, blocks, null_rows in batches(reader, columns):
        batch = batch_of(features, labels, blocks, policy, null_rows)
        yield batch if labels is not None else batch._replace(labels=None)
