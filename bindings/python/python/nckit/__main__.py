"""The command line: ``nckit``, or ``python -m nckit``."""

import signal
import sys

from nckit import _nckit


def main() -> int:
    """Run the command line with the words of this process; return its exit code."""
    # The program has signal handlers of its own, which end a second Ctrl-C at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _nckit.run(["nckit", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
