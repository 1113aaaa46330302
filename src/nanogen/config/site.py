"""Checks that a cluster has what a profile names, before the first job is submitted.

Otherwise SLURM refuses every job, and Snakemake prints the whole command line each time.
"""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterable

from nanogen.errors import UserError, nearest

WHERE = "set it under default-resources of your profile, e.g. profiles/slurm/config.yaml"


def check_slurm(partitions: Iterable[str], accounts: Iterable[str]) -> None:
    """Raise UserError if this cluster lacks one of the names; an empty string means that none is given.

    A partition may be omitted if the cluster has a default one, an account always. Accounts are checked
    against those that this user may charge, if the cluster keeps accounts at all.
    """
    if not shutil.which("sinfo"):
        raise UserError(
            "SLURM's commands are not on this machine (sinfo is missing): "
            "start Snakemake where jobs are submitted, or leave out --profile slurm"
        )
    command = ["sinfo", "--all", "--noheader", "--format=%P"]  # all: hidden partitions, too
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise UserError(f"SLURM does not answer here: {answer.stderr.strip() or 'sinfo fails'}")
    for name in sorted(set(partitions)):
        _check_partition(name, answer.stdout.split())
    charged = {line.lower() for line in _accounts()}
    for name in sorted(set(accounts)):
        if name and charged and name.lower() not in charged:
            raise UserError(
                f"slurm_account {name!r} is not an account that you may charge"
                f"{nearest(name, charged)}; {WHERE}"
            )


def _check_partition(name: str, listed: list[str]) -> None:
    """``listed`` are the partitions as sinfo prints them, the default one with an asterisk."""
    known = [line.rstrip("*") for line in listed]
    if not name and not any(line.endswith("*") for line in listed):
        raise UserError(
            f"the profile names no slurm_partition and this cluster has no default: {WHERE}; "
            f"here are: {', '.join(known)}"
        )
    unknown = [part for part in name.split(",") if name and part not in known]
    if unknown:
        hint = nearest(unknown[0], known)
        raise UserError(f"this cluster has no partition {unknown[0]!r}{hint}; {WHERE}")


def _accounts() -> list[str]:
    """Accounts that this user may charge; empty if the cluster keeps none."""
    if not shutil.which("sacctmgr"):
        return []
    words = ["sacctmgr", "-n", "-s", "list", "user", getpass.getuser(), "format=account%256"]
    answer = subprocess.run(words, capture_output=True, text=True)
    return answer.stdout.split() if answer.returncode == 0 else []
