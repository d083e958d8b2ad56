"""Neural collapse (NC1 to NC5) measured exactly, in one pass, over arrays and archives of embeddings.

>>> import nckit
>>> nckit.measure(features, labels=labels, head=model.fc)                        # doctest: +SKIP
>>> nckit.measure("archive/**/*.parquet", group_by="layer,epoch").to_pandas()    # doctest: +SKIP

``measure``, ``accumulate``, ``finish`` and ``inspect`` are the commands of the command line, whose flags are keyword arguments
of the same names; ``metrics`` explains every number, ``sql`` asks for them with SQL. ``State`` adds up rows in memory, batch by batch, exactly.
``NeuralCollapse`` is the same as a metric for training loops. ``nckit.neural_collapse`` has the names of the package
``neural_collapse``.
"""

from nckit._errors import (
    DataError,
    Error,
    InternalError,
    IoError,
    MissingError,
    OutputError,
    PackageError,
    RemarkWarning,
    ResourceError,
    UsageError,
)
from nckit._jobs import accumulate, inspect, measure, metrics
from nckit._metric import NeuralCollapse
from nckit._nckit import __version__
from nckit._result import Group, Result
from nckit._sql import sql
from nckit._state import State, finish

__all__ = [
    "DataError",
    "Error",
    "Group",
    "InternalError",
    "IoError",
    "MissingError",
    "NeuralCollapse",
    "OutputError",
    "PackageError",
    "RemarkWarning",
    "ResourceError",
    "Result",
    "State",
    "UsageError",
    "__version__",
    "accumulate",
    "finish",
    "inspect",
    "measure",
    "metrics",
    "sql",
]

for _name in __all__:
    # Where programs find them, and so what tracebacks and `help` call them.
    if _name != "__version__":
        globals()[_name].__module__ = "nckit"
