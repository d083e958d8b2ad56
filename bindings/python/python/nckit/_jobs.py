"""The commands as functions: their flags are keyword arguments of the same names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

from nckit import _nckit
from nckit._choice import Columns, Policy
from nckit._errors import UsageError
from nckit._result import Result, Text, told, warn_of
from nckit._state import State, further_rows, head_and_classes
from nckit._words import is_path, known_flags, paths, unexpected, words

if TYPE_CHECKING:
    from nckit._flags import AccumulateFlags, InspectFlags, MeasureFlags

#: Flags of `measure` that say how a state of rows in memory is made.
_OF_STATES = (
    "metrics",
    "grid",
    "extra_bits",
    "normalize",
    "error_bars",
    "ignore_label",
    "nulls",
    "nonfinite",
    "threads",
    "memory",
)
#: Those that `finish` does not have.
_OF_STATES_ALONE = ("grid", "extra_bits", "normalize", "ignore_label", "nulls", "nonfinite")
#: What to do where a flag of files does not hold.
_INSTEAD = {
    name: "rows in memory have no keys; choose the rows of each group, or write them to a file with their keys"
    for name in ("group_by", "where")
}
#: The key that blocks are made of, where it is an array and has no name.
_KEY = "key"


def measure(
    inputs: Any,
    *,
    labels: Any = None,
    features: str | None = None,
    head: Any = None,
    per_class: bool | str = False,
    **flags: Unpack[MeasureFlags],
) -> Result:
    """Measure neural collapse in files, in a table, or in arrays.

    Parameters
    ----------
    inputs : path or paths, table, or array
        Files (Parquet, Arrow IPC, npy, npz, safetensors, pt, CSV, JSON lines), directories, globs or addresses; a table
        with a column of vectors (pyarrow, polars, pandas, DuckDB, datasets, …); or features in memory, rows × D, whose
        labels are an array too.
    labels : str, path or array, optional
        The column of the labels, a file with one label a row, or the labels themselves.
    features : str, optional
        The column of the vectors, if it is not clear which one it is.
    head : optional
        The classifier, for NC3 and NC4: a file, ``FILE:KEY``, or in memory weights (classes × D), a pair of weights and
        bias, or a layer such as ``model.fc``.
    per_class : bool or path
        Makes ``Result.classes``, one record a class; a path writes them to a file.
    **flags
        All other flags of ``nckit measure``, with ``_`` for ``-``. Lists give a flag several times, dictionaries are pairs:

        - ``group_by="layer,epoch"``, ``where={"split": "train"}``: which rows make which groups
        - ``metrics="nc1,nc2"`` or a list: families or single keys; ``"all"``
        - ``decisions="archive?split=test"``, ``ood="archive?split=ood"``: further rows for NC4 and NC5; in memory a pair of
          features and labels or a table, and of ``ood`` also features alone
        - ``min_count=5``, ``centring="sample"``, ``option={"cdnv_exponent": 2}``: conventions
        - ``nulls="skip"``, ``nonfinite="skip"``, ``ignore_label=-100``: rows that are left out, and counted
        - ``error_bars="jackknife"``, ``block_by="document"``: standard errors and intervals. Of arrays, ``block_by`` is an
          array too, and ``error_bars="jackknife:32"`` says into how many blocks its values are dealt
        - ``grid=-20``, ``extra_bits=4``, ``threads=4``, ``memory="8GiB"``, ``output="nc.json"``, …

    Returns
    -------
    Result
        Prints as a table; ``result["nc1_pinv"]`` of one group, ``result.to_pandas()`` of many.

    Raises
    ------
    nckit.Error
        With the text of the command line; its class says whose fault it is.

    Examples
    --------
    >>> nckit.measure("archive", group_by="epoch", where={"split": "train"}).to_pandas()  # doctest: +SKIP
    >>> nckit.measure(features, labels=labels, head=model.fc)["nc3_duality_error"]          # doctest: +SKIP
    """
    options: dict[str, Any] = dict(flags)
    if not is_path(inputs):
        return _measured(inputs, features, labels, head, per_class, options)
    if labels is not None and not is_path(labels):
        raise UsageError("labels of files are a column or a file: array labels go with array features")
    arrays, more = head_and_classes(head, per_class)
    policy = Policy(
        None if options.get("ignore_label") is None else str(options["ignore_label"]),
        options.get("nulls") == "skip",
        options.get("nonfinite") == "skip",
        bool(options.get("normalize")),
    )
    further = further_rows(options, None, policy, Columns(features, labels))
    options |= {"features": features, "labels": labels} | more
    return told(_nckit.report(words("measure", paths(inputs), options), arrays, bool(per_class), further))


def _measured(inputs: Any, features: Any, labels: Any, head: Any, per_class: Any, options: dict[str, Any]) -> Result:
    from nckit._rows import Batch, again, batch_of, table_batches
    from nckit._tables import is_table, opened

    known = known_flags("measure")
    for name in options:
        if name not in known:
            raise unexpected("measure", name, known)
        if name not in _OF_STATES and name not in known_flags("finish"):
            raise UsageError(f"{name} is for files: {_INSTEAD.get(name, 'rows in memory have no files')}")
    of_state = {name: options[name] for name in _OF_STATES if options.get(name) is not None}
    blocks = options.pop("block_by", None)
    if blocks is not None:
        of_state["block_by"] = options["block_by"] = blocks if isinstance(blocks, str) else _KEY
    columns = Columns(features, labels if isinstance(labels, str) else None)
    rows: list[Batch] = []
    if is_table(inputs) and (labels is None or isinstance(labels, str)):
        if blocks is not None and not isinstance(blocks, str):
            raise UsageError("block_by names a column of the table")
        reader, columns = opened(inputs, columns._replace(blocks=blocks))
        state = State(**of_state, _columns=columns[:2])
        for batch in table_batches(reader, columns, state._policy):
            state._add(batch)
            rows.append(batch)
    elif labels is None:
        raise UsageError("labels are missing: measure(features, labels=…)")
    elif features is not None:
        raise UsageError("features names a column, and an array has none")
    elif isinstance(blocks, str):
        raise UsageError("block_by names a column, and an array has none: block_by=ARRAY has a value for each row")
    else:
        state = State(**of_state)
        rows.append(batch_of(inputs, labels, blocks, state._policy))
        state._add(rows[0])
    for name in _OF_STATES_ALONE:
        options.pop(name, None)
    # Warnings are for whoever called `measure`.
    return state._measured(head, per_class, options, stacklevel=6, own=again(rows), columns=columns)


def accumulate(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    **flags: Unpack[AccumulateFlags],
) -> None:
    """Count rows of files into a state file, which can be resumed, extended, merged and finished later.

    Parameters
    ----------
    inputs : path or paths
        As in ``measure``.
    output : path
        The state file. ``State.load`` and ``finish`` read it.
    **flags
        All other flags of ``nckit accumulate``: ``group_by``, ``where``, ``metrics``, ``resume=True``, ``extend=True``,
        ``overwrite=True``, ``shard="0/8"``, ``checkpoint_every="5m"``, ``grid``, ``threads``, …

    Notes
    -----
    Ctrl-C saves the state before it raises ``KeyboardInterrupt``; ``resume=True`` goes on from there.
    """
    options: dict[str, Any] = dict(flags)
    every = options.get("checkpoint_every")
    if isinstance(every, int | float):
        options["checkpoint_every"] = f"{every}s"
    options["output"] = output
    warn_of(_nckit.accumulate(words("accumulate", paths(inputs), options)))


def inspect(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], **flags: Unpack[InspectFlags]
) -> str:
    """Describe files or state files: columns, dimensions, classes, groups.

    Parameters
    ----------
    inputs : path or paths
        As in ``measure``.
    **flags
        All flags of ``nckit inspect``.

    Returns
    -------
    str
        The text that the command line prints.
    """
    text, notes = _nckit.inspect(words("inspect", paths(inputs), flags))
    warn_of(notes)
    return Text(text)


def metrics(*keys: str) -> list[dict[str, Any]]:
    """Explain metrics.

    Parameters
    ----------
    *keys : str
        Keys of metrics or families; all without any.

    Returns
    -------
    list of dict
        For each its ``key``, ``family``, ``summary``, ``direction``, ``ideal``, ``range``, ``unit``, ``source``, ``needs``,
        and the reasons for which it may be ``null``.
    """
    made: list[dict[str, Any]] = json.loads(_nckit.metrics(["nckit", "metrics", "--json", *keys]))
    return made
