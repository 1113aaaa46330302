"""A local stand-in for the Hugging Face Hub, with small files laid out as in the authors' repositories.

It serves to rehearse a study of released models: files are downloaded, checked and imported under the
real names and in the real formats. Their networks are those of the study, which are small, with random
weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from nanogen.backbones import build
from nanogen.config import Study, load_model, stages, variants
from nanogen.config.load import trained_run
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError
from nanogen.files import atomic_path
from nanogen.interop.released import state_to_release
from nanogen.interop.released_decoder import to_released_decoder
from nanogen.models.initialisation import seeded
from nanogen.prompts.prompts import dpg_prompts, geneval_prompts
from nanogen.prompts.stage import PromptsStage
from nanogen.tokenizers.vit_decoder import build as build_decoder

GENAI = ["A dog looks at an empty cup.", "Three cups, none of which is red."]


def write_repositories(study: Study, folder: Path) -> None:
    """Write every file that ``study`` downloads for its released models, validation images and prompts.

    Files are ``folder/OWNER/NAME/...``, named as in the repositories. Raises UserError if the study has
    no released models.
    """
    if study.released is None:
        raise UserError(
            f"study {study.study} has no key 'released', so it downloads no released models; choose one "
            "that has it, such as released"
        )
    place = folder / study.released.repo
    for task in study.tasks:
        for method in study.methods:
            for weights in variants.trainings(trained_run(study, method, task)):
                _write_checkpoint(stages.trained_model(study, method, task, weights), place)
    resolution = stages.task_data(study, study.tasks[0]).resolution
    for name in stages.tokenizers(study):
        if name in study.released.tokenizers:
            _write_rae(study, name, resolution, place)
    _write_validation_images(study, folder)
    if "t2i" in study.tasks:
        write_prompt_rows(study, folder)


def _write_checkpoint(stage: dict[str, Any], place: Path) -> None:
    with seeded(0, "stand-in", stage["hash"]):
        model = build(TrainStage.from_json(stage))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
    released = state_to_release(model)
    _save({"step": 2, "epoch": 0, "model": released, "ema": released}, place / stage["released"]["file"])


def _write_rae(study: Study, name: str, resolution: int, place: Path) -> None:
    model = load_model(study, name)
    assert model.released is not None
    with seeded(0, "stand-in", name):
        decoder = build_decoder(model, resolution)
    _save(to_released_decoder(decoder.state_dict()), place / model.released.decoder)
    _save({"mean": None, "var": torch.ones(model.latent_shape)}, place / model.released.statistics)


def _write_validation_images(study: Study, folder: Path) -> None:
    for task in study.tasks:
        data = stages.task_data(study, task)
        if data.source == "array" and data.file and data.hub:
            shape = (data.val_images, data.resolution, data.resolution, 3)
            path = folder / data.hub[0].partition("@")[0] / data.file
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, arr_0=np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def write_prompt_rows(study: Study, folder: Path) -> None:
    """Write the data sets of prompts, one row per image, in Arrow's streaming format."""
    import pyarrow as pa
    from pyarrow import ipc

    stage = PromptsStage.from_json(stages.prompts(study))
    each = trained_run(study, study.methods[0], "t2i").evaluation.images_per_prompt
    texts = {
        "geneval": [prompt["prompt"] for prompt in geneval_prompts(stage, folder)],
        "dpg": [prompt["prompt"] for prompt in dpg_prompts(stage, folder)],
        "genai": GENAI,
    }
    for benchmark, pinned in stage.rows.items():
        path = folder / pinned.partition("@")[0] / "val" / "data-00000-of-00001.arrow"
        rows = [text for text in texts[benchmark] for _ in range(each)]
        table = pa.table({"text": rows})
        with atomic_path(path) as temporary, ipc.new_stream(str(temporary), table.schema) as stream:
            stream.write_table(table)


def _save(content: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
