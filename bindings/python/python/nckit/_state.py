"""States: rows that a program holds in memory, added up as they come."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from nckit import _nckit
from nckit._choice import Columns, Policy
from nckit._errors import UsageError
from nckit._result import Result, told
from nckit._words import is_path, paths, words

if TYPE_CHECKING:
    import numpy as np

    from nckit._flags import FinishFlags
    from nckit._rows import Again, Batch

    #: The rows of a state, those to be decided, and those out of distribution, as far as they are in memory.
    Further = tuple[Again | None, Again | None, Again | None]


class Statistics(TypedDict, total=False):
    """What ``State.statistics`` returns; ``scatter`` is there if the state keeps it."""

    labels: list[Any]
    counts: np.ndarray[Any, Any]
    means: np.ndarray[Any, Any]
    variances: np.ndarray[Any, Any]
    scatter: np.ndarray[Any, Any]


class State:
    """Measures rows as they come, in batches of any size.

    The state is the one that ``nckit accumulate`` makes of a file with these rows in this order: sizes of batches change no
    bit. It is made of integers, so states add up exactly, in any order, and a part can be subtracted again.

    Parameters
    ----------
    dim : int, optional
        ``D``. Without it, the first batch says how long rows are.
    metrics : str or iterable of str, optional
        The metrics that the state will serve, as in ``measure``. It is smaller if none of them needs the scatter matrix,
        ``D × D``.
    grid : int, optional
        Rounds all rows and dimensions to the step ``2 ** grid`` of one grid. With it, not even the order of rows changes a
        bit. Without it each chunk of rows has a grid of its own, about ``2 ** -21`` of the spread within classes.
    extra_bits : int, optional
        Makes each chunk's own grid finer by so many bits, 0 to 20.
    normalize : bool
        Divides each row by its length, in double precision. A row of zeros is refused.
    error_bars : str, optional
        ``"jackknife"`` or ``"jackknife:B"`` keeps a state of each of 32 or ``B`` blocks of rows, so that ``finish`` gives
        metrics a standard error and an interval.
    block_by : str, optional
        The name of a key, such as ``"document"``, whose values stay together in blocks: for rows that depend on each other.
        ``update`` takes the values. Without it, rows are dealt one by one.
    ignore_label : int or str, optional
        The label of rows that belong to no class, such as ``-100``. They are left out and counted.
    nulls : {"fail", "skip"}
        What becomes of rows without a label: an error, or they are left out and counted.
    nonfinite : {"fail", "skip"}
        The same of rows with NaN or infinity, and with ``normalize`` of rows of zeros.
    threads : int, optional
        The most threads that round a chunk of rows; all cores without it. They change no bit.
    memory : int or str, optional
        The most memory that sums may take, in bytes or as ``"8GiB"``; 60 % of the machine's without it. Rows whose sums would
        take more are refused.

    Notes
    -----
    Several threads may update one state. An update waits for Python's lock only while it reads its arguments. Ctrl-C ends a
    long update between two pieces of it: ``rows`` says how many were added.

    Examples
    --------
    >>> import numpy as np
    >>> state = nckit.State()
    >>> state.update(np.array([[1.0, 0.25], [0.5, -0.25]]), [0, 0])
    >>> state.update(np.array([[0.25, 1.0], [-0.25, 0.5]]), [1, 1])
    >>> state.finish()["nc1_cdnv"]
    0.1111111111111111
    """

    __slots__ = ("__weakref__", "_rows")
    __hash__ = None  # type: ignore[assignment]  # a state changes

    def __init__(
        self,
        dim: int | None = None,
        metrics: str | Iterable[str] | None = None,
        grid: int | None = None,
        extra_bits: int = 0,
        normalize: bool = False,
        error_bars: str | None = None,
        block_by: str | None = None,
        ignore_label: int | str | None = None,
        nulls: str = "fail",
        nonfinite: str = "fail",
        threads: int | None = None,
        memory: int | str | None = None,
        *,
        _columns: tuple[str | None, str | None] | None = None,
    ) -> None:
        names = [] if metrics is None else metrics.split(",") if isinstance(metrics, str) else list(metrics)
        ignored = None if ignore_label is None else str(ignore_label)
        most = None if memory is None else str(memory)
        self._rows = _nckit.Rows(
            dim,
            names,
            grid,
            extra_bits,
            normalize,
            error_bars,
            block_by,
            ignored,
            nulls,
            nonfinite,
            threads,
            most,
            None if _columns is None else list(_columns),
        )

    @classmethod
    def _of(cls, rows: _nckit.Rows) -> State:
        state = cls.__new__(cls)
        state._rows = rows
        return state

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> State:
        """Read a state file, of ``save`` or of ``nckit accumulate``."""
        return cls._of(_nckit.Rows.load(os.fspath(path)))

    @classmethod
    def from_bytes(cls, encoded: bytes) -> State:
        """Return the state of these bytes, which ``to_bytes`` has made."""
        return cls._of(_nckit.Rows.decode(bytes(encoded)))

    def to_bytes(self) -> bytes:
        """Return the bytes of the file that ``save`` writes. Equal rows in an equal order give equal bytes."""
        return self._rows.encode()

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the state to a file, whole or not at all.

        Parameters
        ----------
        path : path
            Where to; the command line reads it too: ``nckit finish PATH``.
        overwrite : bool
            Whether an existing file is replaced.
        """
        self._rows.save(os.fspath(path), overwrite)

    def update(self, features: Any, labels: Any, blocks: Any = None) -> None:
        """Add rows.

        Parameters
        ----------
        features : array, rows × D
            float16, float32, float64 or bfloat16: an array of NumPy, a tensor of torch on any device, or anything with
            ``__array__`` or ``__dlpack__``. In C order it is read where it lies. All batches have the type of the first.
        labels : array, rows
            The class of each row: integers from 0, truth values, or texts. ``None``, NaN and what pyarrow, polars and pandas
            call null is no label.
        blocks : array, rows, optional
            The value of the key ``block_by`` of each row: integers, truth values, or texts. Rows of one value lie in one
            block, whatever batch they come in.

        Raises
        ------
        DataError
            If the shapes or types do not fit, or a row cannot be used and is not to be left out: its label is negative or
            null, or a value is not finite. No row is added then.
        ResourceError
            If the sums of such rows would take more memory than they may.
        """
        from nckit._rows import batch_of

        self._add(batch_of(features, labels, blocks, self._policy))

    def _add(self, batch: Batch) -> None:
        self._rows.update(*batch)

    @property
    def _policy(self) -> Policy:
        return Policy(*self._rows.policy)

    def merge(self, other: State) -> None:
        """Add the rows of another state.

        Raises
        ------
        DataError
            If the two do not belong together, or the same rows would be counted twice.
        """
        self._rows.merge(other._rows)

    def subtract(self, other: State) -> None:
        """Take the rows of another state out again, which has been merged into this one."""
        self._rows.subtract(other._rows)

    def __add__(self, other: State) -> State:
        if not isinstance(other, State):
            return NotImplemented
        merged = self.copy()
        merged.merge(other)
        return merged

    def __iadd__(self, other: State) -> State:
        if not isinstance(other, State):
            return NotImplemented
        self.merge(other)
        return self

    def __sub__(self, other: State) -> State:
        if not isinstance(other, State):
            return NotImplemented
        rest = self.copy()
        rest.subtract(other)
        return rest

    def __radd__(self, other: object) -> State:
        # `sum` begins with 0.
        if other == 0 and isinstance(other, int):
            return self.copy()
        return NotImplemented

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same sums, bit for bit, whatever batches and states they came from.

        The type of the rows counts too, since it says how exact they were: states of float32 and float64 are different, even
        of equal values.
        """
        return self._rows.same(other._rows) if isinstance(other, State) else NotImplemented

    def copy(self) -> State:
        """Return a state of the same rows that goes on by itself."""
        return self._of(self._rows.copy())

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> State:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        # The rows that do not fill a chunk yet are rounded as one.
        return (State.from_bytes, (self.to_bytes(),))

    @property
    def rows(self) -> int:
        """``N``, the rows so far."""
        return self._rows.count

    @property
    def classes(self) -> int:
        """``K``, the classes that have rows."""
        return len(self._rows.labels())

    @property
    def labels(self) -> list[Any]:
        """The labels of the classes that have rows, ascending."""
        return self._rows.labels()

    @property
    def dim(self) -> int | None:
        """``D``, or ``None`` before the first row."""
        return self._rows.dim

    def statistics(self) -> Statistics:
        """Return ``labels``, ``counts`` (K), ``means`` (K × D), ``variances`` (K) and, if it is kept, ``scatter`` (D × D).

        A variance is the mean squared distance of a class's rows to their mean; the scatter is the sum over all rows of
        ``(x − μ)(x − μ)ᵀ`` with the mean of their class.
        """
        statistics: Statistics = self._rows.statistics()
        return statistics

    def finish(self, *, head: Any = None, per_class: bool | str = False, **flags: Unpack[FinishFlags]) -> Result:
        """Measure all rows so far; more can be added afterwards.

        Parameters
        ----------
        head : optional
            The classifier, for NC3 and NC4: weights (classes × D), a pair of weights and bias, a layer such as
            ``model.fc``, or the path of a file. Row ``i`` is class ``i``.
        per_class : bool or path
            Makes ``Result.classes``; a path writes them to a file.
        **flags
            All flags of ``nckit finish``: ``metrics``, ``decisions``, ``ood``, ``min_count``, ``option``, ``output``, …
            ``decisions`` and ``ood`` may be in memory, as in ``measure``.
            A state that keeps blocks gives metrics error bars, which ``error_bars=None`` leaves out.

        Returns
        -------
        Result
        """
        return self._measured(head, per_class, dict(flags), stacklevel=5)

    def _measured(
        self,
        head: Any,
        per_class: bool | str,
        flags: dict[str, Any],
        stacklevel: int,
        own: Again | None = None,
        columns: Columns = Columns(),
    ) -> Result:
        further = further_rows(flags, own, self._policy, columns)
        if self._rows.blocks is not None:
            flags.setdefault("error_bars", f"jackknife:{self._rows.blocks[0]}")
        return _finished(self._rows.finish, ["memory"], head, per_class, flags, stacklevel, further)

    def __repr__(self) -> str:
        return f"<nckit.State rows={self.rows} classes={self.classes} dim={self.dim}>"


def finish(
    states: Any,
    *,
    head: Any = None,
    per_class: bool | str = False,
    **flags: Unpack[FinishFlags],
) -> Result:
    """Measure states, merged if they are several: files, or ``State``.

    Parameters
    ----------
    states : path, State, or several of them
        What to measure; no row is read again.
    head, per_class, **flags
        As in ``State.finish``.

    Returns
    -------
    Result
    """
    if not isinstance(states, str | os.PathLike | State):
        states = list(states)
        if not states:
            raise UsageError("no state is given")
    if is_path(states):
        options: dict[str, Any] = dict(flags)
        further = further_rows(options, None, Policy(), Columns())
        return _finished(_nckit.report, paths(states), head, per_class, options, 4, further)
    several = [states] if isinstance(states, State) else states
    loaded = [state if isinstance(state, State) else State.load(state) for state in several]
    merged = sum(loaded[1:], loaded[0])
    return merged._measured(head, per_class, dict(flags), stacklevel=5)


def _finished(
    work: Any,
    inputs: list[str],
    head: Any,
    per_class: bool | str,
    flags: dict[str, Any],
    stacklevel: int,
    further: Further | None,
) -> Result:
    arrays, more = head_and_classes(head, per_class)
    return told(work(words("finish", inputs, flags | more), arrays, bool(per_class), further), stacklevel)


def further_rows(flags: dict[str, Any], own: Again | None, policy: Policy, columns: Columns) -> Further | None:
    """Take rows in memory out of the flags ``decisions`` and ``ood``."""
    found: list[Again | None] = [own]
    for flag in ("decisions", "ood"):
        rows = flags.get(flag)
        if rows is None or is_path(rows):
            found.append(None)
            continue
        from nckit._rows import again, batches_of

        del flags[flag]
        of_flag = policy._replace(any_labels=flag == "ood")
        found.append(again(batches_of(rows, columns._replace(blocks=None), of_flag, flag)))
    return None if found == [None, None, None] else (found[0], found[1], found[2])


def head_and_classes(head: Any, per_class: Any) -> tuple[Any, dict[str, Any]]:
    """Return the head in memory, if there is one, and the flags for what lies in files."""
    more: dict[str, Any] = {}
    if not isinstance(per_class, bool):
        more["per_class"] = per_class
    if head is None:
        return None, more
    if is_path(head):
        more["head"] = head
        return None, more
    from nckit._arrays import head_of

    return head_of(head), more
