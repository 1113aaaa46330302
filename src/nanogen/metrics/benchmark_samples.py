"""The part of a text-to-image sample set that belongs to one benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nanogen.data import hdf5
from nanogen.data.content import of_sample_set
from nanogen.errors import UserError
from nanogen.files import check_label, read_json
from nanogen.prompts.files import of_benchmark

SAMPLES = ("samples", 1)  # format and version


class BenchmarkSamples:
    """The images of a text-to-image sample set that belong to one benchmark.

    It is the first one in ``benchmarks`` that has prompts in ``prompts_file``.

    Attributes:
        benchmark: the benchmark's name.
        prompts: its prompts, in order.
        images: uint8 (N, H, W, 3); memory-mapped if they are contiguous in the file.
        of_image: index into ``prompts`` for each image, int64 (N,).
        about: method, task, variant and identity of the sample set.

    Raises UserError if a file is missing, damaged or made with another configuration, or if it has no
    prompts of these benchmarks.
    """

    def __init__(self, expects: Mapping[str, str], samples: Path, prompts_file: Path, *benchmarks: str):
        content = read_json(prompts_file)
        check_label(content, prompts_file, "prompts", 1, expects["prompts"])
        every = content["prompts"]
        with hdf5.opened(samples, *SAMPLES, expects["samples"]) as file:
            images, of_image = hdf5.memmap(file, "images"), file["labels"][:]
            self.about = {key: str(file.attrs[key]) for key in ("method", "task", "variant")}
        self.about["sample_set"] = of_sample_set(samples)
        if wrong := of_image[(of_image < 0) | (of_image >= len(every))].tolist():
            raise UserError(
                f"{samples}: an image belongs to prompt {wrong[0]}, but {prompts_file} has "
                f"{len(every)} prompts; make the samples again"
            )
        found = {name: places for name in benchmarks if (places := of_benchmark(every, name))}
        if not found:
            raise UserError(f"{prompts_file} has no prompts of {benchmarks[0]}; make it again")
        self.benchmark, chosen = next(iter(found.items()))
        place = np.full(len(every), -1)
        place[chosen] = np.arange(len(chosen))
        kept = place[of_image] >= 0
        self.prompts = [every[i] for i in chosen]
        rows = np.flatnonzero(kept)
        together = len(rows) > 0 and rows[-1] - rows[0] + 1 == len(rows)
        self.images = images[rows[0] : rows[-1] + 1] if together else images[kept]
        self.of_image = place[of_image][kept]
