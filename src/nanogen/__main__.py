"""`python -m nanogen` is the same program as `nanogen`."""

import gc
import os
import sys

from nanogen.cli import main
from nanogen.devices import take
from nanogen.ending import run_and_end
from nanogen.errors import UserError
from nanogen.fork_client import SOCKET, run_forked

# New objects after which Python collects garbage, instead of 700: imports make none, and
# looking takes a tenth of the time that torch and the libraries of networks need.
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
