"""`nanogen push`: upload a trained model with its scores to the Hugging Face hub."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nanogen.cli.common import run_arguments
from nanogen.cli.study import given_argument, read_study

if TYPE_CHECKING:
    from nanogen.publication.package import Content


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: nanogen push --study nano --method jit --task imagenet --repo OWNER/NAME --dry-run; "
        "the token is read from the environment variable HF_TOKEN"
    )
    run_arguments(parser)
    given_argument(parser)
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="repository on the hub")
    parser.add_argument(
        "--license",
        metavar="ID",
        help="licence of the model, as the hub spells it (default: apache-2.0 for drawn scenes, where "
        "every network is the study's own)",
    )
    parser.add_argument(
        "--create", action="store_true", help="create the repository (private) if it does not exist"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be uploaded; needs no token"
    )


def run(args: argparse.Namespace) -> None:
    from nanogen.interop.upload import upload
    from nanogen.publication.model_card import model_card
    from nanogen.publication.package import README, package

    found = package(read_study(args.study, args.given), args.method, args.task)
    card = model_card(found, args.repo, args.license)
    files = {README: card.encode(), **found.files()}
    if args.dry_run:
        _show(files, card, args.repo)
        return
    about = f"{args.method} on {args.task} of study {found.study.study}, {found.stage.hash}"
    print(upload(args.repo, files, about, args.create))


def _show(files: dict[str, Content], card: str, repository: str) -> None:
    from nanogen.text import human

    sizes = {
        name: len(content) if isinstance(content, bytes) else content.stat().st_size
        for name, content in files.items()
    }
    width = max(map(len, sizes))
    for name, size in sizes.items():
        print(f"{name:<{width}}  {human(size):>9}")
    print(f"{len(sizes)} files, {human(sum(sizes.values()))}, for {repository}; nothing was uploaded")
    print(f"\n{card}", end="")
