"""Logger plugin for ``snakemake --logger nanogen``; Snakemake finds it by the name of the package.

Snakemake imports every plugin before it reads the Snakefile, which adds this repository's ``src`` to the
import path. Modules of ``nanogen`` are therefore imported only inside functions, once a run has begun.
"""

from snakemake_logger_plugin_nanogen.handler import LogHandler

__all__ = ["LogHandler"]
