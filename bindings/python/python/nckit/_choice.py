"""Which rows and columns are read."""

from __future__ import annotations

from typing import NamedTuple


class Policy(NamedTuple):
    """Which rows are left out, and counted."""

    ignore_label: str | None = None
    #: Rows without a label, or with nulls in their vectors.
    nulls: bool = False
    #: Rows with NaN or infinity; rows of zeros too, if they are to be divided by their length.
    nonfinite: bool = False
    normalize: bool = False
    #: Whether negative labels are labels too, and there may be none.
    any_labels: bool = False


class Columns(NamedTuple):
    """The names of columns of a table; ``None`` finds one of a well-known name."""

    features: str | None = None
    labels: str | None = None
    #: The key that blocks are made of; there is none without a name.
    blocks: str | None = None
