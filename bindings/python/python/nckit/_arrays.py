"""Arrays and tensors of any kind become arrays of NumPy that the compiled module takes without a copy where it can."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from nckit._errors import DataError

#: What the compiled module takes as features.
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16))

#: The integers that it takes as labels.
_INT64, _UINT64 = np.iinfo(np.int64), np.iinfo(np.uint64)


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
    if isinstance(value, list | tuple) and any(torch_of(item) is not None for item in value):
        value = [to_numpy(item) for item in value]
    if isinstance(value, np.ndarray):
        array = value
    else:
        try:
            array = np.asarray(value) if _is_array_like(value) else np.from_dlpack(value)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise DataError(f"{type(value).__name__} cannot be read as an array: {error}") from error
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise DataError("the array has masked values")
    # Arrays of bfloat16 come from `ml_dtypes`.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else np.asarray(array)


def _is_array_like(value: Any) -> bool:
    return hasattr(value, "__array__") or not hasattr(value, "__dlpack__")


def features_of(value: Any, what: str = "features", shape: str = "rows × D") -> np.ndarray[Any, Any]:
    """Return rows × D of float16, float32 or float64 in C order, aligned. ``what`` and ``shape`` are for errors.

    Raises
    ------
    DataError
        If the value is not of two dimensions or does not hold floating-point numbers.
    """
    array = to_numpy(value)
    if array.ndim != 2:
        raise DataError(f"{what} are {shape}, and these have the shape {array.shape}")
    return _floats(array, what)


def _floats(array: np.ndarray[Any, Any], what: str) -> np.ndarray[Any, Any]:
    dtype = array.dtype.newbyteorder("=")
    if dtype not in _FLOATS:
        hint = ": convert them with astype('float32')" if dtype.kind in "iub" else ""
        raise DataError(f"{what} are float16, float32, float64 or bfloat16, and these are {array.dtype}{hint}")
    return np.require(array, dtype, ["C", "ALIGNED"])


def labels_of(value: Any, what: str = "labels") -> Any:
    """Return the class of each row, or what else errors call ``what``: an array of int64, uint64 or bool, or a list of texts.

    Raises
    ------
    DataError
        If the value is not of one dimension, or holds anything but integers, truth values or texts.
    """
    labels, nulls = labels_and_nulls(value, what)
    if nulls is not None:
        raise DataError(f"{what[:-1]} {int(np.argmax(nulls))} is null")
    return labels


def labels_and_nulls(value: Any, what: str = "labels") -> tuple[Any, Any]:
    """Return labels as ``labels_of`` does, and which rows have none; ``None`` if all have one.

    Rows without a label have any label here. NaN among floating-point numbers is none.
    """
    array, nulls = _array_and_nulls(value, what)
    if nulls is None or not nulls.any():
        return _Kind(what, None).labels(array), None
    rows = np.flatnonzero(~nulls)
    labels = _Kind(what, rows).labels(array[rows])
    if isinstance(labels, list):
        texts = [""] * len(nulls)
        for row, text in zip(rows.tolist(), labels, strict=True):
            texts[row] = text
        return texts, nulls
    numbers = np.zeros(len(nulls), labels.dtype)
    numbers[rows] = labels
    return numbers, nulls


def _array_and_nulls(value: Any, what: str) -> tuple[Any, Any]:
    """Return labels as an array of one dimension, and which of them are null."""
    array: Any
    if isinstance(value, list | tuple) and any(isinstance(item, str) or item is None for item in value):
        # NumPy would make texts of numbers among them.
        array = np.empty(len(value), dtype=object)
        array[:] = value
    elif isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        array = np.asarray(value.data).astype(object)
        array[np.ma.getmaskarray(value)] = None
    else:
        array = _with_nulls(value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{what} are one a row, and these have the shape {array.shape}")
    if array.dtype.kind == "O":
        return array, np.fromiter((_is_null(item) for item in array), dtype=bool, count=len(array))
    return array, np.isnan(array) if array.dtype.kind == "f" else None


def _is_null(item: Any) -> bool:
    return item is None or type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, Real) and item != item)


def _with_nulls(value: Any) -> np.ndarray[Any, Any]:
    """Return an array, of objects where values of pyarrow, polars or pandas have nulls: as floats they would lose digits."""
    mask = None
    for name in ("is_null", "isna"):
        method = getattr(value, name, None)
        if callable(method) and torch_of(value) is None:
            mask = np.asarray(method())
            break
    if mask is None or mask.ndim != 1 or not mask.any():
        return to_numpy(value)
    array = np.empty(len(mask), dtype=object)
    array[:] = value.to_pylist() if hasattr(value, "to_pylist") else list(value)
    array[mask] = None
    return array


class _Kind:
    """Makes labels of arrays of any kind; errors say which row they are about."""

    def __init__(self, what: str, rows: Any) -> None:
        self.what = what
        #: The numbers of the rows, if some were left out.
        self.rows = rows

    def labels(self, array: np.ndarray[Any, Any]) -> Any:
        kind = array.dtype.kind
        if kind == "u" and array.dtype.itemsize == 8:
            return np.require(array, np.uint64, ["C", "ALIGNED"])
        if kind in "iu":
            return np.require(array, np.int64, ["C", "ALIGNED"])
        if kind == "b":
            return np.require(array, np.bool_, ["C", "ALIGNED"])
        if kind in "UT":
            return self.texts(array.tolist())
        if kind == "O":
            return self.objects(array.tolist())
        if kind == "f":
            return self.whole(array.astype(np.float64))
        raise DataError(f"{self.what} are integers, truth values or texts, and these are {array.dtype}")

    def error(self, what: str, at: int, value: Any) -> DataError:
        row = at if self.rows is None else int(self.rows[at])
        return DataError(f"{self.what} are {what}: {self.what[:-1]} {row} is {value}")

    def texts(self, items: list[str]) -> list[str]:
        try:
            "".join(items).encode()
        except UnicodeEncodeError:
            at = next(at for at, item in enumerate(items) if not _is_unicode(item))
            raise self.error("texts of Unicode", at, ascii(items[at])) from None
        return items

    def objects(self, items: list[Any]) -> Any:
        if all(isinstance(item, str) for item in items):
            return self.texts([str(item) for item in items])
        if all(isinstance(item, bool | np.bool_) for item in items):
            return np.array(items, dtype=np.bool_)
        if all(isinstance(item, Integral) and not isinstance(item, bool) for item in items):
            return self.integers([int(item) for item in items])
        if all(isinstance(item, float | np.floating) for item in items):
            return self.whole(np.array(items, dtype=np.float64))
        at = next((at for at, item in enumerate(items) if not isinstance(item, type(items[0]))), 0)
        raise self.error("all integers, all truth values, or all texts", at, repr(items[at]))

    def integers(self, items: list[int]) -> Any:
        if not items:
            return np.zeros(0, dtype=np.int64)
        least, most = min(items), max(items)
        if least >= _INT64.min and most <= _INT64.max:
            return np.array(items, dtype=np.int64)
        if least >= 0 and most <= _UINT64.max:
            return np.array(items, dtype=np.uint64)
        wrong = least if least < 0 else most
        raise self.error("integers from 0 to 2⁶⁴ − 1", items.index(wrong), wrong)

    def whole(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        # Integers beyond 2^53 would not all be told apart.
        bad = ~((np.abs(array) <= 2.0**53) & (np.rint(array) == array))
        if bad.any():
            at = int(np.argmax(bad))
            raise self.error("whole numbers", at, array[at])
        return array.astype(np.int64)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def head_of(head: Any) -> tuple[Any, Any]:
    """Return weights and bias of a head in memory: an array, a pair of arrays, or what has a ``weight`` and a ``bias``."""
    if hasattr(head, "weight") and hasattr(head, "bias"):
        weights, bias = head.weight, head.bias
    elif isinstance(head, Mapping) and "weight" in head:
        weights, bias = head["weight"], head.get("bias")
    elif isinstance(head, tuple | list) and len(head) == 2 and np.ndim(_first(head)) == 2:
        weights, bias = head
    else:
        weights, bias = head, None
    weights = features_of(weights, "weights", "classes × D")
    if bias is not None:
        vector = to_numpy(bias)
        if vector.ndim != 1:
            raise DataError(f"a bias has one number a class, and this has the shape {vector.shape}")
        bias = _floats(vector, "biases")
    return weights, bias


def _first(pair: Any) -> Any:
    """Return the first of two; in a list of two rows it is one of them."""
    return to_numpy(pair[0])
