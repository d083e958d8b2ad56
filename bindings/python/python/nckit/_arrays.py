"""Arrays and tensors of any kind become arrays of NumPy that the compiled module takes without a copy where it can."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nckit._errors import DataError

#: What the compiled module takes as features.
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16))


def torch_of(value: Any) -> Any:
    """Return the module ``torch`` if the value is a tensor of it, else ``None``."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(value, torch.Tensor) else None


def to_numpy(value: Any) -> np.ndarray[Any, Any]:
    """Return an array of NumPy, without a copy where the value lies in the memory of this process.

    A tensor of torch may require gradients, lie on a GPU, or hold bfloat16, which becomes float32 exactly.
    """
    torch = torch_of(value)
    if torch is not None:
        tensor = value.detach()
        if tensor.is_sparse or tensor.is_quantized:
            raise DataError("expected a dense tensor of numbers")
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.to(torch.float32)
        return np.asarray(tensor.cpu().resolve_conj().resolve_neg().numpy())
    if isinstance(value, np.ndarray):
        array = value
    elif hasattr(value, "__array__") or not hasattr(value, "__dlpack__"):
        array = np.asarray(value)
    else:
        array = np.from_dlpack(value)
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise DataError("the array has masked values")
    # Arrays of bfloat16 come from `ml_dtypes`.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else np.asarray(array)


def features_of(value: Any) -> np.ndarray[Any, Any]:
    """Return rows × D of float16, float32 or float64 in C order.

    Raises
    ------
    DataError
        If the value is not of two dimensions or does not hold floating-point numbers.
    """
    array = to_numpy(value)
    if array.ndim != 2:
        raise DataError(f"features are rows × D, and these have the shape {array.shape}")
    dtype = array.dtype.newbyteorder("=")
    if dtype not in _FLOATS:
        hint = ": convert them with astype('float32')" if dtype.kind in "iub" else ""
        raise DataError(f"features are float16, float32, float64 or bfloat16, and these are {array.dtype}{hint}")
    return np.ascontiguousarray(array, dtype=dtype)


def labels_of(value: Any, what: str = "labels") -> Any:
    """Return the class of each row, or what else errors call ``what``: an array of int64, uint64 or bool, or a list of texts.

    Raises
    ------
    DataError
        If the value is not of one dimension, or holds anything but integers, truth values or texts.
    """
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return list(value)
    array = to_numpy(value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{what} are one a row, and these have the shape {array.shape}")
    kind = array.dtype.kind
    if kind == "u" and array.dtype.itemsize == 8:
        return np.ascontiguousarray(array, dtype=np.uint64)
    if kind in "iu":
        return np.ascontiguousarray(array, dtype=np.int64)
    if kind == "b":
        return np.ascontiguousarray(array)
    if kind in "UT":
        return array.tolist()
    if kind == "O":
        return _objects(array, what)
    if kind == "f":
        return _whole(array, what)
    raise DataError(f"{what} are integers, truth values or texts, and these are {array.dtype}")


def _objects(array: np.ndarray[Any, Any], what: str) -> Any:
    items = array.tolist()
    if all(isinstance(item, str) for item in items):
        return items
    if all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        return labels_of(np.array(items), what) if items else np.zeros(0, dtype=np.int64)
    at = next((at for at, item in enumerate(items) if not isinstance(item, type(items[0]))), 0)
    raise DataError(f"{what} are all integers, or all texts: {what[:-1]} {at} is {items[at]!r}")


def _whole(array: np.ndarray[Any, Any], what: str) -> np.ndarray[Any, Any]:
    # Integers beyond 2^53 would not all be told apart.
    bad = ~((np.abs(array) <= 2.0**53) & (np.rint(array) == array))
    if bad.any():
        at = int(np.argmax(bad))
        raise DataError(f"{what} are whole numbers: {what[:-1]} {at} is {array[at]}")
    return array.astype(np.int64)


def head_of(head: Any) -> tuple[Any, Any]:
    """Return weights and bias of a head in memory: an array, a pair of arrays, or a layer with ``weight`` and ``bias``."""
    if hasattr(head, "weight") and hasattr(head, "bias"):
        weights, bias = head.weight, head.bias
    elif isinstance(head, tuple | list) and len(head) == 2:
        weights, bias = head
    else:
        weights, bias = head, None
    if bias is not None:
        vector = to_numpy(bias)
        if vector.ndim != 1:
            raise DataError(f"a bias has one number a class, and this has the shape {vector.shape}")
        bias = np.ascontiguousarray(features_of(vector[:, None])[:, 0])
    return features_of(weights), bias
