"""Adds a copy of config/ to the package when a wheel is built; all metadata is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfiguration(build_py):
    """``build_py``, then config/ as nanogen/configuration. A checkout reads config/ itself."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "nanogen", "configuration")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(Path(__file__).parent / "config", target)


setup(cmdclass={"build_py": BuildWithConfiguration})
