"""Arrays in, float64 inside, the same kind out."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nckit._arrays import to_numpy, torch_of
from nckit._errors import DataError, UsageError

Array = np.ndarray[Any, np.dtype[np.float64]]


def wide(value: Any, name: str, ndim: int) -> Array:
    """Return a value as float64.

    Raises
    ------
    DataError
        If it has another number of dimensions, or a number is not finite, with its place.
    """
    array = np.asarray(to_numpy(value), dtype=np.float64)
    if array.ndim != ndim:
        raise DataError(f"{name} has {ndim} dimensions, and this has the shape {array.shape}")
    if not np.isfinite(array).all():
        at = int(np.argwhere(~np.isfinite(array))[0][0])
        reason = ": classes without rows have no mean, leave them out" if name == "M" else ""
        raise DataError(f"{name} is not finite in row {at}{reason}")
    return array


def centred(means: Any, centre: Any, name: str = "M") -> Array:
    """Return class means, K × D, less the global mean: D numbers, or 0."""
    rows = wide(means, name, 2)
    if isinstance(centre, int | float) and centre == 0:
        return rows
    point = wide(centre, "m_G", 1)
    if point.shape[0] != rows.shape[1]:
        raise DataError(f"m_G has {point.shape[0]} dimensions, and {name} has {rows.shape[1]}")
    return rows - point


def several(rows: Array, what: str) -> None:
    """Fail unless there are two classes at least."""
    if len(rows) < 2:
        raise DataError(f"{what} needs two classes at least, and there is {len(rows)}")


def like(array: Any, *sources: Any) -> Any:
    """Return an array as the kind of the first source that is a tensor of torch, on its device; else as it is."""
    for source in sources:
        torch = torch_of(source)
        if torch is not None:
            return torch.from_numpy(np.ascontiguousarray(array)).to(source.device)
    return array


def tensor_or_array(array: Any, torch_used: bool, dtype: Any = None, device: Any = None) -> Any:
    """Return an array, or a tensor where rows came as tensors."""
    torch = sys.modules.get("torch")
    if not torch_used or torch is None:
        as_it_is = dtype is None or _of_torch(dtype) or array.dtype.kind != "f"
        return array if as_it_is else np.asarray(array, dtype=dtype)
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if dtype is not None and _of_torch(dtype) and tensor.is_floating_point():
        tensor = tensor.to(dtype)
    return tensor.to(device) if device is not None else tensor


def _of_torch(dtype: Any) -> bool:
    return type(dtype).__module__.partition(".")[0] == "torch"


def chosen_classes(idxs: Any, classes: int) -> Any:
    """Return class indices from indices or a mask, of any shape."""
    array = np.atleast_1d(to_numpy(idxs)).ravel()
    if array.dtype == np.bool_:
        if len(array) != classes:
            raise UsageError(f"a mask has one truth value a class: {classes}, and this has {len(array)}")
        return np.flatnonzero(array)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise UsageError(f"classes are chosen by indices, and these are {array.dtype}")
    wrong = np.flatnonzero((array < 0) | (array >= classes))
    if wrong.size:
        raise UsageError(f"there is no class {array[wrong[0]]}: there are {classes}, from 0")
    return array.astype(np.int64)
