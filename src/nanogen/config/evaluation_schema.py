"""The section ``evaluation`` of a run: which images are drawn, and how they are measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanogen.config.section import Section, added


class SimpleEval(Section):
    """SimpleEval: many prompts from a grammar, one image each, compared with texts by a weak scorer."""

    prompts: int = Field(
        ge=6,
        multiple_of=3,
        description="number of prompts, a third from each level; more prompts narrow the interval",
    )
    vocabulary: Literal["scenes", "objects"] = Field(
        description="what the prompts describe: the drawn shapes, or everyday objects"
    )
    scorer: str = Field(description="network that compares images with texts, a file in config/models")


class Rows(Section):
    """Data sets on the hub with one row per image: a prompt is drawn as often as it occurs there."""

    geneval: str | None = Field(None, description="GenEval's prompts, owner/name or owner/name@revision")
    dpg: str | None = Field(
        None, description="DPG-Bench's own prompts; `questions` names the file of their questions"
    )
    genai: str | None = Field(None, description="GenAI-Bench's prompts")


class CaptionSets(Section):
    """Sets of captions with an image each, on which the FID of text-to-image models is measured."""

    coco: str | None = Field(
        None,
        description="captions and images of COCO 2014's validation set: a folder, or a data set on the "
        "hub, owner/name or owner/name@revision; none: not measured",
    )
    mjhq: str | None = Field(
        None, description="MJHQ-30K, likewise: a folder, or playgroundai/MJHQ-30K; none: not measured"
    )
    prompts: int = Field(30000, gt=0, description="number of captions drawn from a set, one image each")

    @property
    def given(self) -> dict[str, str]:
        """Source of each set that is measured."""
        named = {"coco": self.coco, "mjhq": self.mjhq}
        return {name: source for name, source in named.items() if source}


class Evaluation(Section):
    """How many images are drawn, and how they are measured."""

    images: int = Field(gt=0, description="images per sample set, equally many per class")
    untrained_images: int = Field(gt=0, description="images of the untrained model, for reference")
    unguided: bool = Field(
        True, description="class-conditional: draw and score samples without guidance, too"
    )
    images_per_prompt: int = Field(4, gt=0, description="t2i: images drawn per prompt")
    extractors: list[str] = Field(
        min_length=1, description="files in config/models; the first measures FID and IS"
    )
    real_images: Literal["train", "val"] = Field(
        "train",
        description="real images that MIND, precision and recall compare with; val: the validation "
        "images, as in the authors' evaluation",
    )
    classifier: str | None = Field(
        None,
        description="class accuracy: the extractor whose top class counts; no model may be trained with "
        "it; none: not measured",
    )
    perceptual: str | None = Field(
        None, description="LPIPS of reconstructions, a file in config/models; none: not measured"
    )
    detector: str | None = Field(None, description="GenEval's detector, a file in config/models")
    geneval_headline: Literal["tags", "images"] = Field(
        "tags",
        description="GenEval's score; tags: mean over tags of the share of correct images, as GenEval "
        "defines it; images: share of correct images, as the authors' trainer reports it",
    )
    prompts: str | None = Field(
        None, description="t2i: 'scenes', 'classes', a file in config/prompts or a GenEval JSON file"
    )
    dpg: str | None = Field(None, description="DPG-Bench's VQA model, a file in config/models")
    genai: str | None = Field(None, description="GenAI-Bench's VQA model, a file in config/models")
    questions: str = Field(
        "prompts",
        description="DPG-Bench's questions: 'prompts', made from GenEval's prompts, or its own CSV of "
        "prompts and questions",
    )
    questions_skip_first: bool = Field(
        True, description="leave out the CSV's first question, as DPG-Bench's own reader does"
    )
    genai_prompts: str | None = Field(
        None, description="GenAI-Bench's own prompts, .json or .txt; none: it is measured on GenEval's"
    )
    rows: Rows = added(
        Rows(),
        introduced={"geneval": None, "dpg": None, "genai": None},
        description="t2i: data sets on the hub that list which prompts are drawn and how often; none: "
        "every prompt `images_per_prompt` times, GenAI-Bench's once",
    )
    simpleeval: SimpleEval | None = Field(
        None, description="t2i: SimpleEval's prompts and scorer; none: it is not measured"
    )
    clipscore: str | None = added(
        None, description="t2i: CLIPScore's network, a CLIPModel in config/models; none: not measured"
    )
    captions: CaptionSets = added(
        CaptionSets(),
        introduced={"coco": None, "mjhq": None, "prompts": 30000},
        description="t2i: FID on captions, with the first of `extractors`",
    )
    mind_directions: int = Field(1000, gt=0, description="random projections that MIND averages over")
