"""Accumulators of class means, covariance, variances and decisions.

Beneath each of the first three is an ``nckit.State``: rows are read where they lie, and added up exactly. Deviations about given
means are a closed form of that state, so means given afterwards, or none, serve as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nckit._arrays import features_of, labels_of, to_numpy, torch_of
from nckit._errors import DataError, UsageError
from nckit._state import State
from nckit.neural_collapse._kinds import Array, chosen_classes, tensor_or_array, wide
from nckit.neural_collapse.util import BLOCK

#: A metric that needs class sums alone.
_WITHOUT_SCATTER = "nc2_norm_mean"


class Accumulator:
    """What all accumulators share.

    Parameters
    ----------
    n_classes, d_vectors : int
        ``K`` and ``D``. Labels are ``0 … K − 1``.
    device : optional
        Where results lie that are tensors; rows may lie anywhere.
    dtype : optional
        The type of results; float64 without it.
    ctype : optional
        Has no effect: counts are of 64 bits.
    """

    def __init__(
        self, n_classes: int, d_vectors: int, device: Any = None, dtype: Any = None, ctype: Any = None
    ) -> None:
        self.n_classes = int(n_classes)
        self.d_vectors = int(d_vectors)
        self.device = device
        self.dtype = dtype
        self.ctype = ctype
        self._counts: Any = np.zeros(self.n_classes, dtype=np.int64)
        self._torch_used = False

    @property
    def ns_samples(self) -> Any:
        """Rows of each class so far, K."""
        return self._made(self._counts.copy())

    @property
    def totals(self) -> Any:
        """The sums of each class so far."""
        return self._made(self._totals())

    def _totals(self) -> Any:
        raise NotImplementedError

    def _averages(self) -> Any:
        """Return totals by counts, NaN where there are no rows."""
        totals = self._totals()
        counts = self._counts.reshape((-1,) + (1,) * (totals.ndim - 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            return totals / counts

    def _made(self, array: Any) -> Any:
        return tensor_or_array(array, self._torch_used, self.dtype, self.device)

    def filter_indices_by_n_samples(self, minimum: int = 0, maximum: int | None = None) -> Any:
        """Return the classes with ``minimum`` rows or more, and fewer than ``maximum``."""
        fits = self._counts >= minimum
        if maximum is not None:
            fits &= self._counts < maximum
        return tensor_or_array(np.flatnonzero(fits), self._torch_used, None, self.device)

    def class_idxs(self, X: Any, Y: Any) -> Any:
        """Return which row is of which class, B × K; the rows are counted."""
        features, labels = self._rows(X, Y)
        self._counts += np.bincount(labels, minlength=self.n_classes)
        return tensor_or_array(labels[:, None] == np.arange(self.n_classes), self._torch_used, None, self.device)

    def compute(self, idxs: Any = None, weighted: bool = False) -> tuple[Any, Any]:
        """Return the averages of classes, and their mean.

        Parameters
        ----------
        idxs : array, optional
            Which classes; all without it. A class without rows has no average: its numbers are NaN.
        weighted : bool
            Whether the mean counts each class as often as it has rows. Classes without rows do not count.
        """
        averages, counts = self._averages(), self._counts
        if idxs is not None:
            chosen = chosen_classes(idxs, self.n_classes)
            averages, counts = averages[chosen], counts[chosen]
        filled = counts > 0
        if not filled.any():
            raise DataError("none of the classes has rows")
        weights = counts[filled] if weighted else None
        return self._made(averages), self._made(np.average(averages[filled], axis=0, weights=weights))

    def _rows(self, X: Any, Y: Any) -> tuple[Any, Any]:
        """Return features and labels, checked."""
        self._torch_used |= torch_of(X) is not None
        # One row may come without its first dimension.
        if getattr(X, "ndim", 2) == 1:
            X = X[None, :]
        features, labels = features_of(X), labels_of(np.atleast_1d(to_numpy(Y)))
        if features.shape[1] != self.d_vectors:
            raise DataError(f"rows have {features.shape[1]} dimensions, and d_vectors is {self.d_vectors}")
        if len(labels) != len(features):
            raise DataError(f"there are {len(features)} rows and {len(labels)} labels")
        if not isinstance(labels, np.ndarray) or labels.dtype == np.bool_:
            raise DataError(f"labels are integers from 0 to {self.n_classes - 1}")
        wrong = np.flatnonzero((labels < 0) | (labels >= self.n_classes))
        if wrong.size:
            row = wrong[0]
            raise DataError(f"row {row} has the label {labels[row]}, and labels are 0 to {self.n_classes - 1}")
        return features, labels.astype(np.int64, copy=False)


class _OfStates(Accumulator):
    """An accumulator with a state beneath."""

    _metrics: str | None = _WITHOUT_SCATTER

    def __init__(self, n_classes: int, d_vectors: int, *args: Any, M: Any = None, **kwargs: Any) -> None:
        super().__init__(n_classes, d_vectors, *args, **kwargs)
        self._state = State(dim=d_vectors, metrics=self._metrics)
        self._known: Any = None
        self._made_of = -1
        self._centre: tuple[Any, Any, Any, Array] | None = None
        if M is not None:
            self._take(M)

    @property
    def _counts(self) -> Any:
        """Rows of each class: those before the last batch, and as many of that as the state has taken."""
        before, rows, labels = self._counted
        return before + np.bincount(labels[: self._state.rows - rows], minlength=self.n_classes)

    @_counts.setter
    def _counts(self, counts: Any) -> None:
        rows = self._state.rows if hasattr(self, "_state") else 0
        self._counted = counts, rows, np.zeros(0, dtype=np.int64)

    def _take(self, M: Any) -> None:
        """Remember the means about which deviations are."""
        version = None
        if torch_of(M) is not None and M.device.type != "cpu":
            # A copy from there takes longer than to look how often they were changed.
            version = M._version
            if self._centre is not None and self._centre[0] is M and self._centre[1] == version:
                return
        given = to_numpy(M)
        # Most loops hand in the same means again and again.
        if self._centre is not None and _same(self._centre[2], given):
            return
        means = np.asarray(given, dtype=np.float64)
        if means.shape != (self.n_classes, self.d_vectors):
            raise DataError(f"M is K × D = {self.n_classes} × {self.d_vectors}, and this has the shape {means.shape}")
        if self._centre is not None and not np.array_equal(self._centre[3], means, equal_nan=True):
            raise UsageError("M differs from that of earlier batches: deviations would be about two sets of means")
        self._centre = (None if version is None else M, version, given.copy(), means.copy())

    def _add(self, X: Any, Y: Any) -> None:
        features, labels = self._rows(X, Y)
        # Ctrl-C may end what follows at any place: counts are of the rows that the state has then.
        self._counted = self._counts, self._state.rows, labels
        self._state.update(features, labels)

    def _statistics(self) -> Any:
        """Return the statistics of all rows so far, by class: means, variances, and the scatter if it is kept."""
        rows = self._state.rows
        if self._made_of != rows:
            found = self._state.statistics()
            labels = found["labels"]
            means = np.zeros((self.n_classes, self.d_vectors))
            variances = np.zeros(self.n_classes)
            if labels:
                means[labels], variances[labels] = found["means"], found["variances"]
            self._known, self._made_of = (means, variances, found.get("scatter")), rows
        return self._known

    def _shifts(self) -> Array:
        """Return how far the classes' means are from the given ones, K × D; 0 without those, and for classes without rows."""
        means, _, _ = self._statistics()
        shifts = np.zeros_like(means)
        if self._centre is not None:
            filled = self._counts > 0
            shifts[filled] = means[filled] - self._centre[3][filled]
            if not np.isfinite(shifts).all():
                at = int(np.argwhere(~np.isfinite(shifts))[0][0])
                raise DataError(f"class {at} has rows, and its given mean is not finite")
        return shifts


class MeanAccumulator(_OfStates):
    """Class means. ``compute`` returns them, K × D, and their mean, D."""

    def accumulate(self, X: Any, Y: Any) -> Sequence[Any]:
        """Add rows, B × D, of these classes, B; return ``(ns_samples, totals)``."""
        self._add(X, Y)
        return _Sums(self)

    def _totals(self) -> Any:
        return self._statistics()[0] * self._counts[:, None]

    def _averages(self) -> Any:
        means = self._statistics()[0].copy()
        means[self._counts == 0] = np.nan
        return means


class _AboutMeans(_OfStates):
    """Sums of squares about means."""

    def accumulate(self, X: Any, Y: Any, M: Any = None) -> Sequence[Any]:
        """Add rows, B × D, of these classes, B, about the means ``M``, K × D; return ``(ns_samples, totals)``."""
        if M is not None:
            self._take(M)
        self._add(X, Y)
        return _Sums(self)


class CovarAccumulator(_AboutMeans):
    """The covariance within classes, pooled over them: about the given means, or about the rows' own without those."""

    _metrics = None

    def _totals(self) -> Any:
        _, _, scatter = self._statistics()
        if scatter is None:
            return np.zeros((self.d_vectors, self.d_vectors))
        weighted = self._shifts() * np.sqrt(self._counts)[:, None]
        return scatter + weighted.T @ weighted

    def compute(self, idxs: Any = None, weighted: bool = False) -> Any:
        """Return the covariance, D × D, divided by the number of rows.

        Raises
        ------
        UsageError
            If ``idxs`` leaves out a class with rows: what is pooled cannot be parted again.
        """
        if idxs is not None:
            left = self._counts.copy()
            left[chosen_classes(idxs, self.n_classes)] = 0
            if left.any():
                raise UsageError(
                    f"the covariance is pooled over all classes, and idxs leaves out class {int(np.argmax(left > 0))}: "
                    "accumulate the rows of the classes that count alone"
                )
        if self._counts.sum() == 0:
            raise DataError("no rows were accumulated")
        return self._made(self._totals() / self._counts.sum())


class VarNormAccumulator(_AboutMeans):
    """The variance of each class: the mean squared distance of its rows to the given mean, or to their own without that."""

    def _totals(self) -> Any:
        return self._statistics()[1] * self._counts + (self._shifts() ** 2).sum(axis=1) * self._counts


class DecAccumulator(Accumulator):
    """How often the classifier, without its bias, decides for the class of the nearest mean."""

    def __init__(
        self, n_classes: int, d_vectors: int, *args: Any, M: Any = None, W: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(n_classes, d_vectors, *args, **kwargs)
        self._hits = np.zeros(self.n_classes, dtype=np.int64)
        self._weights: Array | None = None
        self._means: tuple[Array, Any] | None = None
        if W is not None:
            self._take_weights(W)
        if M is not None:
            self.create_index(M)

    def create_index(self, M: Any) -> None:
        """Take the class means, K × D; a class whose mean is NaN has none, and is nobody's nearest."""
        means = np.asarray(to_numpy(M), dtype=np.float64)
        self._check_shape("M", means)
        there = np.flatnonzero(np.isfinite(means).all(axis=1))
        if not there.size:
            raise DataError("no class has a mean")
        self._means = means[there], there

    def _take_weights(self, W: Any) -> None:
        weights = wide(W, "W", 2)
        self._check_shape("W", weights)
        self._weights = weights

    def _check_shape(self, name: str, array: Any) -> None:
        if array.shape != (self.n_classes, self.d_vectors):
            raise DataError(
                f"{name} is K × D = {self.n_classes} × {self.d_vectors}, and this has the shape {array.shape}"
            )

    def accumulate(self, X: Any, Y: Any, W: Any = None, M: Any = None) -> Sequence[Any]:
        """Compare decisions on rows, B × D, of these classes, B; return ``(ns_samples, hits)``.

        Parameters
        ----------
        W : array, K × D
            The weights of the classifier, if they were not given before.
        M : array, K × D
            Class means, if they were not given before.
        """
        # Weights change between batches of a training loop.
        if W is not None:
            self._take_weights(W)
        if M is not None:
            self.create_index(M)
        if self._weights is None or self._means is None:
            raise UsageError("means and weights are missing: create_index(M), and accumulate(X, Y, W)")
        features, labels = self._rows(X, Y)
        if not np.isfinite(features).all():
            row = int(np.argwhere(~np.isfinite(features))[0][0])
            raise DataError(f"row {row}, of class {labels[row]}, is not finite")
        weights, (means, there) = self._weights, self._means
        centre = means.mean(axis=0)
        near = means - centre
        half = 0.5 * (near**2).sum(axis=1)
        hits = self._hits.copy()
        for start in range(0, len(features), BLOCK):
            rows = features[start : start + BLOCK].astype(np.float64)
            decided = (rows @ weights.T).argmax(axis=1)
            nearest = there[((rows - centre) @ near.T - half).argmax(axis=1)]
            agreeing = labels[start : start + BLOCK][decided == nearest]
            hits += np.bincount(agreeing, minlength=self.n_classes)
        counts = self._counts + np.bincount(labels, minlength=self.n_classes)
        # Ctrl-C comes between calls: both, or neither.
        self._hits, self._counts = hits, counts
        return _Sums(self)

    def _totals(self) -> Any:
        return self._hits.copy()


def _same(array: Any, other: Any) -> bool:
    if array.dtype != other.dtype:
        return False
    # The means of classes without rows are NaN.
    return np.array_equal(array, other) or (array.dtype.kind == "f" and np.array_equal(array, other, equal_nan=True))


class _Sums(Sequence[Any]):
    """``(ns_samples, totals)``, made when they are looked at: most loops do not."""

    def __init__(self, of: Accumulator) -> None:
        self._of = of

    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return tuple(self)[at]
        return (self._of.ns_samples, self._of.totals)[at]

    def __iter__(self) -> Iterator[Any]:
        return iter((self._of.ns_samples, self._of.totals))

    def __repr__(self) -> str:
        return repr(tuple(self))
