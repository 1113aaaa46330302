"""`python -m nanogen` is the same program as `nanogen`."""

import gc
import os
import sys

from nanogen.cli import main
from nanogen.devices import take
from nanogen.ending import run_and_end
from nanogen.errors import UserError
from nanogen.fork_client import SOCKET, run_forked

# Allocations before a garbage collection, instead of 700. Imports create no garbage, but collecting it
# would take a tenth of the time that importing torch and the libraries of networks takes.
OBJECTS = 10_000


def program() -> None:
    try:
        take(sys.argv[1:])
    except UserError as error:
        sys.stderr.write(f"nanogen: {error}\n")
        sys.exit(2)
    if SOCKET in os.environ:
        run_forked(sys.argv[1:])
    run()


def run() -> None:
    gc.set_threshold(OBJECTS)
    run_and_end(main)


if __name__ == "__main__":
    program()
