"""Results: named numbers of groups, with reasons where there is none."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nckit import _nckit
from nckit._errors import RemarkWarning, UsageError

#: The formats of the report; those of classes one by one.
_FORMATS = ("json", "ndjson", "csv", "markdown", "html", "parquet")
#: How wide the tables of a result are that comes from another process, in columns.
_WIDTHS = (60, 80, 100, 120, 160, 200)

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


class Group(Mapping[str, float | None]):
    """The numbers of one group: a mapping from the keys of metrics to numbers, ``None`` where there is none.

    Attributes
    ----------
    key : dict
        The values of the keys in ``group_by`` that make the group.
    rows, classes, dim : int
        ``N``, ``K`` and ``D``.
    dropped_classes : int
        Classes that ``min_count`` and ``max_count`` left out.
    skipped : dict
        Rows that were left out, by reason.
    accuracy : dict
        How far the one rounding may have changed numbers, as relative errors.
    flags : list of str
        What is remarkable about the whole group.
    worst_pairs : list of dict
        The pairs of classes that are hardest to tell apart, if ``worst_pairs`` asked for them.
    """

    def __init__(self, made: dict[str, Any]) -> None:
        self._metrics: dict[str, dict[str, Any]] = made["metrics"]
        self.key: dict[str, Any] = made["key"]
        self.rows: int = made["rows"]
        self.classes: int = made["classes"]
        self.dim: int = made["dim"]
        self.dropped_classes: int = made["dropped_classes"]
        self.skipped: dict[str, Any] = made["skipped"]
        self.accuracy: dict[str, float] = made["accuracy"]
        self.flags: list[str] = made["flags"]
        self.worst_pairs: list[dict[str, Any]] = made["worst_pairs"]

    def __getitem__(self, metric: str) -> float | None:
        value: float | None = self._metrics[metric]["value"]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    def reason(self, metric: str) -> str | None:
        """Return why a metric has no number, if it has none."""
        reason: str | None = self._metrics[metric]["reason"]
        return reason

    def detail(self, metric: str) -> dict[str, Any]:
        """Return all that is known of a metric: value, floor, reason, flags; with error bars also se, lo, hi and bias."""
        return self._metrics[metric]

    def __repr__(self) -> str:
        key = "".join(f"{name}={value} " for name, value in self.key.items())
        return f"<nckit.Group {key}rows={self.rows} classes={self.classes} dim={self.dim}>"


class Result:
    """What a run has found.

    A result prints as the table of the command line, and shows itself in notebooks with its figures. It is a sequence of
    groups; of one group it can be asked directly: ``result["nc1_pinv"]``.

    Examples
    --------
    >>> result = nckit.measure("features.parquet")          # doctest: +SKIP
    >>> result["nc1_pinv"]                                  # doctest: +SKIP
    0.0007473

    >>> for group in nckit.measure("archive", group_by="layer,epoch"):  # doctest: +SKIP
    ...     print(group.key, group["nc1_pinv"])
    """

    def __init__(self, report: _nckit.Report | _Kept) -> None:
        self._report = report

    @cached_property
    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.to_json())
        return document

    @cached_property
    def groups(self) -> list[Group]:
        """All groups, sorted by key."""
        return [Group(made) for made in self._document["groups"]]

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """One flat record per group: its keys, ``rows``, ``classes``, ``dim``, ``dropped_classes``, ``flags``, metrics."""
        return [json.loads(line) for line in self._report.write("ndjson").splitlines()]

    @cached_property
    def classes(self) -> list[dict[str, Any]]:
        """One record per class, of a result that was made with ``per_class``."""
        return [json.loads(line) for line in self._report.write("ndjson", classes=True).splitlines()]

    @property
    def options(self) -> dict[str, Any]:
        """The conventions under which every number was made."""
        options: dict[str, Any] = self._document["options"]
        return options

    @property
    def notes(self) -> list[str]:
        """What the command line says as warnings: choices and doubts."""
        return self._report.warnings

    @property
    def only(self) -> Group:
        """The only group.

        Raises
        ------
        UsageError
            If there are several.
        """
        if len(self.groups) != 1:
            raise UsageError(f"the result has {len(self.groups)} groups: choose one, as in result[0], or use records")
        return self.groups[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return (Result, (_Kept(self._report),))

    def __copy__(self) -> Result:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Result:
        # Nothing of it changes.
        return self

    def __getitem__(self, key: str | int) -> Any:
        """Return a metric of the only group by its key, or a group by its number."""
        return self.groups[key] if isinstance(key, int) else self.only[key]

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __str__(self) -> str:
        return self._report.table(shutil.get_terminal_size((100, 24)).columns).rstrip("\n")

    __repr__ = __str__

    def table(self, width: int | None = None) -> str:
        """Return the table of all metrics, split so that it is no wider than ``width`` columns."""
        return self._report.table(width, every=True)

    def _repr_html_(self) -> str:
        """Return the page of the report for a notebook, with styles that reach nothing else."""
        page = self._report.write("html").decode()
        style = page.partition("<style>")[2].partition("</style>")[0]
        body = page.partition("<body>")[2].rpartition("</body>")[0]
        # Records for programs: pages in one notebook would share their name.
        body = re.sub(r"<script\b.*?</script>\n?", "", body, flags=re.DOTALL)
        body = re.sub(r" The same is\s+in this page as JSON.*?</code>\.", "", body, flags=re.DOTALL)
        for root in (":root{", "body{"):
            style = style.replace(root, ":scope{")
        return f'<div class="nckit-result"><style>@scope (.nckit-result){{{style}}}</style>{body}</div>'

    def plot(
        self,
        metrics: str | Iterable[str] | None = None,
        *,
        x: str | None = None,
        ax: Any = None,
        bars: bool = True,
        **options: Any,
    ) -> Any:
        """Draw metrics over a key of the groups, such as the epoch, with a line for each value of the other keys.

        Parameters
        ----------
        metrics : str or iterable of str, optional
            Keys or families; the headline without it, as far as it has numbers.
        x : str, optional
            The key on the horizontal axis; without it the key of numbers that has most values. Where no key has numbers,
            the groups themselves lie there.
        ax : matplotlib Axes, or several of them, optional
            Where to draw, one a metric; a new figure without it.
        bars : bool
            Whether the intervals of ``error_bars`` are drawn as bands, of at most six lines.
        **options
            Options of ``Axes.plot``, such as ``marker`` and ``linewidth``; ``figsize`` of a new figure.

        Returns
        -------
        matplotlib Axes
            The axes of the metric, or an array with those of several metrics. ``ax.figure`` is the figure.

        Raises
        ------
        PackageError
            Without the package matplotlib.
        UsageError
            If there is one group only, or no such metric, key or number.

        Notes
        -----
        The vertical axis is logarithmic where values are positive and span a factor of 30. An arrow at its name shows
        where collapse lies, a dashed line is the least attainable value.

        Examples
        --------
        >>> result = nckit.measure("archive", group_by="layer,epoch", error_bars="jackknife")  # doctest: +SKIP
        >>> result.plot("nc1_pinv").figure.savefig("nc1.pdf")                                   # doctest: +SKIP
        """
        from nckit._plot import plot

        return plot(self, metrics, x, ax, bars, options)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as one dictionary, as ``to_json`` has it."""
        document: dict[str, Any] = json.loads(self.to_json())
        return document

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return everything as one JSON document, and write it to a file if one is named."""
        text = self._report.write("json").decode()
        if path is not None:
            _write(path, text.encode())
        return text

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the records as CSV, and write them to a file if one is named."""
        text = self._report.write("csv").decode()
        if path is not None:
            _write(path, text.encode())
        return text

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return a page with tables and figures, and write it to a file if one is named."""
        text = self._report.write("html").decode()
        if path is not None:
            _write(path, text.encode())
        return text

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the records to a Parquet file, with the conventions in its metadata."""
        _write(path, self._report.write("parquet"))

    def to_arrow(self) -> pyarrow.Table:
        """Return the records as a table of pyarrow, with the conventions in its metadata."""
        import pyarrow.parquet

        file = pyarrow.parquet.ParquetFile(io.BytesIO(self._report.write("parquet")))
        conventions = {name: text for name, text in (file.metadata.metadata or {}).items() if name != b"ARROW:schema"}
        return file.read().replace_schema_metadata(conventions)

    def to_polars(self) -> polars.DataFrame:
        """Return the records as a data frame of polars."""
        import polars

        return polars.read_parquet(io.BytesIO(self._report.write("parquet")))

    def to_pandas(self) -> pandas.DataFrame:
        """Return the records as a data frame of pandas."""
        import pandas

        frame = pandas.DataFrame.from_records(self.records)
        # A column of no numbers at all is one of numbers still.
        metrics = {name for group in self.groups for name in group}
        return frame.astype({name: "float64" for name in frame.columns if name in metrics})


class _Kept:
    """A report that comes from another process: everything that can be asked of one, as it was written there."""

    def __init__(self, report: _nckit.Report | _Kept) -> None:
        self.warnings: list[str] = report.warnings
        self._written = {(name, False): report.write(name) for name in _FORMATS}
        # Figures and tables of classes are of the formats above.
        self._written["ndjson", True] = report.write("ndjson", True)
        self._tables = {(width, every): report.table(width, every) for width in (None, *_WIDTHS) for every in (False, True)}

    def write(self, format: str, classes: bool = False) -> bytes:
        return self._written[format, classes]

    def table(self, width: int | None = None, every: bool = False) -> str:
        if width is not None:
            width = max((known for known in _WIDTHS if known <= width), default=_WIDTHS[0])
        return self._tables[width, every]


def told(report: _nckit.Report, stacklevel: int = 3) -> Result:
    """Make a result, and warn of what the command line warns of."""
    result = Result(report)
    warn_of(result.notes, stacklevel + 1)
    return result


def warn_of(notes: Iterable[str], stacklevel: int = 3) -> None:
    """Warn of what the command line warns of."""
    for note in notes:
        warnings.warn(note, RemarkWarning, stacklevel=stacklevel)


class Text(str):
    """Text that shows itself as it is printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _write(path: str | os.PathLike[str], content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
