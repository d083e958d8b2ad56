"""The types of keyword arguments are the flags that there are."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import nckit
from nckit import _flags, _nckit
from nckit._words import known_flags


@pytest.mark.parametrize(
    ("command", "types", "function"),
    [
        ("measure", _flags.MeasureFlags, nckit.measure),
        ("finish", _flags.FinishFlags, nckit.finish),
        ("accumulate", _flags.AccumulateFlags, nckit.accumulate),
        ("inspect", _flags.InspectFlags, nckit.inspect),
    ],
)
def test_flags_have_types(command: str, types: Any, function: Callable[..., Any]) -> None:
    own = {name for name in inspect.signature(function).parameters} & set(known_flags(command))
    assert set(types.__annotations__) | own == set(known_flags(command))
    assert not set(types.__annotations__) & own


def test_what_is_public_is_explained() -> None:
    for name in nckit.__all__:
        thing = getattr(nckit, name)
        assert name == "__version__" or inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                if callable(value) and not member.startswith("_"):
                    assert inspect.getdoc(value), f"{name}.{member}"
    assert nckit.DataError.__module__ == "nckit"


def test_the_stub_names_what_the_compiled_module_has() -> None:
    # `flags` has one of its own for each command.
    assert {name for name in dir(_nckit) if not name.startswith("__")} - {"sql", "Arrow"} == {
        "Report", "Rows", "accumulate", "check_finish", "flags", "inspect", "metrics", "report", "run",
    }


def test_the_program_comes_along(program: Callable[..., str]) -> None:
    assert program("--version") == f"nckit {nckit.__version__}\n"
    run = subprocess.run([sys.executable, "-m", "nckit", "measure"], capture_output=True, text=True)
    assert run.returncode == 2 and "INPUT" in run.stderr


def test_importing_takes_neither_numpy_nor_torch() -> None:
    code = "import sys, nckit; print([m for m in ('numpy', 'torch', 'pyarrow', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
