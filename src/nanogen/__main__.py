"""`python -m nanogen` is the same program as `nanogen`."""

from nanogen.cli import main
from nanogen.ending import run_and_end


def program() -> None:
    run_and_end(main)


if __name__ == "__main__":
    program()
