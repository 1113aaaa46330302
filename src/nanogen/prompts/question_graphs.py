"""Read DPG-Bench's question graphs (Hu et al. 2024, arXiv 2403.05135) from its CSV.

The graphs are Davidsonian scene graphs (Cho et al. 2023, arXiv 2310.18235): a question can depend on
others, and counts as answered with no if one of those was answered with no.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nanogen.errors import UserError
from nanogen.files import read_text
from nanogen.text import check_storable

COLUMNS = ("item_id", "text", "proposition_id", "dependency", "tuple", "question_natural_language")
NO_PARENT = 0  # in the file, the dependency of a question that depends on no other


@dataclass(frozen=True)
class Question:
    """One question of a prompt.

    Attributes:
        item: the prompt that it is about.
        id: its number within the prompt, from 1.
        parents: numbers of the questions that it depends on.
        about: the tuple, e.g. ``attribute - color (ball, red)``, with the category before the bracket.
        text: the question.
    """

    item: str
    id: int
    parents: tuple[int, ...]
    about: str
    text: str

    @property
    def category(self) -> str:
        """The detailed category (L2), e.g. ``attribute - color``."""
        return self.about.partition("(")[0].strip()

    @property
    def group(self) -> str:
        """The broad category (L1), e.g. ``attribute``."""
        return self.category.partition("-")[0].strip()


Graph = Mapping[str, Sequence[Question]]


def graph_of(questions: Iterable[Question], where: str) -> dict[str, list[Question]]:
    """Return item -> its questions in order; ``where`` names their file in errors.

    If a prompt has two questions of the same number, the later one replaces the earlier one, as in the
    benchmark's own reader. Raises UserError for a parent that does not exist.
    """
    numbered: dict[str, dict[int, Question]] = defaultdict(dict)
    for question in questions:
        numbered[question.item][question.id] = question
    for item, asked in numbered.items():
        for question in asked.values():
            for parent in question.parents:
                if parent not in asked:
                    raise UserError(
                        f"{where}: question {question.id} of item {item} depends on {parent}, which the "
                        "item does not have; correct its 'dependency'"
                    )
    return {item: list(asked.values()) for item, asked in numbered.items()}


def _number(text: str, column: str, where: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UserError(f"{where}: {column} {text!r} is not a whole number; correct the file") from error


def _question(row: Mapping[str, str], where: str) -> Question:
    parents = [_number(part, "dependency", where) for part in row["dependency"].split(",")]
    return Question(
        item=row["item_id"],
        id=_number(row["proposition_id"], "proposition_id", where),
        parents=tuple(parent for parent in parents if parent != NO_PARENT),
        about=row["tuple"],
        text=row["question_natural_language"],
    )


def _rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of DPG-Bench's CSV; raise UserError if one is incomplete."""
    text = read_text(path)
    check_storable(text, str(path))
    reader = csv.DictReader(io.StringIO(text, newline=""))
    names = list(reader.fieldnames or ())
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise UserError(f"{path} has two columns {twice[0]!r}; remove one")
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]!r}; DPG-Bench's file has {', '.join(COLUMNS)}"
        )
    rows = list(reader)
    for number, row in enumerate(rows, start=1):
        if any(row[name] is None for name in COLUMNS):
            raise UserError(f"{path}, question {number}: the row is cut short; get the file again")
    if not rows:
        raise UserError(f"{path} holds no questions; get the file again")
    return rows


def read_table(path: Path | str, skip_first_row: bool = True) -> dict[str, list[Question]]:
    """Read the questions in DPG-Bench's CSV by item, in the order of the file.

    By default the first row below the header is skipped, as in the benchmark's own reader, which gave
    the published numbers. Questions that depend on the one in this row then lose that dependency. Raises
    UserError if the file is missing or empty, lacks a column, or has an invalid row or dependency.
    """
    path = Path(path)
    questions = [_question(row, f"{path}, question {n}") for n, row in enumerate(_rows(path), start=1)]
    if skip_first_row:
        skipped, *questions = questions
        questions = [_freed(question, skipped) for question in questions]
    return graph_of(questions, str(path))


def read_prompts(path: Path | str) -> dict[str, str]:
    """Read the prompts in DPG-Bench's CSV: item -> text, in the order of their first questions.

    Raises UserError like `read_table`, and if an item has no text or two different ones.
    """
    path = Path(path)
    texts: dict[str, str] = {}
    for row in _rows(path):
        item, text = row["item_id"], row["text"].strip()
        if text and texts.get(item) and texts[item] != text:
            raise UserError(
                f"{path}: item {item} has two texts, {texts[item]!r} and {text!r}; correct it"
            )
        texts[item] = texts.get(item) or text
    for item, text in texts.items():
        if not text:
            raise UserError(f"{path}: item {item} has no text to draw; get the file again")
    return texts


def _freed(question: Question, skipped: Question) -> Question:
    """Remove the dependency of a question on the one that is left out."""
    if question.item != skipped.item or skipped.id not in question.parents:
        return question
    return replace(question, parents=tuple(p for p in question.parents if p != skipped.id))
