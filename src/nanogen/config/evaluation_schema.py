"""The section ``evaluation`` of a run: what is drawn of it, and what that is measured with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanogen.config.section import Section, added


class SimpleEval(Section):
    """SimpleEval: many prompts of a grammar, one image each, compared with texts by a weak scorer."""

    prompts: int = Field(
        ge=6, multiple_of=3, description="prompts drawn, a third of each level; more narrow the interval"
    )
    vocabulary: Literal["scenes", "objects"] = Field(
        description="what is asked for: the drawn shapes, or everyday objects"
    )
    scorer: str = Field(description="who compares, a file in config/models")


class Rows(Section):
    """Data sets on the hub with a row for each image: a prompt is drawn as often as it stands there."""

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
    prompts: int = Field(30000, gt=0, description="captions of a set that are drawn, an image each")

    @property
    def given(self) -> dict[str, str]:
        """Set -> where it lies, of those that are measured."""
        named = {"coco": self.coco, "mjhq": self.mjhq}
        return {name: source for name, source in named.items() if source}


class Evaluation(Section):
    """How much is drawn and what it is measured with."""

    images: int = Field(gt=0, description="images per sample set, classes in equal parts")
    untrained_images: int = Field(gt=0, description="images of the untrained model, for reference")
    unguided: bool = Field(
        True, description="class-conditional: draw and score samples without guidance, too"
    )
    images_per_prompt: int = Field(4, gt=0, description="t2i: images drawn for every prompt")
    extractors: list[str] = Field(description="files in config/models, first: FID and IS")
    real_images: Literal["train", "val"] = Field(
        "train",
        description="whose features MIND, precision and recall compare with; val: the validation "
        "images, as the authors' evaluation does",
    )
    classifier: str | None = Field(
        None,
        description="class accuracy: the extractor whose top class counts, one that no model is trained "
        "with; none: not measured",
    )
    perceptual: str | None = Field(
        None, description="LPIPS of reconstructions, a file in config/models; none: not measured"
    )
    detector: str | None = Field(None, description="GenEval's detector, a file in config/models")
    geneval_headline: Literal["tags", "images"] = Field(
        "tags",
        description="GenEval's score; tags: mean over tags of the share of correct images, its own; "
        "images: share of correct images, as the authors' trainer reports",
    )
    prompts: str | None = Field(
        None, description="t2i: 'scenes', 'classes', a file in config/prompts or a GenEval JSON file"
    )
    dpg: str | None = Field(None, description="DPG-Bench's VQA model, a file in config/models")
    genai: str | None = Field(None, description="GenAI-Bench's VQA model, a file in config/models")
    questions: str = Field(
        "prompts",
        description="DPG-Bench's: 'prompts', made of GenEval's, or its own CSV, prompts and questions",
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
        description="t2i: which prompts are drawn and how often, as data sets on the hub have them; "
        "none: every prompt, `images_per_prompt` times, GenAI-Bench's once",
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
        description="t2i: FID on captions, by the first of `extractors`",
    )
    mind_directions: int = Field(1000, description="random projections that MIND averages over")
