"""Snakemake finds a logger plugin by the name of its package: ``snakemake --logger nanogen``.

Snakemake imports every plugin before it reads the Snakefile, which says where this repository's program
lies. So nothing of ``nanogen`` is imported here but inside functions, once a run has begun.
"""

from snakemake_logger_plugin_nanogen.handler import LogHandler

__all__ = ["LogHandler"]
