"""The flags of the commands as types. `tests/test_flags.py` holds them to what the compiled module knows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

Path = str | os.PathLike[str]
Texts = str | Sequence[str]
Pairs = Mapping[str, Any] | Sequence[str] | str
Policy = Literal["fail", "skip"]


class MachineFlags(TypedDict, total=False):
    """What a run may use."""

    threads: int | None
    memory: str | int | None
    device: str | None


class RowFlags(TypedDict, total=False):
    """Which rows are read."""

    dtype: str | None
    normalize: bool
    group_by: Texts | None
    where: Pairs | None
    ignore_label: str | int | None
    nulls: Policy | None
    nonfinite: Policy | None
    on_bad_file: Policy | None
    allow_duplicates: bool


class ExactnessFlags(TypedDict, total=False):
    """How rows are rounded."""

    grid: int | None
    extra_bits: int | None


class ReportFlags(TypedDict, total=False):
    """The classifier, further rows, conventions, outputs."""

    head_rows: str | None
    class_names: Path | None
    head_for: Pairs | None
    on_missing_head: Literal["fail", "null"] | None
    head_transposed: bool
    # A path, or rows in memory.
    decisions: Any
    ood: Any
    metrics: Texts | None
    min_count: int | None
    max_count: int | None
    sweep_min_count: int | None
    sweep_sample: int | str | None
    centring: Literal["class", "sample"] | None
    normaliser: Literal["n", "n-k", "balanced"] | None
    option: Pairs | None
    error_bars: str | None
    # The name of a key; of rows in memory an array, one value a row.
    block_by: Any
    scores: Path | None
    per_class_bins: Path | None
    worst_pairs: int | None
    plot: str | None
    output: Path | Sequence[Path] | None
    overwrite: bool


class MeasureFlags(RowFlags, ExactnessFlags, ReportFlags, MachineFlags, total=False):
    """Flags of ``nckit measure``, without those that ``nckit.measure`` names itself."""


class FinishFlags(ReportFlags, MachineFlags, total=False):
    """Flags of ``nckit finish``, without those that ``nckit.finish`` names itself."""

    allow_duplicates: bool


class InspectFlags(RowFlags, MachineFlags, total=False):
    """Flags of ``nckit inspect``."""

    features: str | None
    labels: Path | None


class AccumulateFlags(RowFlags, ExactnessFlags, MachineFlags, total=False):
    """Flags of ``nckit accumulate``, without its output."""

    features: str | None
    labels: Path | None
    metrics: Texts | None
    resume: bool
    extend: bool
    overwrite: bool
    checkpoint_every: str | float | None
    shard: str | None
    error_bars: str | None
    block_by: str | None
