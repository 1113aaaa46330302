"""Licences and sizes of what the hub offers, from config/licences.yaml; its pages are authoritative."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from nanogen.config import encoder_registry
from nanogen.config.yaml_files import CONFIG, read_yaml

UNKNOWN = "not known here"


@dataclass(frozen=True)
class DataSet:
    """A data set on the hub.

    Attributes:
        licence: its licence or terms.
        gated: whether its terms must be accepted, and HF_TOKEN set.
        kb: typical kilobytes of an image file; 0 if unknown.
        arrow: whether its images are in uncompressed Arrow files, where they can stay.
    """

    licence: str = UNKNOWN
    gated: bool = False
    kb: float = 0.0
    arrow: bool = False


@cache
def networks() -> dict[str, str]:
    """Return the licence of every known network by its repository."""
    return {**encoder_registry.licences(), **read_yaml(CONFIG / "licences.yaml")["networks"]}


@cache
def _data_sets() -> dict[str, DataSet]:
    known = read_yaml(CONFIG / "licences.yaml")["data"]
    return {repo: DataSet(**about) for repo, about in known.items()}


def network(repo: str) -> str:
    """Return the licence of a network."""
    return networks().get(repo, UNKNOWN)


def data_set(pinned: str) -> DataSet:
    """Return what is known of ``owner/name`` or ``owner/name@revision``."""
    return _data_sets().get(pinned.partition("@")[0], DataSet())
