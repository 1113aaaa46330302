"""What each stage of the graph depends on, and the hash that identifies it.

A stage's dictionary holds the keys that change its result and the hashes of its inputs, and nothing
else. Its hash is stored in every output, checked in every input, and compared by Snakemake to decide
what to run again. A developer who changes a stage's results raises its number in ``VERSIONS``.
"""

from __future__ import annotations

from nanogen.config.stages.base import VERSIONS, Stage
from nanogen.config.stages.preparation import (
    CLASSES,
    data,
    drawn_texts,
    inputs,
    latents,
    model,
    prompts,
    task_data,
    text,
    vision,
)
from nanogen.config.stages.real_images import extractors, reference, reference_splits
from nanogen.config.stages.reconstructions import (
    reconstructed_task,
    reconstruction,
    reconstruction_networks,
    tokenizers,
)
from nanogen.config.stages.runs import distribution, features, guidance, sample
from nanogen.config.stages.scores import measuring, metric, metrics_of, networks
from nanogen.config.stages.text_to_image import (
    answering,
    caption_reference,
    geneval,
    image_text,
    online,
    question_scores,
    questions,
    simpleeval,
)
from nanogen.config.stages.training import train, trained_model

__all__ = [
    "CLASSES",
    "VERSIONS",
    "Stage",
    "answering",
    "caption_reference",
    "data",
    "distribution",
    "drawn_texts",
    "extractors",
    "features",
    "geneval",
    "guidance",
    "image_text",
    "inputs",
    "latents",
    "measuring",
    "metric",
    "metrics_of",
    "model",
    "networks",
    "online",
    "prompts",
    "question_scores",
    "questions",
    "reconstructed_task",
    "reconstruction",
    "reconstruction_networks",
    "reference",
    "reference_splits",
    "sample",
    "simpleeval",
    "task_data",
    "text",
    "tokenizers",
    "train",
    "trained_model",
    "vision",
]
