"""A metric in the manner of torchmetrics: ``update``, ``compute``, ``reset``, ``merge_state``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from nckit import _nckit
from nckit._errors import UsageError
from nckit._state import State, head_and_classes
from nckit._words import is_path, known_flags, unexpected, words

#: Flags that say how rows are counted.
_OF_STATE = (
    "grid",
    "extra_bits",
    "normalize",
    "error_bars",
    "block_by",
    "ignore_label",
    "nulls",
    "nonfinite",
    "threads",
    "memory",
)


class NeuralCollapse:
    """Measures neural collapse inside a training or evaluation loop.

    Parameters
    ----------
    metrics : str or iterable of str, optional
        The metrics that ``compute`` returns; all that rows and head allow without it.
    head : optional
        The classifier, as ``State.finish`` takes it. A layer such as ``model.fc`` is read when ``compute`` is called.
    **flags
        Further flags of ``nckit finish`` for ``compute``, such as ``option`` and ``min_count``, and those of ``State``:
        ``grid``, ``extra_bits``, ``normalize``, ``error_bars``, ``block_by``, ``ignore_label``, ``nulls``, ``nonfinite``,
        ``threads``, ``memory``. What cannot work is refused here, and not after the rows have come.

    Examples
    --------
    >>> metric = nckit.NeuralCollapse(metrics="nc1,nc2")     # doctest: +SKIP
    >>> for images, labels in loader:                        # doctest: +SKIP
    ...     metric.update(model.features(images), labels)
    >>> metric.compute()["nc1_pinv"]                         # doctest: +SKIP
    """

    def __init__(self, metrics: str | Iterable[str] | None = None, head: Any = None, **flags: Any) -> None:
        self._metrics = metrics if metrics is None or isinstance(metrics, str) else list(metrics)
        self._head = head
        self._of_state = {name: flags.pop(name) for name in _OF_STATE if name in flags}
        self._flags = flags
        self._check()
        self.reset()

    def _check(self) -> None:
        known = known_flags("finish")
        for name in self._flags:
            if name not in known:
                raise unexpected("NeuralCollapse", name, [*known, *_OF_STATE])
        flags = self._flags | {"metrics": self._metrics}
        if flags.get("scores") is not None and flags.get("decisions") is None:
            raise UsageError("there are no rows to score: decisions=…")
        for name in ("decisions", "ood"):
            if name in flags and not is_path(flags[name]):
                del flags[name]
        per_class = flags.pop("per_class", False)
        head = None
        if self._head is not None:
            head, more = head_and_classes(self._head, False)
            flags |= more
        _nckit.check_finish(words("finish", ["memory"], flags), head, bool(per_class))

    def update(self, features: Any, labels: Any, blocks: Any = None) -> None:
        """Add the rows of a batch, with their values of ``block_by`` if that was given."""
        self.state.update(features, labels, blocks)

    def compute(self) -> dict[str, float | None]:
        """Return the metrics of all rows so far, of all processes, ``None`` where one has no number.

        Where ``torch.distributed`` is initialised, every process has to call it.
        """
        return dict(self.gathered().finish(metrics=self._metrics, head=self._head, **self._flags).only)

    def reset(self) -> None:
        """Forget all rows."""
        self.state = State(metrics=self._metrics, **self._of_state)

    def merge_state(self, metrics: NeuralCollapse | Iterable[NeuralCollapse]) -> None:
        """Add the rows of other metrics, as of other processes."""
        for metric in [metrics] if isinstance(metrics, NeuralCollapse) else metrics:
            self.state.merge(metric.state)

    def gathered(self, group: Any = None) -> State:
        """Return the state of all rows so far, of all processes of ``torch.distributed``; without those the metric's own."""
        torch = sys.modules.get("torch")
        dist = torch.distributed if torch is not None else None
        if dist is None or not dist.is_available() or not dist.is_initialized():
            return self.state
        encoded: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(encoded, self.state.to_bytes(), group=group)
        states = [State.from_bytes(one) for one in encoded]
        return sum(states[1:], states[0])
