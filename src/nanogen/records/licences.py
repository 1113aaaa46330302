"""Licences of the installed packages, from the packages' metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata

UNKNOWN = "unknown"
CLASSIFIER = "License :: "


@dataclass(frozen=True, order=True)
class Package:
    name: str
    version: str
    licence: str


def packages() -> list[Package]:
    """Return every installed package, ordered by name."""
    found = {
        _normal(of.metadata["Name"]): Package(of.metadata["Name"], of.version, licence(of.metadata))
        for of in metadata.distributions()
        if of.metadata["Name"]
    }
    return sorted(found.values(), key=lambda package: package.name.lower())


def licence(of: metadata.PackageMetadata) -> str:
    """Return the licence in one line: the SPDX expression, the classifiers, or the text's first line."""
    if "License-Expression" in of:
        return of["License-Expression"]
    classified = [
        line.rpartition(" :: ")[2]
        for line in of.get_all("Classifier") or []
        if line.startswith(CLASSIFIER) and line != "License :: OSI Approved"
    ]
    text = of["License"].strip().splitlines() if "License" in of else []
    return ", ".join(classified) or (text[0][:60] if text else UNKNOWN)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
