"""A metric in the manner of torchmetrics: ``update``, ``compute``, ``reset``, ``merge_state``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from nckit._state import State


#: Flags that say how rows are counted.
_OF_STATE = ("grid", "extra_bits", "normalize", "threads")


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
        ``grid``, ``extra_bits``, ``normalize``, ``threads``.

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
        self.reset()

    def update(self, features: Any, labels: Any) -> None:
        """Add the rows of a batch."""
        self.state.update(features, labels)

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
