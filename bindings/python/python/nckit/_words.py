"""Keyword arguments become the words of a command: one parser serves Python and the command line."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from nckit import _nckit
from nckit._errors import UsageError


@cache
def known_flags(command: str) -> dict[str, tuple[bool, bool, str]]:
    """Return the keyword arguments of a command: whether a value follows, whether it repeats, and what it does."""
    return {name.replace("-", "_"): (takes, repeats, text) for name, takes, repeats, text in _nckit.flags(command)}


def words(command: str, inputs: Iterable[str], flags: Mapping[str, Any]) -> list[str]:
    """Return the words of a command.

    Parameters
    ----------
    command : str
        ``"measure"``, ``"finish"``, ``"accumulate"`` or ``"inspect"``.
    inputs : iterable of str
        What it is about.
    flags : mapping
        ``None`` and ``False`` leave a flag out. Lists give it several times, and dictionaries as ``key=value``.

    Raises
    ------
    TypeError
        If the command has no such flag, with the nearest name.
    """
    known = known_flags(command)
    made = ["nckit", command]
    # Words that begin with a hyphen would be flags.
    made += [os.path.join(".", word) if word.startswith("-") else word for word in inputs]
    for name, value in flags.items():
        if name not in known:
            raise unexpected(command, name, known)
        takes_value, repeats, _ = known[name]
        flag = "--" + name.replace("_", "-")
        if not takes_value:
            if not isinstance(value, bool | None):
                raise TypeError(f"nckit.{command}: {name} is True or False, not {value!r}")
            made += [flag] if value else []
        elif value is not None and not (value is False and repeats):
            texts = list(_texts(value))
            made += [f"{flag}={text}" for text in (texts if repeats else [",".join(texts)])]
    return made


def unexpected(command: str, name: str, known: Iterable[str]) -> TypeError:
    """Return the error for an unknown keyword argument, with the nearest name."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else ""
    return TypeError(f"nckit.{command}() has no keyword argument {name!r}{hint}")


def paths(inputs: Any) -> list[str]:
    """Return one path or several as texts."""
    several = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if not several:
        raise UsageError("no input is given")
    if not all(isinstance(path, str | os.PathLike) for path in several):
        raise UsageError(f"expected paths, and this is {type(inputs).__name__}: measure and State take rows in memory")
    return [os.fspath(path) for path in several]


def is_path(value: Any) -> bool:
    """Whether a value is a path, or a list of paths."""
    if isinstance(value, str | os.PathLike):
        return True
    return isinstance(value, list | tuple | set) and all(isinstance(item, str | os.PathLike) for item in value)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            several = item if isinstance(item, list | tuple | set | range) else [item]
            yield from (f"{key}={_text(one)}" for one in several)
    elif isinstance(value, list | tuple | set | frozenset | range):
        yield from map(_text, value)
    else:
        yield _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    # Scalars of NumPy show themselves as such.
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"cannot pass {value!r} to nckit: expected text, a number, a path, or a list or dictionary of them")
