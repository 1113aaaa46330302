"""The stages ``prompts`` and ``questions`` as typed values, for the code that writes their files.

`nanogen.config.stages`, which is in a higher layer, writes the stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


@dataclass(frozen=True)
class NamedList:
    """Prompts or questions named by the key ``evaluation.<key>``.

    Attributes:
        name: a file in config/prompts, the path of a file, or the name of generated prompts.
        address: where a downloaded file comes from (`nanogen.remote_file.fetch_file`); None for others.
    """

    key: str
    name: str | None
    address: Mapping[str, Any] | None

    @classmethod
    def from_json(cls, key: str, content: Mapping[str, Any] | None) -> NamedList | None:
        return None if content is None else cls(key, content[key], content.get("file"))

    def path(self, folder: Path) -> Path:
        """Return the file; a downloaded one is in ``folder``. Raises UserError like `fetch_file`."""
        if self.address is None:
            return Path(str(self.name))
        from nanogen.remote_file import fetch_file

        return fetch_file(self.address, folder, f"give its path as evaluation.{self.key}")


class SimplePrompts(NamedTuple):
    """SimpleEval's prompts: their number and their vocabulary."""

    prompts: int
    vocabulary: str


@dataclass(frozen=True, kw_only=True)
class PromptsStage:
    """The prompts of the text-to-image evaluation.

    Attributes:
        geneval: GenEval's prompts, or a study's own in the same form.
        root, caption_template: keys of the data set, for prompts made from its classes.
        classes: names of the classes in a user's folder of photographs; None for other data.
        simpleeval: None if it is not measured.
        dpg, genai: lists of DPG-Bench's and GenAI-Bench's own prompts; None if there is none.
        rows: by benchmark, the data set on the hub (``owner/name@revision``) that has a row for each
            image of its prompts; without one, the study sets the number of images per prompt.
        captions: by set, where its captions are (``source``) and how many are drawn (``prompts``).
    """

    hash: str
    seed: int
    geneval: NamedList
    root: str | None
    caption_template: str | None
    simpleeval: SimplePrompts | None
    dpg: NamedList | None
    genai: NamedList | None
    classes: Sequence[str] | None = None
    rows: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PromptsStage:
        """Read a stage, which may have been written by an older version."""
        simple, data = content.get("simpleeval"), content["data"]
        return cls(
            hash=content["hash"],
            seed=content["seed"],
            geneval=NamedList("prompts", content["prompts"], content.get("file")),
            root=data.get("root"),
            caption_template=data.get("caption_template"),
            simpleeval=SimplePrompts(simple["prompts"], simple["vocabulary"]) if simple else None,
            dpg=NamedList.from_json("questions", content.get("dpg")),
            genai=NamedList.from_json("genai_prompts", content.get("genai")),
            classes=content.get("classes"),
            rows=content.get("rows", {}),
            captions=content.get("captions", {}),
        )


@dataclass(frozen=True, kw_only=True)
class QuestionsStage:
    """DPG-Bench's questions; ``skip_first_row`` skips a row of its CSV, like the benchmark itself."""

    hash: str
    expects: Mapping[str, str]
    questions: NamedList
    skip_first_row: bool

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> QuestionsStage:
        return cls(
            hash=content["hash"],
            expects=content["expects"],
            questions=NamedList("questions", content["questions"], content.get("file")),
            skip_first_row=content["skip_first_row"],
        )
