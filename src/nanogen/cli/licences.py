"""`nanogen licences`: every installed package with its version and licence."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Read from the metadata of the packages, without network access."


def run(args: argparse.Namespace) -> None:
    from nanogen.records.licences import packages
    from nanogen.text import one_line

    found = packages()
    width = max(len(package.name) for package in found)
    for package in found:
        print(f"{package.name:<{width}}  {package.version:<14}  {one_line(package.licence)}")
