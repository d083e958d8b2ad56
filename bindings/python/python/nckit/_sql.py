"""SQL over archives, states and tables in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nckit import _nckit
from nckit._errors import PackageError, UsageError
from nckit._result import warn_of
from nckit._words import is_path

if TYPE_CHECKING:
    import pyarrow


def sql(
    query: str,
    /,
    *,
    params: Mapping[str, str | int | float | bool] | None = None,
    threads: int | None = None,
    memory: int | None = None,
    **tables: Any,
) -> pyarrow.Table:
    """Ask with SQL: every metric is an aggregate, such as ``nc1_pinv(feature, label)``.

    Parameters
    ----------
    query : str
        Statements of ``nckit sql``, separated by semicolons; the last one that returns rows is the answer. They may read
        paths in quotes, ``FROM 'archive'``, and write nothing.
    params : mapping, optional
        Values of the parameters ``$name``.
    threads : int, optional
        Parts of the query that run at once; all cores without it.
    memory : int, optional
        Bytes that the query may take; 60 % of the machine's without it.
    **tables
        Names of tables: paths of files, directories and globs, or what streams Arrow (tables of pyarrow, polars, pandas,
        DuckDB, …), which is read as a whole.

    Returns
    -------
    pyarrow.Table
        Without pyarrow an object that streams Arrow, which ``polars.DataFrame`` and others take.

    Raises
    ------
    PackageError
        If the package was built without SQL.
    nckit.Error
        With the text of the command line.

    Examples
    --------
    >>> query = "SELECT epoch, nc1_pinv(feature, label) FROM archive GROUP BY epoch ORDER BY epoch"
    >>> nckit.sql(query, archive="archive").to_pandas()                                      # doctest: +SKIP
    """
    if not hasattr(_nckit, "sql"):
        raise PackageError(
            "this build of nckit has no SQL: it was made with --no-default-features"
        )
    from nckit._tables import is_table

    stored: list[tuple[str, str]] = []
    rows: list[tuple[str, Any]] = []
    for name, table in tables.items():
        if is_path(table) and not isinstance(table, list | tuple | set):
            stored.append((name, os.fspath(table)))
        elif is_table(table):
            rows.append((name, table))
        else:
            raise UsageError(f"the table {name} is a path, or streams Arrow, and this is {type(table).__name__}")
    texts = {name: _text(value) for name, value in (params or {}).items()}
    made, notes = _nckit.sql(query, texts, stored, rows, threads, memory)
    warn_of(notes, stacklevel=3)
    try:
        import pyarrow
    except ImportError:
        return made
    return pyarrow.table(made)


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
