"""`nanogen stand-in`: run a command against a local stand-in for the hub with tiny models."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", required=True, help="study whose released models the stand-in offers")
    parser.add_argument("--folder", type=Path, required=True, help="folder to write its files to")
    parser.add_argument("command", nargs="+", metavar="-- COMMAND", help="command to run meanwhile")


def run(args: argparse.Namespace) -> None:
    import os
    import subprocess
    import sys

    from nanogen.config import load_study
    from nanogen.interop.local_hub import serving
    from nanogen.interop.stand_in import write_repositories

    write_repositories(load_study(args.study), args.folder)
    with serving(args.folder) as address:
        hub = {"HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
        ended = subprocess.run(args.command, env={**os.environ, **hub}, check=False)
    if ended.returncode:
        sys.exit(ended.returncode)
