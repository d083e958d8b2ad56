"""Exceptions: the class says whose fault it is, and every one carries text, facts and advice."""

from __future__ import annotations

from collections.abc import Iterable


class Error(Exception):
    """What went wrong, with the same text as on the command line.

    Attributes
    ----------
    message : str
        One sentence, without facts.
    facts : dict of str to str
        What locates the error: ``file``, ``row group``, ``row``, ``column``, ``class``, ``detail``, …
    help : str or None
        What mends it. Flags of the command line are keyword arguments of the same names.
    """

    message: str = ""
    help: str | None = None

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.facts: dict[str, str] = {}

    def __str__(self) -> str:
        # `OSError` and `KeyError` would show their arguments in ways of their own.
        return str(self.args[0]) if self.args else ""


class UsageError(Error, ValueError):
    """The request contradicts itself or the data that it names."""


class DataError(Error, ValueError):
    """The data are not what they claim or need to be: damaged, not finite, of the wrong shape."""


class MissingError(Error, FileNotFoundError):
    """What was asked for is not there: no file, no row."""


class OutputError(Error, OSError):
    """The output cannot be created."""


class IoError(Error, OSError):
    """The operating system failed in reading or writing."""


class ResourceError(Error, MemoryError):
    """There is not enough memory, or somebody else holds a lock: it may work later."""


class PackageError(Error, ImportError):
    """A Python package that this needs is not installed."""


class InternalError(Error, RuntimeError):
    """A bug in nckit."""


class RemarkWarning(UserWarning):
    """What the command line says as a warning: a choice or a doubt that may change how numbers are read."""


def make(kind: str, text: str, message: str, facts: Iterable[tuple[str, str]], advice: str | None) -> Error:
    """Make the exception of this class; the compiled module calls this."""
    error: Error = globals()[kind](text)
    error.message = message
    for name, value in facts:
        # A group has one fact for each of its keys.
        error.facts[name] = f"{error.facts[name]}, {value}" if name in error.facts else value
    error.help = advice
    return error
