"""`python -m nanogen` is the same program as `nanogen`.

The other modules are imported after `end_at_once`: Ctrl-C during the imports leaves no traceback.
"""

import gc
import os
import sys

from nanogen.interrupts import end_at_once

# Allocations before a garbage collection, instead of 700. Imports create no garbage, but collecting it
# would take a tenth of the time that importing torch and the libraries of networks takes, and 2 % of a
# small network's training.
OBJECTS = 10_000


def collect_less_garbage() -> None:
    gc.set_threshold(OBJECTS)


def program() -> None:
    end_at_once()
    from nanogen.devices import take
    from nanogen.errors import UserError
    from nanogen.fork_client import SOCKET, run_forked

    try:
        take(sys.argv[1:])
    except UserError as error:
        sys.stderr.write(f"nanogen: {error}\n")
        sys.exit(2)
    if SOCKET in os.environ:
        run_forked(sys.argv[1:])
    run()


def run() -> None:
    """Run the command that ``sys.argv`` names, and end the process with its exit code."""
    collect_less_garbage()
    from nanogen.cli import main
    from nanogen.ending import run_and_end

    run_and_end(main)


if __name__ == "__main__":
    program()
