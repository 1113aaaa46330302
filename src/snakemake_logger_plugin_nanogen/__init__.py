"""Snakemake finds a logger plugin by the name of its package: ``snakemake --logger nanogen``."""

from nanogen.progress.handler import LogHandler

__all__ = ["LogHandler"]
