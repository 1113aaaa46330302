"""What the stages ``prompts`` and ``questions`` say, as the code that writes them reads it.

They are written by `nanogen.config.stages`, which stands above this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


@dataclass(frozen=True)
class NamedList:
    """Prompts or questions, as the key ``evaluation.<key>`` names them.

    Attributes:
        name: of a file in config/prompts, of a file, or of prompts that are made here.
        address: where the file is fetched from (`nanogen.remote_file.fetch_file`); None of others.
    """

    key: str
    name: str | None
    address: Mapping[str, Any] | None

    @classmethod
    def from_json(cls, key: str, content: Mapping[str, Any] | None) -> NamedList | None:
        return None if content is None else cls(key, content[key], content.get("file"))

    def path(self, folder: Path) -> Path:
        """The file; where it is fetched, it is kept in ``folder``. Raises UserError as that does."""
        if self.address is None:
            return Path(str(self.name))
        from nanogen.remote_file import fetch_file

        return fetch_file(self.address, folder, f"give its path as evaluation.{self.key}")


class SimplePrompts(NamedTuple):
    """SimpleEval's: how many there are, and what they ask for."""

    prompts: int
    vocabulary: str


@dataclass(frozen=True, kw_only=True)
class PromptsStage:
    """The prompts of the text-to-image evaluation.

    Attributes:
        geneval: GenEval's, or a study's own in their form.
        root, caption_template: keys of the data set, for prompts that are made of its classes.
        classes: their names, of photographs that a user gave.
        simpleeval: None where it is not measured.
        dpg, genai: lists of DPG-Bench's and of GenAI-Bench's own; None where there is none.
        rows: by benchmark, the data set on the hub (``owner/name@revision``) that has a row for each
            image of its prompts; without one a prompt is drawn as often as the study says.
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

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PromptsStage:
        """Read a stage, which may be an older version's."""
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
        )


@dataclass(frozen=True, kw_only=True)
class QuestionsStage:
    """DPG-Bench's questions; ``skip_first_row`` of its CSV, as its own reader does."""

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
